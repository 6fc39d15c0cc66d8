"""Fingerprints of the prompts that the pocket model was trained on, so that a changed wording is noticed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from assets.pocket.situations import RETELLING, Ask, column_of, list_asks
from engine.decision import Decision, Integers
from engine.policy.prompt import ask_reason, build_prefix, build_suffix, render_preamble, show_reason
from engine.population import field_phrase

PROMPTS = Path(__file__).with_name("prompts.json")
LEVELS = 5  # prompts per ask
RETRAIN = (
    "the prompts of {names} have changed since the pocket model was trained; retrain: python assets/pocket/train.py"
)


def render_grid(ask: Ask) -> list[str]:
    """Return the prompts of a fixed grid: default knobs, and one level after another of everything that is shown."""
    preamble = render_preamble(ask.ask.preamble, ask.info.params())
    options = () if not isinstance(ask.ask, Decision) or isinstance(ask.ask.answer, Integers) else ask.ask.answer.texts
    prompts = []
    for level in range(LEVELS):
        prefix = build_prefix(ask.ask, preamble, options[:: 1 if level % 2 else -1])
        seen = {name: shown.text(level % shown.n_codes) for name, shown in ask.ask.shows.items()}
        persona = []
        for name in ask.ask.persona_fields:
            presentation = column_of(name).shown(0.0, 10.0)
            words = presentation.text(level % presentation.n_codes) if presentation else "You live here."
            persona.append(field_phrase(name, column_of(name), words))
        texts = dict.fromkeys(ask.ask.texts, "It is so.") if level else {}
        suffix = build_suffix(ask.ask, "It rains." if level == 1 else "", texts, persona, seen)
        prompts += [prefix + suffix, ask_reason(prefix) + suffix, prefix + suffix + show_reason("It is so.")]
    return prompts


def fingerprint_prompts() -> dict[str, str]:
    """Return one hash per decision and writing, and one of the retelling."""
    found = {}
    for ask in (part for asks in list_asks() for part in asks):
        text = "\0".join(render_grid(ask))
        found[ask.name] = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    retelling = build_prefix(RETELLING, "") + build_suffix(RETELLING, "", {"text": "It is so."}, [], {})
    found["retelling"] = hashlib.blake2b(retelling.encode(), digest_size=12).hexdigest()
    return found


def stored_fingerprints() -> dict[str, str]:
    """Return the fingerprints at the time of the training."""
    return dict(json.loads(PROMPTS.read_text(encoding="utf-8")))


def find_changes() -> str:
    """Return what to do where prompts differ from those of the training, or an empty string."""
    now, then = fingerprint_prompts(), stored_fingerprints()
    changed = sorted(name for name in now | then if now.get(name) != then.get(name))
    return RETRAIN.format(names=", ".join(changed)) if changed else ""


def store_fingerprints() -> None:
    """Write the present fingerprints; part of a training."""
    PROMPTS.write_text(json.dumps(fingerprint_prompts(), indent=2) + "\n", encoding="utf-8")
