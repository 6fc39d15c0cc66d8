"""`microcosm bench`: the benchmarks of a source checkout."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from engine.errors import RunError
from engine.registry import nearest


def bench(arguments: Namespace) -> int:
    """Run the benchmark files `bench_GROUP.py`, all or those of the named groups, and return pytest's status.

    Raises:
        RunError: the program was installed without its benchmarks, or a group does not exist.
    """
    folder = Path(__file__).resolve().parent.parent.parent / "benchmarks"
    files = {path.stem.removeprefix("bench_"): path for path in sorted(folder.glob("bench_*.py"))}
    if not files:
        raise RunError("the benchmarks are part of a source checkout and are not installed here")
    for group in arguments.groups:
        if group not in files:
            raise RunError(f"'{group}' is not a group of benchmarks{nearest(group, files)}")
    chosen = [str(files[group]) for group in (arguments.groups or files)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-header", *chosen], cwd=folder.parent, check=False
    ).returncode
