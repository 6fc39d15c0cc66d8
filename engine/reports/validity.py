"""The validity section: what was verified, calibrated and validated, each apart, and what was not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.reports.contents import FINISHED, StudyPart
from engine.reports.language import LanguagePart

MONTE_CARLO = "More runs shrink any p-value: report the effect and its Monte Carlo error."


@dataclass(frozen=True)
class Finding:
    """One thing that was checked or was not.

    Attributes:
        status: checked, not checked, or concern (it was checked and something is wrong).
        text: What was found, or what is missing.
    """

    status: Literal["checked", "not checked", "concern"]
    text: str


@dataclass(frozen=True)
class ValiditySection:
    """One of the three questions that are kept apart."""

    title: str
    meaning: str
    findings: list[Finding]


def assess_validity(parts: list[StudyPart], language: list[LanguagePart]) -> list[ValiditySection]:
    """Return verification, calibration and validation of the studies in a report."""
    return [
        ValiditySection(
            "Verification", "Does the program do what the mathematics of the scenario says?", _verify(parts, language)
        ),
        ValiditySection(
            "Calibration",
            "Were knobs fitted to observations?",
            [
                Finding(
                    "not checked",
                    "No knob was fitted to observations; all values were set by hand or left at their defaults.",
                ),
            ],
        ),
        ValiditySection(
            "Validation",
            "Do the results agree with people that were not used to build the study?",
            [
                Finding("not checked", "No human data were compared. Nothing here shows that people would behave so."),
            ],
        ),
    ]


def list_limits(parts: list[StudyPart], language: list[LanguagePart]) -> list[str]:
    """Return what the report cannot show, in sentences."""
    few = [part for part in parts if len(part.counted) < 2]
    told = [MONTE_CARLO]
    told.append("Bands are over runs: agents within one run depend on each other and are not independent cases.")
    if few:
        told.append("At least one study has a single run: another seed may end elsewhere, and no band tells how far.")
    if any(not part.study.redraw for part in parts):
        told.append(
            "Runs differ in the seed of the dynamics only: the bands leave out how much another population or another "
            "network of the same kind would change."
        )
    if language:
        told.append(
            "The bands leave out wording of the prompt, order of the options, chat template, quantization and choice "
            "of model; each of these can change the result as much as a knob."
        )
        told.append("Answers of a language model are not a substitute for participants.")
    return told


def _verify(parts: list[StudyPart], language: list[LanguagePart]) -> list[Finding]:
    runs = [row for part in parts for row in part.counted]
    done = [row for row in runs if row.info.status == FINISHED]
    digests = sum(bool(row.info.digest) for row in runs)
    found = [
        Finding("checked", "Every state column was checked after every step: a value that is not a number ends a run."),
        Finding("checked", f"{digests} of {len(runs)} counted runs carry a digest chained over all of their steps."),
        Finding(
            "not checked",
            "The runs were not replayed for this report; “microcosm replay RUN” computes a run again and compares the "
            "digests.",
        ),
        Finding(
            "not checked",
            "The analytic checks of the scenario against closed forms are part of the program's tests; they were not "
            "run for this report.",
        ),
    ]
    if len(done) < len(runs):
        found.append(
            Finding("concern", f"{len(runs) - len(done)} counted run(s) had not ended: last values are not final.")
        )
    for part in language:
        low = [asked for asked in part.asked if asked.mass_low < 0.5]
        if part.asked:
            told = ", ".join(f"{asked.name} {asked.mass_mean:.2g}" for asked in part.asked)
            found.append(
                Finding("checked", f"Captured probability mass was measured in every situation (mean: {told}).")
            )
        if low:
            names = ", ".join(asked.name for asked in low)
            found.append(
                Finding(
                    "concern",
                    f"For {names} the model put less than half of its probability on the offered options in at least "
                    "one situation: it may not have understood the question.",
                )
            )
    if language:
        found.append(
            Finding(
                "not checked",
                "Position bias, wording, blank-persona and swapped-attribute controls of the model were not run.",
            )
        )
    return found
