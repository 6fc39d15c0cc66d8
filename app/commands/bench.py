"""`microcosm bench`: measure speed on this machine, and beside it other simulators where they are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.bench import GROUPS
from app.bench.rows import describe_machine
from app.terminal import complain, say, say_json
from engine.errors import RunError
from engine.registry import nearest

COLUMNS = (("work", 42), ("value", 10), ("unit", 18), ("aim", 18))


def bench(arguments: Namespace) -> int:
    """Measure all or the named groups, a figure a line; return the first status that is not 0.

    A group of the package is measured in a process of its own, with kernels on one thread. In a source checkout the
    programs of `benchmarks/` are groups too.

    Raises:
        RunError: a group does not exist.
    """
    programs = find_programs()
    known = {**programs, **dict.fromkeys(GROUPS, None)}
    for group in arguments.groups:
        if group not in known:
            raise RunError(f"'{group}' is not a group of benchmarks{nearest(group, known)}")
    complain(describe_machine())
    status = 0
    for group in arguments.groups or GROUPS:
        complain(f"benchmark {group}")
        if group in GROUPS:
            if not arguments.json:
                say(_line({name: name for name, _ in COLUMNS} | {"note": ""}))
            rows = measure_group(group, arguments)
            try:
                for row in rows:
                    _show(group, row, arguments.json)
            except RunError as error:
                complain(str(error))
                status = status or 1
        else:
            finished = subprocess.run([sys.executable, str(programs[group])], cwd=programs[group].parent, check=False)
            status = status or finished.returncode
    return status


def find_programs() -> dict[str, Path]:
    """Return the programs of a source checkout by name; none where the package was installed without them."""
    folder = Path(__file__).resolve().parent.parent.parent / "benchmarks"
    return {path.stem: path for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")}


def measure_group(group: str, arguments: Namespace) -> Iterator[dict[str, Any]]:
    """Yield a group's figures while they are measured.

    Raises:
        RunError: the measurement ended with a failure.
    """
    options = {"agents": arguments.agents, "largest": arguments.largest, "peers": arguments.peers, "out": Path.cwd()}
    options |= {"threads": arguments.threads, "quick": int(arguments.quick) or None}
    command = [sys.executable, "-m", "app.bench", group]
    command += [f"--{name}={value}" for name, value in options.items() if value is not None]
    environment = {**os.environ, "NUMBA_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise RunError(f"the benchmark {group} ended with status {process.returncode}; its own words stand above")


def _show(group: str, row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json({"group": group, **row})
    else:
        say(_line({**row, "value": f"{row['value']:.4g}"}))


def _line(row: dict[str, Any]) -> str:
    """Return one line of the table; lines come one by one, so that widths are fixed."""
    return "  ".join([*(str(row[name]).ljust(width) for name, width in COLUMNS), str(row["note"])]).rstrip()
