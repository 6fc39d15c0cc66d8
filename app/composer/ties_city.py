"""Household, work, school and community in one click, from the columns that the people have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.drafts import Draft
from engine.population import Column

WORKING = ("employed full time", "employed part time", "self-employed")
LEARNING = ("in education",)
AREAS = ("area", "urbanicity")


def city_layers(columns: Mapping[str, Column]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the layers of a city that these people can have, and one sentence for each that they cannot.

    Sizes of workplaces and classes and the number of ties in the community are ours; they are there to be changed.

    Args:
        columns: Columns of the people.
    """
    layers: list[dict[str, Any]] = []
    missing: list[str] = []
    area = next((name for name in AREAS if name in columns and columns[name].kind == "category"), "")
    if {"hh_size", "age"} <= columns.keys():
        layers.append({"name": "household", "kind": "households"} | ({"area": area} if area else {}))
    else:
        missing.append("Households need the columns hh_size and age.")
    jobs = columns["employment"].labels if "employment" in columns else ()
    work = [label for label in WORKING if label in jobs]
    if work:
        where = f"employment in {_listed(work)}"
        sizes = {"sizes": [1, 3, 6, 12, 25], "weights": [30.0, 30.0, 20.0, 14.0, 6.0]}
        layers.append({"name": "work", "kind": "groups", "where": where, **sizes})
    elif "age" in columns:
        sizes = {"sizes": [3, 6, 12, 25]}
        layers.append({"name": "work", "kind": "groups", "where": "age >= 20 and age < 65", **sizes})
    else:
        missing.append("Workplaces need the column employment or age.")
    learning = [label for label in LEARNING if label in jobs]
    if "age" in columns:
        where = f"employment in {_listed(learning)}" if learning else "age >= 5 and age < 19"
        by = ["age"] if columns["age"].kind == "integer" else []
        layers.append({"name": "school", "kind": "groups", "where": where, "by": [*([area] if area else []), *by],
                       "sizes": [20]})  # fmt: skip
    else:
        missing.append("School classes need the column age.")
    layers.append({"name": "community", "kind": "erdos_renyi", "mean_degree": 8.0})
    return layers, missing


def put_city(draft: Draft, columns: Mapping[str, Column]) -> None:
    """Put the layers of a city in place of the draft's ties."""
    draft.put("network", {"layers": city_layers(columns)[0]})


def _listed(labels: list[str]) -> str:
    return "(" + ", ".join(f"'{label}'" for label in labels) + ("," if len(labels) == 1 else "") + ")"
