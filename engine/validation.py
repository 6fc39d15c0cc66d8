"""Check a whole study against its scenario and the registries; every problem at once.

The study comes as plain tables in the form of the file, complete with the scenario's defaults, its network as a list
of layers. What is wrong is reported and left out, and the checks go on with the rest.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel

from engine import registry
from engine.answer_checks import check_answers
from engine.errors import ExpressionError, NetworkError, PopulationError
from engine.expressions import parse_expression
from engine.layer_checks import LAYER_KEYS, check_beside, check_groups, check_signs, layer_columns
from engine.problems import Findings, Path, check_shape, shown, unknown
from engine.regressions import check_regressions
from engine.spec import DecisionSpec, InterventionSpec, LayerSpec, PopulationSpec, Study

KEYS = (
    *("format", "title", "question", "scenario", "seed", "steps", "replicates", "stop_when", "redraw", "seeds"),
    *("params", "population", "network", "decisions", "model", "interventions", "arms", "record"),
)
EXPRESSION_TYPES = {"float": "number", "integer": "number", "boolean": "boolean", "category": "text", "text": "text"}
# The form of one problem: what is wrong @ key (file).
_PLACED = re.compile(r"(.*?)(?: @ (\S+))?(?: \(([^()]+\.toml)\))?")
_CHECKED_APART = ("params", "network", "interventions", "arms")


@dataclass(frozen=True)
class _Known:
    """What the names in a study can refer to.

    Where the population could not be understood, `columns` holds those of the codebook and `certain` is False: then
    only a name that resembles one of them is taken for a mistake.
    """

    info: Any
    params: BaseModel | None
    columns: Mapping[str, Any]
    certain: bool
    layers: Sequence[str]
    steps: int | None

    def is_mistake(self, sentence: str) -> bool:
        """Tell whether a sentence from `unknown` about a column is to be believed."""
        return self.certain or "did you mean" in sentence


def check_tables(
    tables: Mapping[str, Any],
    info: Any,
    findings: Findings,
    personas: FilePath | None = None,
    base: FilePath | None = None,
) -> Study:
    """Return the study of complete plain tables; its problems are in `findings`.

    Args:
        tables: The study in the form of its file; `network` is `{"layers": [...]}`.
        info: The scenario, or None where it is not known.
        findings: Where problems go; the returned study is good only if there are none.
        personas: The user's own personas folder.
        base: Folder that relative paths of the study start from.
    """
    for key in tables:
        if key not in KEYS:
            findings.add(unknown(key, "a key of a study", KEYS), key)
    head = {key: value for key, value in tables.items() if key in KEYS and key not in _CHECKED_APART}
    if not isinstance(head.get("scenario"), str):  # reported where the scenario was looked up
        head["scenario"] = ""
    study = check_shape(Study, head, (), findings) or Study.model_validate({"scenario": ""})
    params, values = _check_params(tables.get("params", {}), info, findings)
    persona, certain = _check_population(study.population, findings, personas, base)
    _check_given_states(study.population, persona, info, findings)
    layers = _check_layers(tables.get("network"), study.population.size, base, findings)
    _check_layer_columns(layers, persona, certain, findings)
    check_groups(study.population.groups, study.population.size, findings)
    check_signs(layers, info, findings)
    columns = {
        **persona,
        **layer_columns(layers, persona, info, findings, certain),
        **(info.columns if info is not None else {}),
    }
    steps = study.steps if study.steps == head.get("steps", study.steps) else None
    known = _Known(info, params, columns, certain, [layer.name for layer in layers], steps)
    if info is not None:
        _check_decisions(study, known, findings)
        check_answers(study, info, columns, known.is_mistake, findings)
        decisions = check_regressions(study, info, columns, known.is_mistake, findings)
        study = study.model_copy(update={"decisions": decisions})
        if study.stop_when:
            _check_measure_condition(study.stop_when, info, ("stop_when",), findings)
    interventions = check_interventions(tables.get("interventions", []), known, findings)
    return study.model_copy(update={"params": values, "layers": layers, "interventions": interventions})


def known_names(study: Study, info: Any, personas: FilePath | None = None, base: FilePath | None = None) -> Any:
    """Return what interventions of a checked study can refer to, for `check_interventions`."""
    persona, certain = _check_population(study.population, Findings(), personas, base)
    params = info.params.model_validate(study.params)
    layers = [layer.name for layer in study.layers]
    columns = {**persona, **layer_columns(study.layers, persona, info, Findings()), **info.columns}
    return _Known(info, params, columns, certain, layers, study.steps)


def _is_table(value: Any, path: Path, findings: Findings) -> bool:
    if isinstance(value, Mapping):
        return True
    name = f"{path[-2]}[{path[-1]}]" if isinstance(path[-1], int) else path[-1]
    findings.add(f"{name} = {shown(value)} is not a table", *path)
    return False


def _plain_values(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True, warnings=False)


def _complete(
    model: type[BaseModel], given: Mapping[str, Any], path: Path, findings: Findings, what: str
) -> tuple[Any, dict[str, Any]]:
    """Return the model of a table and all its values, defaults in the type of their field."""
    first = check_shape(model, given, path, findings, what)
    again = None if first is None else check_shape(model, _plain_values(first), path, findings, what)
    return again, {} if again is None else _plain_values(again)


def _check_params(given: Any, info: Any, findings: Findings) -> tuple[BaseModel | None, dict[str, Any]]:
    if not _is_table(given, ("params",), findings) or info is None:
        return None, {}
    return _complete(info.params, given, ("params",), findings, f"a knob of {info.name}")


def _check_population(
    spec: PopulationSpec, findings: Findings, personas: FilePath | None, base: FilePath | None
) -> tuple[Mapping[str, Any], bool]:
    """Return (persona columns, True), or (the codebook's columns, False) where the population is not understood."""
    for name, values in spec.columns.items():
        if isinstance(values, list) and spec.size is not None and values and len(values) != spec.size:
            message = f"{len(values)} values were given for {spec.size} agents; the list needs one per agent"
            findings.add(message, "population", "columns", name)
    # A late import: the population stands above this module.
    population = importlib.import_module("engine.population")
    try:
        columns: Mapping[str, Any] = population.persona_columns(spec, personas, base)
    except PopulationError as error:
        for line in str(error).splitlines():
            found = _PLACED.fullmatch(line)
            message, place, file = found.groups() if found else (line, None, None)
            findings.add(message, *(place or "population").split("."), file=file)
        return {name: known.column for name, known in population.load_schema().items()}, False
    return columns, True


def _check_given_states(spec: PopulationSpec, persona: Mapping[str, Any], info: Any, findings: Findings) -> None:
    """Report columns of a survey that a state column of the same name cannot start from."""
    for name in (*spec.map, *spec.keep):
        column, state = persona.get(name), None if info is None else info.columns.get(name)
        if column is None or state is None:
            continue
        path = ("population", "map", name) if name in spec.map else ("population", "keep")
        words = f"'{name}' is the state that agents start from in {info.name}; it"
        if state.kind == "category":
            strange = [label for label in column.labels if label not in state.labels]
            if column.kind != "category" or strange:
                held = shown(strange[0]) if strange else f"a {column.kind} column"
                findings.add(f"{words} holds one of {', '.join(state.labels)}, not {held}; set labels", *path)
        elif column.kind in ("category", "text") or (state.kind == "boolean") != (column.kind == "boolean"):
            findings.add(f"{words} is a {state.kind} column, not a {column.kind} one; set labels or range", *path)
        elif any(outside(state, bound) for bound in (column.low, column.high) if bound is not None):
            findings.add(
                f"{words} lies in {interval(state)}, but here it reaches from {column.low:g} to {column.high:g}; "
                "rescale it with range and to",
                *path,
            )


def _check_layer_columns(
    layers: Sequence[LayerSpec], persona: Mapping[str, Any], certain: bool, findings: Findings
) -> None:
    """Report columns that a network is to be built on and that the population does not have."""
    for position, layer in enumerate(layers):
        generator: Any = registry.networks.get(layer.kind) if layer.kind in registry.networks else None
        if getattr(generator, "check_population", None) is not None and certain:
            try:
                generator.check_population(generator.params(**layer.params), persona)
            except NetworkError as error:
                findings.add(str(error), "network", "layers", position)
        several = bool(layer.params.get("columns")) and layer.kind == "homophily"
        if getattr(generator, "check_column", None) is None or "column" not in layer.params or several:
            continue
        name = str(layer.params["column"])
        path: Path = ("network", "layers", position)
        if not name:
            findings.add("column is empty; name the column of the population in which ties are alike", *path, "column")
        elif name not in persona:
            sentence = unknown(name, "a column of the population", persona)
            if certain or "did you mean" in sentence:
                findings.add(sentence, *path, "column")
        else:
            try:
                generator.check_column(generator.params(**layer.params), persona[name])
            except NetworkError as error:
                findings.add(str(error), *path, "column" if persona[name].kind == "text" else "target")


def _check_layers(network: Any, size: int | None, base: FilePath | None, findings: Findings) -> tuple[LayerSpec, ...]:
    if network is None:
        return (LayerSpec(),)
    if not _is_table(network, ("network",), findings):
        return ()
    given = network.get("layers")
    if set(network) != {"layers"} or not isinstance(given, list) or not given:
        findings.add("[network] is either one layer with a kind, or [[network.layers]] with at least one", "network")
        return ()
    layers: list[LayerSpec] = []
    for position, table in enumerate(given):
        path: Path = ("network", "layers", position)
        if _is_table(table, path, findings):
            layer = _check_layer(table, path, size, base, findings, alone=len(given) == 1)
            if layer.name in [other.name for other in layers]:
                findings.add(f"two layers are called '{layer.name}'; each needs a name of its own", *path, "name")
            layers.append(layer)
    return tuple(layers)


def _check_layer(
    table: Mapping[str, Any], path: Path, size: int | None, base: FilePath | None, findings: Findings, alone: bool
) -> LayerSpec:
    params = {key: value for key, value in table.items() if key not in LAYER_KEYS}
    beside = check_beside(table, path, size, findings)
    shuffle = table.get("shuffle", False)
    if not isinstance(shuffle, bool):
        findings.add(f"shuffle = {shown(shuffle)} is not true or false", *path, "shuffle")
    name, kind = table.get("name", "ties" if alone else None), table.get("kind")
    for key, value in (("name", name), ("kind", kind)):
        if value is None:
            findings.add(f"'{key}' is missing", *path, key)
        elif not isinstance(value, str) or not value.strip():
            findings.add(f"{key} = {shown(value)} is not a name", *path, key)
    name = name if isinstance(name, str) else f"layer {path[-1]}"
    if not isinstance(kind, str):
        return LayerSpec(name=name)
    if kind not in registry.networks:
        findings.add(unknown(kind, "a network kind", list(registry.networks)), *path, "kind")
        return LayerSpec(name=name)
    generator = registry.networks.get(kind)
    before = len(findings.problems)
    instance, values = _complete(generator.params, params, path, findings, f"a parameter of {kind}")
    expected_ties = getattr(generator, "expected_ties", None)
    if expected_ties is not None and size is not None and instance is not None and len(findings.problems) == before:
        try:
            expected_ties(instance, size, base)
        except NetworkError as error:
            findings.add(str(error), *path)
    if shuffle is True and kind == "complete":
        findings.add("shuffle = true changes nothing where everyone is tied to everyone", *path, "shuffle")
    return LayerSpec(name=name, kind=kind, shuffle=shuffle is True, params=values, **beside)


def _check_decisions(study: Study, known: _Known, findings: Findings) -> None:
    info = known.info
    valid = [decision.name for decision in info.decisions] + [writing.name for writing in info.writings]
    for name, spec in study.decisions.items():
        path = ("decisions", name)
        if not valid:
            findings.add(f"nothing in {info.name} is a person's decision (mechanism only); leave this table out", *path)
        elif name not in valid:
            findings.add(unknown(name, f"a decision of {info.name}", valid), *path)
        if spec.policy not in registry.policies:
            findings.add(unknown(spec.policy, "a policy", list(registry.policies)), *path, "policy")
        _check_seats(spec, study.population.size, path, findings)
        for field in spec.persona_fields or ():
            sentence = unknown(field, "a column of the population", known.columns)
            if field not in known.columns and known.is_mistake(sentence):
                findings.add(sentence, *path, "persona_fields")


def _check_seats(spec: DecisionSpec, size: int | None, path: Path, findings: Findings) -> None:
    """Report seats that nobody sits in, that do not exist, or that the policy does not read."""
    if spec.policy != "human":
        if spec.seats:
            findings.add(f"seats are read under policy = 'human' alone, not under '{spec.policy}'", *path, "seats")
        return
    if not spec.seats:
        findings.add(
            "seats is missing: the ids of the agents whom people play, for example seats = [0]", *path, "seats"
        )
    strange = [seat for seat in spec.seats if seat < 0 or (size is not None and seat >= size)]
    if strange:
        last = "" if size is None else f" to {size - 1}"
        findings.add(f"seat {strange[0]} is not an agent; ids run from 0{last}", *path, "seats")
    able = [name for name in registry.policies if name != "human"]
    if spec.others not in able:
        findings.add(unknown(spec.others, "a policy for the others", able), *path, "others")


def check_interventions(given: Any, known: Any, findings: Findings) -> tuple[InterventionSpec, ...]:
    """Return the interventions of a list of tables; problems go to `findings`.

    Args:
        given: Tables as in `[[interventions]]`; one without a name is called by its position.
        known: What they can refer to, from `known_names`.
        findings: Where problems go.
    """
    if not isinstance(given, list):
        findings.add(
            f"interventions = {shown(given)} is not a list of tables; write [[interventions]]", "interventions"
        )
        return ()
    found: list[InterventionSpec] = []
    for position, table in enumerate(given):
        path: Path = ("interventions", position)
        if not _is_table(table, path, findings):
            continue
        do = table.get("do", {})
        acts = not isinstance(do, Mapping) or "effect" in do
        if not acts:
            findings.add('what it does is missing, for example do = { effect = "set", ... }', *path, "do")
        named = {"name": f"intervention {position + 1}", **table, "do": do if acts else {"effect": "", **do}}
        spec = check_shape(InterventionSpec, named, path, findings, "a key of an intervention")
        _check_schedule(table, spec, known, path, findings)
        if spec is None:
            continue
        if spec.name in [other.name for other in found]:
            findings.add(f"two interventions are called '{spec.name}'; each needs a name of its own", *path, "name")
        _check_whom(spec, known, path, findings)
        if acts:
            _Effect(spec.do.effect, spec.do.model_extra or {}, known, (*path, "do"), findings).check()
        found.append(spec)
    return tuple(found)


def _check_schedule(
    table: Mapping[str, Any], spec: InterventionSpec | None, known: _Known, path: Path, findings: Findings
) -> None:
    given = [key for key in ("at", "every", "when") if key in table]
    if len(given) != 1:
        listed = " and ".join(given) or "none"
        findings.add(f"exactly one of at, every and when says when it acts; given: {listed}", *path)
    if spec is None:
        return
    if spec.at is not None and known.steps is not None and spec.at >= known.steps:
        findings.add(f"at = {spec.at} is not in [0, {known.steps - 1}]; the run has {known.steps} steps", *path, "at")
    start = spec.at if spec.at is not None else spec.every
    if spec.until is not None and start is not None and spec.until < start:
        findings.add(f"until = {spec.until} lies before the first step {start} at which it could act", *path, "until")
    if spec.when is not None and known.info is not None:
        _check_measure_condition(spec.when, known.info, (*path, "when"), findings)


def _check_measure_condition(text: str, info: Any, path: Path, findings: Findings) -> None:
    names = {measure.name: "number" for measure in info.measures} | {"step": "number"}
    try:
        parse_expression(text, names, noun=f"measure of {info.name}")
    except ExpressionError as error:
        findings.add(str(error), *path)


def _check_whom(spec: InterventionSpec, known: _Known, path: Path, findings: Findings) -> None:
    whom = spec.whom
    if whom.ids is not None and any(agent < 0 for agent in whom.ids):
        findings.add(f"agent {min(whom.ids)} does not exist; ids count from 0", *path, "whom", "ids")
    for key, part in (("top", whom.top), ("sample", whom.sample)):
        if part is not None and (part.share is None) == (part.n is None):
            findings.add(f"{key} needs either share or n", *path, "whom", key)
    if known.info is None:
        return
    types = {name: EXPRESSION_TYPES[column.kind] for name, column in known.columns.items()}
    types |= {"degree": "number", "agent_id": "number"}
    if whom.where is not None:
        labels = {name: column.labels for name, column in known.columns.items() if column.labels}
        try:
            parse_expression(whom.where, types, labels=labels)
        except ExpressionError as error:
            if "is not a column" not in str(error) or known.is_mistake(str(error)):
                findings.add(str(error), *path, "whom", "where")
    if whom.top is not None and types.get(whom.top.by) not in ("number", "boolean"):
        numbers = [name for name, kind in types.items() if kind in ("number", "boolean")]
        sentence = unknown(whom.top.by, "a numeric column or degree", numbers)
        if whom.top.by in types or known.is_mistake(sentence):
            findings.add(sentence, *path, "whom", "top", "by")


class _Effect:
    """The arguments of one effect; those called column, param and layer name parts of the study."""

    def __init__(self, name: str, given: Mapping[str, Any], known: _Known, path: Path, findings: Findings) -> None:
        self.name, self.given, self.known, self.path, self.findings = name, given, known, path, findings

    def check(self) -> None:
        """Report everything wrong with the effect and its arguments."""
        if self.name not in registry.effects:
            self.add(unknown(self.name, "an effect", list(registry.effects)), "effect")
            return
        params = registry.effects.get(self.name).params
        what = f"an argument of the effect '{self.name}'"
        check_shape(params, self.given, self.path, self.findings, what)
        fields = params.model_fields
        if "column" in fields and self.known.info is not None:
            self.check_column(self.given.get("column"), self.known.columns)
        if "param" in fields and self.known.info is not None:
            self.check_param(self.given.get("param"), self.known.info)
        layer = self.given.get("layer")
        if "layer" in fields and isinstance(layer, str) and layer not in self.known.layers:
            self.add(unknown(layer, "a layer of the network", self.known.layers), "layer")

    def add(self, message: str, key: str) -> None:
        self.findings.add(message, *self.path, key)

    def check_column(self, name: Any, columns: Mapping[str, Any]) -> None:
        """Report a column that does not exist, or that cannot hold what it is given."""
        if not isinstance(name, str):
            return
        if name not in columns:
            sentence = unknown(name, "a column", columns)
            if self.known.is_mistake(sentence):
                self.add(sentence, "column")
            return
        column = columns[name]
        for key in ("amount", "factor"):
            if key in self.given and column.kind not in ("float", "integer"):
                self.add(f"'{name}' is a {column.kind} column; '{self.name}' needs a numeric one", "column")
        problem = misfit(column, name, self.given["value"]) if "value" in self.given else None
        if problem:
            self.add(problem, "value")

    def check_param(self, name: Any, info: Any) -> None:
        """Report a knob that does not exist, is read only at set-up, or cannot take the value."""
        if not isinstance(name, str):
            return
        if name not in info.params.model_fields:
            self.add(unknown(name, f"a knob of {info.name}", info.params.model_fields), "param")
            return
        extra = info.params.model_fields[name].json_schema_extra
        if isinstance(extra, Mapping) and extra.get("at_setup"):
            self.add(f"'{name}' is read only when the world is set up; set it under [params] instead", "param")
        if "value" not in self.given:
            return
        params = {} if self.known.params is None else _plain_values(self.known.params)
        found = Findings()
        check_shape(info.params, {**params, name: self.given["value"]}, (), found)
        for problem in found.problems:
            self.add(problem.message, "value")


def misfit(column: Any, name: str, value: Any) -> str | None:
    """Return why a column cannot hold a value, or None where it can.

    A category takes one of its labels, a boolean true or false, a number one in its range, text any text.
    """
    given = f"value = {shown(value)}"
    if column.kind == "category":
        return None if value in column.labels else unknown(str(value), f"a value of '{name}'", column.labels)
    if column.kind in ("boolean", "text"):
        fits = isinstance(value, bool if column.kind == "boolean" else str)
        wanted = "true or false" if column.kind == "boolean" else "text"
        return None if fits else f"{given} is not {wanted}, which '{name}' holds"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{given} is not a number, which '{name}' holds"
    if column.kind == "integer" and value != int(value):
        return f"{given} is not a whole number, which '{name}' holds"
    return f"{given} is not in {interval(column)}, the range of '{name}'" if outside(column, value) else None


def outside(column: Any, value: float) -> bool:
    """Tell whether a number lies outside a column's range."""
    return (column.low is not None and value < column.low) or (column.high is not None and value > column.high)


def interval(column: Any) -> str:
    """Return a column's range, for example `[0, 1]`."""
    low = "(-inf" if column.low is None else f"[{column.low:.15g}"
    high = "inf)" if column.high is None else f"{column.high:.15g}]"
    return f"{low}, {high}"
