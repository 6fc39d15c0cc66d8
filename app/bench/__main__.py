"""`python -m app.bench GROUP`: measure one group in a process of its own and print one JSON object per figure."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
from pathlib import Path

from app.bench import GROUPS
from app.bench.rows import BenchOptions
from app.terminal import say_json

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("group", choices=sorted(GROUPS))
    for field in dataclasses.fields(BenchOptions):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    given = vars(parser.parse_args())
    given["out"] = Path(given["out"])
    for row in importlib.import_module(f"app.bench.{given.pop('group')}").measure(BenchOptions(**given)):
        say_json(dataclasses.asdict(row))
