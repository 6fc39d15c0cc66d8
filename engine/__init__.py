"""Simulation, local language models, storage and reports: the public names.

Scenario files import from here only; so does a notebook. Names are loaded at first use, so that importing the
package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.contract import Measure, ScenarioParams, column, knob, scenario
    from engine.decision import (
        Categories,
        Choice,
        Decimals,
        Decision,
        Integers,
        MultiSelect,
        Ranking,
        Rounded,
        Words,
        Writing,
    )
    from engine.draws import keyed_uniform
    from engine.errors import MicrocosmError, StudyError
    from engine.hints import read_ahead
    from engine.loading import dump_study, load_study, parse_study
    from engine.measures import gain_equality, major_clusters, variance_polarization
    from engine.network import Graph
    from engine.runs import run_study
    from engine.simulation import simulate
    from engine.store import read_measures, read_states

_HOME = {
    "engine.contract": ("Measure", "ScenarioParams", "column", "knob", "scenario"),
    "engine.decision": (
        "Categories",
        "Choice",
        "Decimals",
        "Decision",
        "Integers",
        "MultiSelect",
        "Ranking",
        "Rounded",
        "Words",
        "Writing",
    ),
    "engine.draws": ("keyed_uniform",),
    "engine.errors": ("MicrocosmError", "StudyError"),
    "engine.hints": ("read_ahead",),
    "engine.loading": ("dump_study", "load_study", "parse_study"),
    "engine.measures": ("gain_equality", "major_clusters", "variance_polarization"),
    "engine.network": ("Graph",),
    "engine.runs": ("run_study",),
    "engine.simulation": ("simulate",),
    "engine.store": ("read_measures", "read_states"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Categories",
    "Choice",
    "Decimals",
    "Decision",
    "Graph",
    "Integers",
    "Measure",
    "MicrocosmError",
    "MultiSelect",
    "Ranking",
    "Rounded",
    "ScenarioParams",
    "StudyError",
    "Words",
    "Writing",
    "column",
    "dump_study",
    "gain_equality",
    "keyed_uniform",
    "knob",
    "load_study",
    "major_clusters",
    "parse_study",
    "read_ahead",
    "read_measures",
    "read_states",
    "run_study",
    "scenario",
    "simulate",
    "variance_polarization",
]


def __getattr__(name: str) -> Any:
    """Load a public name at first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'engine' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
