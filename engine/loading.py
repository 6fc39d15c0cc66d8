"""Studies in and out: TOML text, files, names and tables to a checked `Study`, and back without loss.

What is read passes through these stages; problems of all of them are reported together:

1. text to tables (`tomllib`), reduced to plain values;
2. the scenario's defaults fill what the study leaves out;
3. `--set` changes are applied;
4. everything is checked against the scenario's knobs and the registries (`engine.validation`).
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from engine import registry
from engine.arms import apply_arm, check_arms
from engine.errors import Problem, StudyError
from engine.problems import Findings, TooLarge, plain, shown, unknown
from engine.spec import DecisionSpec, InterventionSpec, LayerSpec, Study
from engine.study_tables import complete_tables, override
from engine.validation import check_interventions, check_tables, known_names

MAX_BYTES = 5_000_000
_BESIDE = ("shuffle", "weigh", "signed", "add", "cut", "agent_columns")

_AT = re.compile(r" \(at (?:(line \d+, column \d+)|end of document)\)")
# tomllib needs quadratic time for dotted keys; 64 parts are more than any study has.
_MANY_DOTS = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""")


OF_POLICY = {"share": "mixture", "seats": "human", "others": "human", "on_timeout": "human"}
"""Keys of a decision that only one policy reads; a study file leaves their defaults out under the others."""


def load_study(
    source: str | Path | Mapping[str, Any] | Study,
    overrides: Sequence[str] = (),
    *,
    file: str | None = None,
    personas: Path | None = None,
    base: Path | None = None,
) -> Study:
    """Return a checked study.

    Args:
        source: Path of a TOML file; name of a scenario (its default study) or of a preset; tables in the form of the
            file; or a study, for changing it.
        overrides: Changes `KEY=VALUE` as with `--set`, for example "params.epsilon=0.3"; VALUE is read as TOML, else
            as text; a list is entered by position or name, as in "interventions.0.at=10".
        file: Name of the file in error texts; the path's own name by default.
        personas: The user's own personas folder.
        base: Folder that relative paths of the study start from; the study file's own by default.

    Raises:
        StudyError: with every problem of the study at once.
    """
    registry.discover()
    if isinstance(source, Study):
        return _build(study_tables(source), overrides, file or "", personas, base)
    if isinstance(source, Mapping):
        return _build(source, overrides, file or "", personas, base)
    if isinstance(source, str):
        if source in registry.scenarios:
            return _build({"scenario": source}, overrides, file or "", personas, base)
        if source in preset_names():
            return _build(_read_preset(source), overrides, file or f"{source}.toml", personas, base)
        if not _looks_like_path(source):
            names = [*registry.scenarios, *preset_names()]
            raise StudyError([Problem(unknown(source, "a file, a scenario or a preset", names))])
    path = Path(source)
    name = file or path.name
    return _build(_parse(_read_text(path, name), name), overrides, name, personas, base or path.parent)


def parse_study(
    text: str,
    *,
    file: str = "",
    overrides: Sequence[str] = (),
    personas: Path | None = None,
    base: Path | None = None,
) -> Study:
    """Return the checked study of a TOML text; arguments as in `load_study`.

    Raises:
        StudyError: with every problem of the study at once.
    """
    registry.discover()
    return _build(_parse(text, file), overrides, file, personas, base)


def default_study(scenario: str) -> Study:
    """Return the study that a scenario starts from.

    Raises:
        StudyError: no such scenario.
    """
    return load_study({"scenario": scenario})


def scenario_info(name: str) -> Any:
    """Return the `ScenarioInfo` of a registered scenario.

    Raises:
        RegistryError: no such scenario; names the nearest one.
    """
    registry.discover()
    return registry.scenarios.get(name)


def preset_names(scenario: str | None = None) -> list[str]:
    """Return the names of the shipped studies in `scenarios/presets/`, sorted; only those of one scenario if named."""
    folder = importlib.resources.files("scenarios") / "presets"
    if not folder.is_dir():
        return []
    names = sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml"))
    return [name for name in names if scenario is None or _read_preset(name).get("scenario") == scenario]


def load_interventions(
    source: str | Path | Mapping[str, Any],
    study: Study,
    *,
    file: str | None = None,
    personas: Path | None = None,
    base: Path | None = None,
) -> tuple[InterventionSpec, ...]:
    """Return checked interventions for a study that exists, for example to inject into its run.

    Args:
        source: Path of a TOML file with `[[interventions]]` and nothing else, or such tables.
        study: The study whose scenario, columns, layers and measures they refer to.
        file: Name of the file in error texts.
        personas: The user's own personas folder.
        base: Folder that relative paths of the study start from.

    Raises:
        StudyError: with every problem at once.
    """
    registry.discover()
    if isinstance(source, Mapping):
        tables, name = dict(source), file or ""
    else:
        name = file or Path(source).name
        tables = _parse(_read_text(Path(source), name), name)
    findings = Findings(name)
    tables = _plain(tables, findings)
    for key in tables:
        if key != "interventions":
            findings.add(unknown(key, "a key of a file of interventions", ["interventions"]), key)
    given = tables.get("interventions", [])
    known = known_names(study, registry.scenarios.get(study.scenario), personas, base)
    found = check_interventions(given, known, findings)
    for position, spec in enumerate(found):
        if spec.name in [other.name for other in study.interventions]:
            message = f"'{spec.name}' is already an intervention of the study; give it another name"
            findings.add(message, "interventions", position, "name")
    if findings.problems:
        raise StudyError(findings.problems)
    return found


def _looks_like_path(source: str) -> bool:
    if source.lower().endswith(".toml") or "/" in source or "\\" in source:
        return True
    try:
        return Path(source).exists()
    except (OSError, ValueError):
        return False


def _read_text(path: Path, name: str) -> str:
    """Return a study file's text.

    Raises:
        StudyError: missing, a folder, unreadable, too large, or not UTF-8.
    """
    try:
        if not path.exists():
            raise StudyError([Problem(f"there is no file {shown(str(path))}; check the path", file=name)])
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not a file"
            raise StudyError([Problem(f"{shown(str(path))} is {what}; give the path of a study file", file=name)])
        with path.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise StudyError([Problem(f"{shown(str(path))} cannot be read: {reason}", file=name)]) from None
    if len(content) > MAX_BYTES:
        raise StudyError([Problem("the file has more than 5 MB; a study file has a few kilobytes", file=name)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = f"line {line} is not UTF-8 (byte 0x{content[error.start]:02x}); save the file as UTF-8"
        raise StudyError([Problem(message, file=name)]) from None


def _parse(text: str, name: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        StudyError: not TOML, with line and column; or too long or too deeply nested.
    """
    if len(text) > MAX_BYTES:
        raise StudyError([Problem("the text has more than 5 million characters", file=name)])
    if _MANY_DOTS.search(text):
        raise StudyError([Problem("a dotted key has more than 64 parts; a study nests at most 24 levels", file=name)])
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT.search(str(error))
        end = f"line {text.count(chr(10)) + 1}, column {len(text) - text.rfind(chr(10))}"
        where = found.group(1) if found and found.group(1) else end
        message = f"not valid TOML at {where}: {_AT.sub('', str(error))}"
    except RecursionError:
        message = "nested too deeply; a study nests at most 24 levels"
    except ValueError:
        message = "a number in the file has too many digits"
    raise StudyError([Problem(message, file=name)])


def _read_preset(name: str) -> dict[str, Any]:
    source = importlib.resources.files("scenarios") / "presets" / f"{name}.toml"
    return _parse(source.read_text("utf-8"), f"{name}.toml")


def _plain(tables: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    try:
        reduced: dict[str, Any] = plain(tables, findings)
    except TooLarge:
        raise StudyError([Problem("the study holds more than a million values", file=findings.file)]) from None
    return reduced


def _read_overrides(overrides: Sequence[str], findings: Findings) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (key parts, value) of each `KEY=VALUE`."""
    for text in [overrides] if isinstance(overrides, str) else overrides:
        key, equals, written = str(text).partition("=")
        parts = tuple(part.strip().strip("\"'") for part in key.split("."))
        if not equals or not all(parts):
            findings.add(f"{shown(text)} is not KEY=VALUE, for example params.epsilon=0.3", file="--set")
            continue
        try:
            tables = _parse(f"value = {written}", "--set")
            value = tables["value"] if len(tables) == 1 else written
        except StudyError:
            value = written
        if not isinstance(value, str | bool | int | float | list | dict):
            value = written
        yield parts, _plain({"value": value}, findings).get("value")


def _build(
    given: Mapping[str, Any], overrides: Sequence[str], file: str, personas: Path | None, base: Path | None
) -> Study:
    findings = Findings(file)
    tables = _plain(given, findings)
    changes = list(_read_overrides(overrides, findings))
    for parts, value in changes:
        if parts == ("scenario",):
            findings.overridden.add(parts)
            tables["scenario"] = value
    info = _find_scenario(tables.get("scenario"), findings)
    complete = complete_tables(tables, info, findings)
    for parts, value in changes:
        if parts != ("scenario",):
            override(complete, parts, value, tables, findings)
    arms = complete.pop("arms", None)
    study = check_tables(complete, info, findings, personas, base)
    checked = check_arms(arms, complete, info, findings, personas, base)
    if findings.problems:
        raise StudyError(findings.problems)
    return study.model_copy(update={"arms": checked})


def expand_arms(study: Study, personas: Path | None = None, base: Path | None = None) -> list[tuple[str, Study]]:
    """Return (name, study) of each arm, studies without arms; a study that has none alone, under an empty name.

    Args:
        study: A checked study.
        personas: The user's own personas folder.
        base: Folder that relative paths of the study start from.

    Raises:
        StudyError: an arm does not fit this version's scenarios.
    """
    if not study.arms:
        return [("", study)]
    registry.discover()
    info, findings = _find_scenario(study.scenario, Findings()), Findings()
    tables = complete_tables(study_tables(study.model_copy(update={"arms": ()})), info, findings)
    expanded = []
    for arm in study.arms:
        expanded.append((arm.name, check_tables(apply_arm(tables, arm, findings), info, findings, personas, base)))
    if findings.problems:
        raise StudyError(findings.problems)
    return expanded


def _find_scenario(name: Any, findings: Findings) -> Any:
    if name is None:
        findings.add(f"'scenario' is missing; valid: {', '.join(registry.scenarios)}", "scenario")
        return None
    if not isinstance(name, str):
        findings.add(f"scenario = {shown(name)} is not text", "scenario")
    elif name in registry.scenarios:
        return registry.scenarios.get(name)
    else:
        findings.add(unknown(name, "a scenario", list(registry.scenarios)), "scenario")
    return None


def study_tables(study: Study) -> dict[str, Any]:
    """Return a study as plain tables in the form and order of its file; without what is None."""
    full = study.model_dump(mode="json", exclude_none=True, warnings=False)
    head = {key: full[key] for key in ("format", "title", "question", "scenario", "seed", "steps", "replicates")}
    if not head["question"]:
        del head["question"]
    head |= {"stop_when": full["stop_when"]} if full["stop_when"] else {}
    tables = head | {key: full[key] for key in ("redraw", "seeds") if full[key]}
    population = full["population"]
    if not population["columns"] and {"recipe", "personas", "file"} & population.keys():
        del population["columns"]
    for key in ("map", "keep", "score", "redistribute", "groups"):
        if not population[key]:
            del population[key]
    for key, usual in (("draw", "weight"), ("lang", "en")):
        if population[key] == usual:
            del population[key]
    for table in population.get("map", {}).values():
        for key in [key for key in ("labels", "missing_codes") if not table[key]]:
            del table[key]
    for key in ("api", "timeout_s", "max_concurrent"):  # of a server; left out of most studies
        if full["model"][key] == type(study.model).model_fields[key].default:
            del full["model"][key]
    layers = [_layer_table(layer) for layer in full["layers"]]
    network = layers[0] if len(layers) == 1 else {"layers": layers}
    tables |= {"params": full["params"], "population": population, "network": network}
    tables |= {key: full[key] for key in ("decisions",) if full[key]} | {"model": full["model"]}
    interventions = [_intervention_table(table) for table in full["interventions"]]
    tables |= ({"interventions": interventions} if interventions else {}) | {"record": full["record"]}
    return tables | ({"arms": [_arm_table(arm) for arm in full["arms"]]} if full["arms"] else {})


def _layer_table(layer: Mapping[str, Any]) -> dict[str, Any]:
    usual = LayerSpec().model_dump(mode="json")
    beside = {key: layer[key] for key in _BESIDE if layer.get(key, usual[key]) != usual[key]}
    for key in ("add", "cut"):
        if key in beside:
            beside[key] = [[int(tie[0]), int(tie[1]), *tie[2:]] for tie in beside[key]]
    unused = {"columns", "targets"} if layer["kind"] == "homophily" and not layer["params"].get("columns") else set()
    params = {key: value for key, value in layer["params"].items() if key not in unused}
    return {"name": layer["name"], "kind": layer["kind"], **beside, **params}


def _intervention_table(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != "whom" or value}


def _arm_table(arm: Mapping[str, Any]) -> dict[str, Any]:
    added = [_intervention_table(table) for table in arm["interventions"]]
    table = {"name": arm["name"], "set": arm["set"], "interventions": added}
    return {key: value for key, value in table.items() if value}


def dump_study(study: Study) -> str:
    """Return a study as TOML: readable, complete, and read back to an equal study."""
    tables, lines = study_tables(study), list[str]()
    for name, table in tables.get("decisions", {}).items():
        tables["decisions"][name] = {key: value for key, value in table.items() if not _is_idle(key, value, table)}
    if not tables["population"].get("columns", True) and not _default_source(study.scenario):
        del tables["population"]["columns"]
    for key, value in tables.items():
        if key == "interventions":
            lines += [line for table in value for line in ["", "[[interventions]]", *_pairs(table)]]
        elif key == "arms":
            lines += [line for arm in value for line in _arm_lines(arm)]
        elif key == "network" and "layers" in value:
            lines += [line for layer in value["layers"] for line in ["", "[[network.layers]]", *_pairs(layer)]]
        elif isinstance(value, dict):
            lines += _section(key, value)
        else:
            lines += _pairs({key: value})
    return "\n".join(lines) + "\n"


def _is_idle(key: str, value: Any, table: Mapping[str, Any]) -> bool:
    """Tell whether a key of a decision has its default and belongs to another policy, or turns something off."""
    policy = OF_POLICY.get(key)
    return (key == "reason" or policy not in (None, table.get("policy"))) and value in (
        DecisionSpec.model_fields[key].default,
        [],
    )


def _default_source(scenario: str) -> bool:
    """Tell whether a scenario's default study takes its population from somewhere, as an unknown one may."""
    if scenario not in registry.scenarios:
        return True
    return bool(
        {"recipe", "personas", "file", "columns"}
        & registry.scenarios.get(scenario).defaults.get("population", {}).keys()
    )


def study_hash(study: Study) -> str:
    """Return the BLAKE2b hash of a study, 32 hexadecimal digits; the order of its keys does not matter."""
    canonical = json.dumps(study_tables(study), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def _section(header: str, table: Mapping[str, Any]) -> list[str]:
    own = {key: value for key, value in table.items() if not isinstance(value, dict)}
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    lines = ["", f"[{header}]", *_pairs(own)] if own or not inner else []
    return lines + [line for key, value in inner.items() for line in _section(f"{header}.{_key(key)}", value)]


def _arm_lines(arm: Mapping[str, Any]) -> list[str]:
    own = {key: value for key, value in arm.items() if key != "interventions"}
    added = [["", "[[arms.interventions]]", *_pairs(table)] for table in arm.get("interventions", [])]
    return ["", "[[arms]]", *_pairs(own), *(line for lines in added for line in lines)]


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_inline(value)}" for key, value in table.items()]


def _key(key: str) -> str:
    return tomli_w.dumps({key: 0}).removesuffix(" = 0\n")


def _inline(value: Any) -> str:
    """Return a value on one line, tables in braces."""
    if isinstance(value, dict):
        return "{ " + ", ".join(_pairs(value)) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").removesuffix("\n")
