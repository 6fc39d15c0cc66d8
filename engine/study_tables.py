"""A study's tables made complete: the scenario's defaults, then the changes that `--set` makes.

Tables have the form of the study file, except that `network` always becomes `{"layers": [...]}`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from engine import registry
from engine.problems import Findings, plain, shown

_PEOPLE = ("recipe", "personas", "file")
_OF_A_FILE = ("draw", "weight", "id", "encoding", "map", "keep", "score", "redistribute")
_SOURCES = ("recipe", "personas", "file", "columns")


def complete_tables(given: Mapping[str, Any], info: Any, findings: Findings) -> dict[str, Any]:
    """Return the tables of a study with the scenario's defaults where it says nothing.

    A study that names any source of its population (recipe, personas, file, columns) takes none from the defaults; one
    that lists a value per agent takes no size either. A layer of another kind than the default one keeps only default
    parameters that its kind has as well.

    Args:
        given: The study, plain values.
        info: The scenario, or None.
        findings: Learns whether the network is one layer.
    """
    complete: dict[str, Any] = copy.deepcopy(dict(given))
    defaults = {} if info is None else {"title": info.title, "steps": info.steps, **plain(info.defaults, findings)}
    for key, value in defaults.items():
        if key == "population":
            complete[key] = _merge_population(value, given.get(key, {}))
        elif key != "network":
            both = isinstance(value, dict) and isinstance(given.get(key, {}), dict)
            complete[key] = {**value, **given.get(key, {})} if both else given.get(key, value)
    complete["network"] = _merge_network(_layers(defaults.get("network", {})), given.get("network"), findings)
    return complete


def _merge_population(default: Mapping[str, Any], given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    dropped = set(_SOURCES) if any(key in given for key in _SOURCES) else set()
    columns = given.get("columns")
    if isinstance(columns, dict) and any(isinstance(values, list) for values in columns.values()):
        dropped.add("size")  # a list of values says how many agents there are
    if given.get("draw") == "rows":
        dropped.add("size")  # so does a survey whose respondents are taken one by one
    return {key: value for key, value in default.items() if key not in dropped} | given


def _layers(network: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "layers" in network:
        return list(network["layers"])
    return [dict(network)] if network else [{"name": "ties", "kind": "complete"}]


def _merge_network(defaults: list[dict[str, Any]], given: Any, findings: Findings) -> Any:
    """Return `{"layers": [...]}`, or what was given where it has another form."""
    findings.flat = len(defaults) == 1 if given is None else isinstance(given, dict) and "layers" not in given
    if given is None:
        return {"layers": defaults}
    if not isinstance(given, dict):
        return given
    if "layers" not in given:
        return {"layers": [_merge_layer(defaults[0] if len(defaults) == 1 else {}, given)]}
    if set(given) != {"layers"} or not isinstance(given["layers"], list):
        return given
    by_name = {layer.get("name", "ties"): layer for layer in defaults}
    merged = [
        _merge_layer(by_name.get(str(layer.get("name")), {}), layer) if isinstance(layer, dict) else layer
        for layer in given["layers"]
    ]
    return {"layers": merged}


def _merge_layer(default: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    kind = given.get("kind", default.get("kind"))
    if kind != default.get("kind"):
        kept = {"name", *_parameters(kind)}
        default = {key: value for key, value in default.items() if key in kept}
    return {**default, **given}


def _parameters(kind: Any) -> set[str]:
    """Return the names of the parameters of a kind of network; none for an unknown one."""
    if not isinstance(kind, str) or kind not in registry.networks:
        return set()
    return {field.alias or name for name, field in registry.networks.get(kind).params.model_fields.items()}


def override(
    tables: dict[str, Any], parts: tuple[str, ...], value: Any, given: Mapping[str, Any], findings: Findings
) -> None:
    """Set one key of complete tables, creating tables on the way.

    Another network kind drops the parameters of the old kind that the new one does not have; another recipe,
    persona pack or survey file drops the others where they were only the scenario's default.

    Args:
        tables: Complete tables; changed in place.
        parts: The key's parts, for example ("decisions", "listen", "policy").
        value: Its new value, plain.
        given: The tables of the study before defaults.
        findings: Where problems go; remembers which keys were set.
    """
    if parts == ("network",):
        tables["network"] = _merge_network([{}], value, findings)
        findings.overridden.add(parts)
        return
    place: tuple[str | int, ...] = parts
    if parts[0] == "arms" and len(parts) > 4 and parts[2] == "set":
        place = (*parts[:3], ".".join(parts[3:]))  # an arm's values stand under dotted keys
    if parts[0] == "network" and parts[1] != "layers" and isinstance(tables.get("network"), dict):
        layers = tables["network"].get("layers")
        if not isinstance(layers, list) or len(layers) != 1:
            names = [str(layer.get("name")) for layer in layers or [] if isinstance(layer, dict)]
            message = f"the network has several layers ({', '.join(names)}); write network.layers.NAME.{parts[-1]}"
            findings.add(message, *parts, file="--set")
            return
        place = ("network", "layers", 0, *parts[1:])
    found = _walk(tables, place, parts, findings)
    if found is None:
        return
    holder, place = found
    if place[:2] == ("network", "layers") and len(place) == 4 and place[3] == "kind":
        gone = _parameters(holder.get("kind")) - _parameters(value)
        for key in gone & holder.keys():
            if (*place[:3], key) not in findings.overridden:
                del holder[key]
    if place[0] == "population" and len(place) == 2 and place[1] in _PEOPLE:
        stated = given.get("population")
        for other in _PEOPLE:
            is_stated = isinstance(stated, dict) and other in stated
            if other != place[1] and not is_stated and ("population", other) not in findings.overridden:
                for key in (other, *(_OF_A_FILE if other == "file" and other in holder else ())):
                    holder.pop(key, None)
    holder[place[-1]] = value
    findings.overridden.add(place)


def _walk(
    tables: dict[str, Any], place: tuple[str | int, ...], parts: tuple[str, ...], findings: Findings
) -> tuple[Any, tuple[str | int, ...]] | None:
    """Return what holds the last part, and the key with positions instead of names; None after a problem."""
    at: Any = tables
    walked: list[str | int] = []
    for depth, part in enumerate(place):
        if isinstance(at, list):
            position = _position(at, part)
            if position is None:
                message = f"'{part}' is neither a position in {walked[-1]} (0 to {len(at) - 1}) nor a name in it"
                findings.add(message, *parts, file="--set")
                return None
            part = position
        elif not isinstance(at, dict):
            findings.add(f"{walked[-1]} = {shown(at)} is not a table; it has no '{part}'", *parts, file="--set")
            return None
        walked.append(part)
        if depth == len(place) - 1:
            return at, tuple(walked)
        if isinstance(at, dict) and part not in at:
            at[part] = {}
            findings.overridden.add(tuple(walked))
        at = at[part]
    return None


def _position(items: list[Any], part: str | int) -> int | None:
    if isinstance(part, str) and part.isdecimal() and len(part) < 9:
        part = int(part)
    if isinstance(part, int):
        return part if part < len(items) else None
    return next((i for i, item in enumerate(items) if isinstance(item, dict) and item.get("name") == part), None)
