"""Fifth part: interventions, one form per row: when, whom, what."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args, get_origin

import streamlit as st

from app import session
from app.composer.deciders import persona_sample
from app.drafts import Draft, normal_key
from app.forms import Problems, model_fields, number_field, plain_type, safe, show_problems, text_field
from engine import registry
from engine.loading import scenario_info

WHEN = {"at": "once, at a step", "every": "every so many steps", "when": "as soon as a condition holds"}
WHOM = {
    "all": "everyone",
    "where": "those for whom a condition holds",
    "top": "those with the largest value",
    "sample": "a random part",
    "ids": "named agents",
}
EFFECTS = {
    "set": "give a column a value",
    "add": "add to a column",
    "scale": "multiply a column",
    "set_param": "change a knob",
    "broadcast": "let them read a text",
    "add_ties": "add ties",
    "cut_ties": "cut ties",
    "seed_adopters": "give some of them a starting value",
    "close_triads": "let friends of friends meet",
    "rewire_alike": "let people turn to their like",
    "unfollow": "cut ties to the unlike",
}


def show_changes(draft: Draft, problems: Problems) -> None:
    """Draw one form per intervention and the button that adds one."""
    if not draft.rows("interventions"):
        st.caption(
            "Nothing comes from outside yet. Add an intervention to change people, ties or knobs during the run. "
            "What only one arm gets belongs into the comparison, the next part."
        )
    show_rows(draft, problems, "interventions")
    _names(draft)


def show_rows(draft: Draft, problems: Problems, root: str, suffix: str = "") -> None:
    """Draw the interventions of a study or of one arm.

    Args:
        draft: The study.
        problems: What is wrong with it.
        root: Dotted key of the list, `interventions` or `arms.1.interventions`.
        suffix: Keeps the buttons of several lists apart.
    """
    for place, row in enumerate(draft.rows(root)):
        prefix = f"{root}.{place}"
        if not isinstance(row, dict):
            show_problems(problems, prefix)
            continue
        with st.container(border=True):
            _head(draft, root, place, suffix)
            when, whom, what = st.columns(3, gap="large")
            with when:
                _when(draft, prefix, row, problems)
            with whom:
                _whom(draft, prefix, row, problems)
            with what:
                _what(draft, prefix, row, problems)
            show_problems(_elsewhere(problems, prefix), prefix)
    st.button(
        "Add an intervention",
        key=f"add_change{suffix}",
        icon=":material/add:",
        on_click=session.change_draft,
        args=(partial(_add, root=root),),
    )
    show_problems(tuple(problem for problem in problems if normal_key(problem.key) == root), root)


def _elsewhere(problems: Problems, prefix: str) -> Problems:
    """Return the problems of a row that no field of the row shows."""
    shown = ("name", "at", "every", "when", "until", "whom", "do")
    return tuple(p for p in problems if not any(normal_key(p.key).startswith(f"{prefix}.{part}") for part in shown))


def _head(draft: Draft, root: str, place: int, suffix: str) -> None:
    name, remove = st.columns([5, 1], vertical_alignment="bottom")
    with name:
        text_field(draft, f"{root}.{place}.name", "Name", placeholder="vaccinate the best connected")
    remove.button(
        "Remove",
        key=f"drop_change{suffix}_{place}",
        icon=":material/delete:",
        on_click=session.change_draft,
        args=(_drop(root, place),),
    )


def _drop(root: str, place: int) -> Callable[[Draft], object]:
    return lambda held: held.put(root, [row for index, row in enumerate(held.get(root)) if index != place] or None)


def _add(draft: Draft, root: str) -> None:
    rows = list(draft.rows(root))
    steps = draft.get("steps", 100)
    at = steps // 2 if isinstance(steps, int) else 0
    info = scenario_info(str(draft.get("scenario")))
    knob = next(iter(info.params.model_fields))
    value = draft.get(f"params.{knob}", info.params.model_fields[knob].default)
    rows.append({"name": _new_name(draft), "at": at, "do": {"effect": "set_param", "param": knob, "value": value}})
    draft.put(root, rows)


def _new_name(draft: Draft) -> str:
    """Return a name that no intervention of the study or of an arm has."""
    roots = ["interventions", *(f"arms.{place}.interventions" for place in range(len(draft.rows("arms"))))]
    names = {str(row.get("name")) for root in roots for row in draft.rows(root) if isinstance(row, dict)}
    return next(f"change {number}" for number in range(1, len(names) + 2) if f"change {number}" not in names)


def _when(draft: Draft, prefix: str, row: dict[str, Any], problems: Problems) -> None:
    now = next((kind for kind in WHEN if row.get(kind) is not None), "at")
    key = session.field_key(f"{prefix}.schedule")
    st.selectbox(
        "When",
        list(WHEN),
        index=list(WHEN).index(now),
        format_func=lambda kind: WHEN[kind],
        key=key,
        on_change=lambda: session.change_draft(partial(_set_when, prefix=prefix, kind=session.value_of(key))),
    )
    if now == "when":
        text_field(
            draft,
            f"{prefix}.when",
            "Condition",
            placeholder=f"{scenario_info(str(draft.get('scenario'))).measures[0].name} > 0.1",
            help="Measures, and, or, not.",
        )
    else:
        label = "Step" if now == "at" else "Steps between"
        number_field(draft, f"{prefix}.{now}", label, row.get(now), whole=True, help="Acts on the state at this step.")
    show_problems(problems, f"{prefix}.{now}")
    if now != "at":
        number_field(draft, f"{prefix}.until", "Until step", row.get("until"), whole=True, optional=True)
        show_problems(problems, f"{prefix}.until")


def _set_when(draft: Draft, prefix: str, kind: str) -> None:
    row = {key: value for key, value in draft.get(prefix).items() if key not in WHEN}
    draft.put(prefix, row | {kind: {"at": 0, "every": 10, "when": ""}[kind]})


def _whom(draft: Draft, prefix: str, row: dict[str, Any], problems: Problems) -> None:
    held = row.get("whom") or {}
    now = next((kind for kind in ("ids", "where", "top", "sample") if held.get(kind) is not None), "all")
    key = session.field_key(f"{prefix}.whom.kind")
    st.selectbox(
        "Whom",
        list(WHOM),
        index=list(WHOM).index(now),
        format_func=lambda kind: WHOM[kind],
        key=key,
        on_change=lambda: session.change_draft(partial(_set_whom, prefix=prefix, kind=session.value_of(key))),
    )
    path = f"{prefix}.whom"
    if now == "where":
        text_field(draft, f"{path}.where", "Condition", placeholder="age > 40 and degree > 10")
    elif now == "ids":
        text = ", ".join(str(agent) for agent in held["ids"])
        widget = session.field_key(f"{path}.ids")
        st.text_input(
            "Agents, by number", value=text, key=widget, on_change=session.store_field, args=(f"{path}.ids", _agent_ids)
        )
    elif now in ("top", "sample"):
        if now == "top":
            text_field(draft, f"{path}.top.by", "Largest by", placeholder="degree")
        number_field(draft, f"{path}.{now}.share", "Share", held[now].get("share"), whole=False, optional=True)
        number_field(draft, f"{path}.{now}.n", "or how many", held[now].get("n"), whole=True, optional=True)
    show_problems(problems, path)


def _agent_ids(text: str) -> list[int]:
    return [int(part) for part in text.replace(";", ",").split(",") if part.strip().isdigit()]


def _set_whom(draft: Draft, prefix: str, kind: str) -> None:
    fresh: dict[str, Any] = {
        "all": None,
        "where": {"where": ""},
        "top": {"top": {"by": "degree", "share": 0.05}},
        "sample": {"sample": {"share": 0.1}},
        "ids": {"ids": [0]},
    }
    draft.put(f"{prefix}.whom", fresh[kind])


def _what(draft: Draft, prefix: str, row: dict[str, Any], problems: Problems) -> None:
    effects = list(registry.effects)
    now = (row.get("do") or {}).get("effect")
    key = session.field_key(f"{prefix}.do.effect")
    st.selectbox(
        "What",
        effects,
        index=effects.index(now) if now in effects else None,
        format_func=lambda name: EFFECTS.get(name, name),
        key=key,
        on_change=lambda: session.change_draft(partial(_set_what, prefix=prefix, effect=session.value_of(key))),
    )
    if now in effects:
        effect = registry.effects.get(now)
        narrow = prefix.startswith("arms.")  # there an intervention has half of the page's width
        per_row = 1 if narrow or now == "broadcast" else 2
        choices = possible_values(draft, row.get("do") or {})
        model_fields(effect.params, f"{prefix}.do", draft, problems, per_row=per_row, skip=("pairs",), choices=choices)
        show_problems(tuple(p for p in problems if p.key.endswith(".do")), f"{prefix}.do")


def possible_values(draft: Draft, do: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the values that the fields of an effect can have, where they are known: columns, knobs, labels."""
    info = scenario_info(str(draft.get("scenario")))
    people = persona_sample(draft)
    columns = dict(info.columns) | (dict(people.columns) if people is not None else {})
    chosen = columns.get(str(do.get("column")))
    found: dict[str, list[Any]] = {"column": list(columns), "param": list(info.params.model_fields)}
    if chosen is not None and chosen.labels:
        found["value"] = list(chosen.labels)
    knob = info.params.model_fields.get(str(do.get("param")))
    if (chosen is not None and chosen.kind == "boolean") or (knob is not None and plain_type(knob.annotation) is bool):
        found["value"] = [True, False]
    if knob is not None and get_origin(plain_type(knob.annotation)) is Literal:
        found["value"] = list(get_args(plain_type(knob.annotation)))
    return found


def _set_what(draft: Draft, prefix: str, effect: str) -> None:
    info = scenario_info(str(draft.get("scenario")))
    column = next(iter(info.columns), "")
    knob = next(iter(info.params.model_fields), "")
    labels = info.columns[column].labels if column else ()
    value: Any = labels[0] if labels else 0
    fresh: dict[str, dict[str, Any]] = {
        "set": {"column": column, "value": value},
        "add": {"column": column, "amount": 0.1},
        "scale": {"column": column, "factor": 2.0},
        "set_param": {"param": knob, "value": draft.get(f"params.{knob}", info.params.model_fields[knob].default)},
        "broadcast": {"text": "Please stay at home."},
        "seed_adopters": {"column": column, "value": value, "n": 5},
        "rewire_alike": {"column": column},
        "unfollow": {"column": column},
    }
    draft.put(f"{prefix}.do", {"effect": effect, **fresh.get(effect, {})})


def _names(draft: Draft) -> None:
    info = scenario_info(str(draft.get("scenario")))
    people = persona_sample(draft)
    traits = list(people.columns) if people is not None else []
    with st.expander("Names that conditions may use", icon=":material/abc:"):
        st.text(
            "For whom:  "
            + ", ".join(dict.fromkeys([*info.columns, *traits, *measured_columns(draft), "degree", "agent_id"]))
        )
        st.text("For when:  " + ", ".join(measure.name for measure in info.measures))
        st.caption(safe("Comparisons, and, or, not, + - * /, in. Texts stand in quotes: state == 'infected'."))


def measured_columns(draft: Draft) -> list[str]:
    """Return the names of the columns that the layers of ties give the agents."""
    layers = draft.rows("network.layers") or [draft.table("network")]
    return [name for layer in layers if isinstance(layer, dict) for name in layer.get("agent_columns") or {}]
