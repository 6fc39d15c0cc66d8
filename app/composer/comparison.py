"""Seventh part: the arms that are compared, the null controls, and how often each runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import streamlit as st

from app import session
from app.actions import attempt
from app.composer.changes import show_rows
from app.composer.deciders import POLICIES
from app.composer.ties import layer_prefixes
from app.drafts import Draft, normal_key
from app.forms import (
    Problems,
    choice_field,
    label_of,
    model_field,
    number_field,
    safe,
    show_problems,
    text_field,
    title_of,
)
from app.notices import RUNS_NOTICE
from engine import registry
from engine.contract import ScenarioInfo
from engine.experiment import CONTROLS, null_control
from engine.loading import scenario_info

UNCHANGED = "as it is"
CONTROL_WORDS = {
    "shuffled_ties": ("Shuffled ties", ":material/shuffle:"),
    "no_interaction": ("No interaction", ":material/link_off:"),
    "blank_persona": ("Blank persona", ":material/person_off:"),
}
USUAL_RUNS = 20


def show_comparison(draft: Draft, problems: Problems) -> None:
    """Draw the arms, the buttons that add one, and the number of runs."""
    arms = draft.rows("arms")
    left, right = st.columns([3, 2], gap="large")
    with left:
        if not arms:
            st.markdown("**Nothing is compared yet**")
            st.caption("All runs are the same study with another seed each. Add an arm to see what a change makes.")
        for place in range(len(arms)):
            _arm(draft, problems, place)
        own = tuple(problem for problem in problems if problem.key == "arms")
        show_problems(own, "arms")
        _buttons(draft, arms)
    with right:
        _controls(draft, arms)
        _runs(draft, problems, len(arms))


def _buttons(draft: Draft, arms: list[Any]) -> None:
    with st.container(horizontal=True):
        st.button(
            "Add an arm" if arms else "Compare with a change",
            key="add_arm",
            icon=":material/add:",
            type="secondary" if arms else "primary",
            on_click=session.change_draft,
            args=(add_arm,),
            kwargs={"afresh": False},
        )
        if arms:
            st.button(
                "Compare nothing",
                key="drop_arms",
                type="tertiary",
                on_click=session.change_draft,
                args=(partial(Draft.put, key="arms", value=None),),
            )


def _controls(draft: Draft, arms: list[Any]) -> None:
    with st.container(border=True):
        st.markdown("**Null controls**")
        st.caption("An arm in which one suspected cause is taken away. If the effect stays, it was not the cause.")
        names = [str(arm.get("name")) for arm in arms if isinstance(arm, dict)]
        with st.container(horizontal=True, gap="small"):
            for kind, (words, icon) in CONTROL_WORDS.items():
                st.button(
                    words,
                    key=f"control_{kind}",
                    icon=icon,
                    help=CONTROLS[kind],
                    disabled=title_of(kind) in names,
                    on_click=attempt,
                    args=(_add_control, draft, kind),
                )


def _runs(draft: Draft, problems: Problems, n_arms: int) -> None:
    with st.container(border=True):
        label = "Runs of each arm" if n_arms else "Runs"
        number_field(draft, "replicates", label, draft.get("replicates", 1), whole=True, help="`replicates`")
        show_problems(problems, "replicates")
        held = draft.get("replicates", 1)
        if isinstance(held, int) and held >= 1:
            st.text(runs_sentence(held, n_arms))
        if held == 1:
            st.button(
                f"Take {USUAL_RUNS}",
                key="take_usual",
                on_click=session.change_draft,
                args=(partial(Draft.put, key="replicates", value=USUAL_RUNS),),
            )
        st.caption(safe(RUNS_NOTICE))


def runs_sentence(replicates: int, n_arms: int) -> str:
    """Return what a number of runs can and cannot show."""
    if replicates == 1:
        what = "One run of each arm" if n_arms else "One run"
        return f"{what} has no band: it shows what can happen, not what usually happens."
    if not n_arms:
        return f"{replicates} runs with {replicates} seeds: the band shows how much chance alone does."
    return (
        f"{replicates} runs of each of {n_arms} arms, {replicates * n_arms} in all. Run number r draws the same random "
        "numbers in every arm, so arms are compared pair by pair."
    )


# -- one arm ----------------------------------------------------------------------------------------------------------
def _arm(draft: Draft, problems: Problems, place: int) -> None:
    prefix = f"arms.{place}"
    arm = draft.get(prefix)
    with st.container(border=True):
        if not isinstance(arm, dict):
            show_problems(problems, prefix)
            return
        name, remove = st.columns([5, 1], vertical_alignment="bottom")
        with name:
            text_field(draft, f"{prefix}.name", "Base arm: the others are compared with it" if place == 0 else "Arm")
        remove.button(
            "",
            key=f"drop_arm_{place}",
            icon=":material/delete:",
            help="Remove this arm",
            on_click=session.change_draft,
            args=(partial(drop_arm, place=place),),
        )
        _differences(draft, problems, place)
        rows = draft.rows(f"{prefix}.interventions")
        words = f"Interventions of this arm ({len(rows)})" if rows else "Interventions of this arm alone"
        with st.expander(words, icon=":material/bolt:", expanded=bool(rows)):
            show_rows(draft, problems, f"{prefix}.interventions", f"_arm{place}")
        show_problems(_elsewhere(problems, prefix, set(changed_keys(arm))), prefix)


def _elsewhere(problems: Problems, prefix: str, shown: set[str]) -> Problems:
    """Return the problems of an arm that no field of it shows."""
    fields = {f"{prefix}.set.{key}" for key in shown}
    return tuple(
        problem
        for problem in problems
        if normal_key(problem.key) not in fields and not normal_key(problem.key).startswith(f"{prefix}.interventions.")
    )


def _differences(draft: Draft, problems: Problems, place: int) -> None:
    prefix = f"arms.{place}"
    info = scenario_info(str(draft.get("scenario")))
    offered = possible_changes(draft, info)
    now = changed_keys(draft.get(prefix))
    key = session.field_key(f"{prefix}.differs")
    st.multiselect(
        "What differs",
        list(dict.fromkeys([*offered, *now])),
        default=now,
        format_func=lambda name: offered.get(name, name),
        key=key,
        placeholder="nothing: this arm is the study as it is" if place == 0 else "choose a knob",
        on_change=lambda: session.change_draft(
            partial(_choose, place=place, keys=session.value_of(key) or []), afresh=False
        ),
    )
    cells = st.columns(2, gap="medium")
    for number, name in enumerate(now):
        with cells[number % 2]:
            _changed_field(draft, problems, f"{prefix}.set", name, info)


def _changed_field(draft: Draft, problems: Problems, prefix: str, name: str, info: ScenarioInfo) -> None:
    section, _, rest = name.partition(".")
    generator = str(draft.get("network.kind", ""))
    if section == "params" and rest in info.params.model_fields:
        model_field(rest, info.params.model_fields[rest], f"{prefix}.params", draft, problems)
    elif section == "network" and generator in registry.networks and rest in _parameters(generator):
        model_field(rest, _parameters(generator)[rest], f"{prefix}.network", draft, problems)
    elif section == "decisions" and name.endswith(".policy"):
        key = f"{prefix}.{name}"
        label = f"Who decides {safe(title_of(rest.removesuffix('.policy')))}"
        choice_field(
            draft, key, label, list(POLICIES), draft.get(key), words=lambda kind: POLICIES.get(kind, kind), help=name
        )
        show_problems(problems, key)
    elif name == "population.size":
        number_field(draft, f"{prefix}.{name}", "People", draft.get(f"{prefix}.{name}"), whole=True, help=name)
        show_problems(problems, f"{prefix}.{name}")
    elif name.startswith("network.layers."):
        _layer_field(draft, prefix, name)
        show_problems(problems, f"{prefix}.{name}")
    else:
        st.text(f"{name} = {flat_values(draft.table(prefix)).get(name)}")
        show_problems(problems, f"{prefix}.{name}")


def _layer_field(draft: Draft, prefix: str, name: str) -> None:
    """Draw a parameter of one layer; its key has a number within, so it stands in the arm's table as it is."""
    held = draft.table(prefix).get(name)
    layer, _, parameter = name.rpartition(".")
    fields = _parameters(str(draft.get(f"{layer}.kind")))
    words = f"{safe(str(draft.get(f'{layer}.name', '')))}: {label_of(parameter, fields[parameter])}"
    key = session.field_key(f"{prefix}.{name}")

    def store() -> None:
        draft.put(prefix, {**draft.table(prefix), name: session.value_of(key)})

    if isinstance(held, bool):
        st.toggle(words, held, key=key, on_change=store, help=name)
    elif isinstance(held, int | float):
        st.number_input(
            words, value=held, key=key, on_change=store, help=name, format="%d" if isinstance(held, int) else "%g"
        )
    elif isinstance(held, str):
        st.text_input(words, held, key=key, on_change=store, help=name)
    else:
        st.text(f"{name} = {held}")


def _parameters(generator: str) -> dict[str, Any]:
    return dict(registry.networks.get(generator).params.model_fields)


def possible_changes(draft: Draft, info: ScenarioInfo) -> dict[str, str]:
    """Return dotted key -> words of what an arm can change by a form: knobs, ties, size, who decides."""
    found = {
        f"params.{name}": label_of(name, field).replace("\\", "") for name, field in info.params.model_fields.items()
    }
    generator = str(draft.get("network.kind", ""))
    if layer_prefixes(draft) == ["network"] and generator in registry.networks:
        found |= {f"network.{name}": f"ties: {title_of(name)}" for name in _parameters(generator)}
    for prefix in (prefix for prefix in layer_prefixes(draft) if prefix != "network"):
        kind, layer = str(draft.get(f"{prefix}.kind", "")), str(draft.get(f"{prefix}.name", ""))
        if kind in registry.networks:
            found |= {f"{prefix}.{name}": f"ties, {layer}: {title_of(name)}" for name in _parameters(kind)}
    found["population.size"] = "number of people"
    if not info.mechanism_only:
        found |= {f"decisions.{d.name}.policy": f"who decides {title_of(d.name)}" for d in info.decisions}
    return found


def changed_keys(arm: Any) -> list[str]:
    """Return the dotted keys that an arm sets."""
    return list(flat_values(arm.get("set") or {})) if isinstance(arm, dict) else []


def flat_values(table: Any, prefix: str = "") -> dict[str, Any]:
    """Return dotted key -> value of nested tables."""
    flat: dict[str, Any] = {}
    for key, value in table.items() if isinstance(table, Mapping) else ():
        if isinstance(value, Mapping):
            flat |= flat_values(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def nested_values(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys as nested tables, as the composer's fields write them; keys into a list stay dotted."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        parts = key.split(".")
        if any(part.isdigit() for part in parts):
            nested[key] = value
            continue
        place = nested
        for part in parts[:-1]:
            place = place.setdefault(part, {})
        place[parts[-1]] = value
    return nested


def _choose(draft: Draft, place: int, keys: list[str]) -> None:
    held = flat_values(draft.table(f"arms.{place}.set"))
    fresh = {key: held[key] if key in held else _present_value(draft, key) for key in keys}
    draft.put(f"arms.{place}.set", nested_values({key: value for key, value in fresh.items() if value is not None}))


def _present_value(draft: Draft, key: str) -> Any:
    """Return the value to start an arm's own from: the study's, or for who decides the one that differs."""
    held = draft.get(key)
    if key.endswith(".policy"):
        return "rule" if held == "language" else "language"
    if held is not None:
        return held
    info = scenario_info(str(draft.get("scenario")))
    section, _, name = key.partition(".")
    if section == "params":
        return info.params.model_fields[name].default
    if key.startswith("network.layers."):
        layer, _, parameter = key.rpartition(".")
        return _parameters(str(draft.get(f"{layer}.kind")))[parameter].default
    if section == "network":
        return _parameters(str(draft.get("network.kind")))[name].default
    if key == "population.size":
        return info.defaults.get("population", {}).get("size") or 100
    return None


# -- adding and dropping ----------------------------------------------------------------------------------------------
def add_arm(draft: Draft) -> None:
    """Add an arm that differs in nothing yet; the first time also the base arm, and runs enough for a band."""
    _append(draft, lambda names: {"name": _free_name(names), "set": {}})


def _append(draft: Draft, make: Callable[[list[str]], dict[str, Any]]) -> None:
    arms = draft.rows("arms") or [{"name": UNCHANGED, "set": {}}]
    names = [str(arm.get("name")) for arm in arms if isinstance(arm, dict)]
    draft.put("arms", [*arms, make(names)])


def _free_name(names: list[str]) -> str:
    return next(f"arm {number}" for number in range(2, len(names) + 3) if f"arm {number}" not in names)


def drop_arm(draft: Draft, place: int) -> None:
    """Remove an arm; with the last but one the comparison goes as well."""
    arms = [arm for index, arm in enumerate(draft.rows("arms")) if index != place]
    draft.put("arms", arms if len(arms) > 1 else None)


def _add_control(draft: Draft, kind: str) -> None:
    """Add the arm of a null control.

    Raises:
        StudyError: it would change nothing in this study; says why.
    """
    _, problems = draft.check()
    study = draft.check_without_arms()
    if study is None:
        session.remember("attempt_error", f"Solve the open problems first: {problems[0]}")
        return
    control = null_control(study, kind)
    arm = {"name": control.name, "set": nested_values(control.set)}
    session.change_draft(partial(_append, make=lambda names: arm), afresh=False)
