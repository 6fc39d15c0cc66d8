"""`microcosm bench`: the benchmarks of a source checkout."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from app.terminal import complain
from engine.errors import RunError
from engine.registry import nearest


def bench(arguments: Namespace) -> int:
    """Run the benchmark programs of all or of the named groups; return the first status that is not 0.

    Raises:
        RunError: the program was installed without its benchmarks, or a group does not exist.
    """
    folder = Path(__file__).resolve().parent.parent.parent / "benchmarks"
    programs = {path.stem: path for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")}
    if not programs:
        raise RunError("the benchmarks are part of a source checkout and are not installed here")
    for group in arguments.groups:
        if group not in programs:
            raise RunError(f"'{group}' is not a group of benchmarks{nearest(group, programs)}")
    status = 0
    for group in arguments.groups or programs:
        complain(f"benchmark {group}")
        finished = subprocess.run([sys.executable, str(programs[group])], cwd=folder.parent, check=False)
        status = status or finished.returncode
    return status
