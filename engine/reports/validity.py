"""The validity section: what was verified, calibrated and validated, each apart, and what was not."""

from __future__ import annotations

from dataclasses import dataclass

from engine.analysis import read_observed
from engine.reports.contents import Finding
from engine.reports.language import LanguagePart, shows_nobody
from engine.reports.reading import FINISHED, RunRow, StudyPart
from engine.runs.workspace import workspace_of
from engine.store import FAILURES, describe_failures, query

MONTE_CARLO = "More runs shrink any p-value: report the effect and its Monte Carlo error."


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
            _validate(parts)
            or [Finding("not checked", "No human data were compared. Nothing here shows that people would behave so.")],
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


def _validate(parts: list[StudyPart]) -> list[Finding]:
    """Return what was observed of people beside the runs, as the compare page kept it."""
    found = []
    known = {part.experiment_id: part for part in parts if part.experiment_id and part.runs}
    for experiment_id, part in known.items():
        held = read_observed(workspace_of(part.runs[0].info.folder).experiments / experiment_id)
        if held is None:
            continue
        told = [
            f"{held['measure']} of the respondents of {held['file']} ({held['n_respondents']:,}): {held['value']:.4g}, "
            f"95 % band over respondents {held['low']:.4g} to {held['high']:.4g}."
        ]
        for row in held["beside"]:
            start = "" if row["start"] is None else f"{row['start']:.4g} to "
            told.append(
                f"{row['what']}: {start}{row['end']:.4g}." if row["end"] is not None else f"{row['what']}: none."
            )
        told.append("No knob was fitted to them.")
        found.append(Finding("checked", " ".join(told)))
    return found


def _describe_failures(runs: list[RunRow]) -> list[Finding]:
    """Return what was counted instead of replaced: unusable answers and texts, shortened prompts."""
    found = []
    for row in runs:
        told = describe_failures(query(row.info.folder, FAILURES).iter_rows(named=True))
        where = f"Run {row.info.run_id}: " if len(runs) > 1 else ""
        found += [Finding("concern", where + sentence) for sentence in told]
    return found


def _verify(parts: list[StudyPart], language: list[LanguagePart]) -> list[Finding]:
    runs = [row for part in parts for row in part.counted]
    done = [row for row in runs if row.info.status == FINISHED]
    digests = sum(bool(row.info.digest) for row in runs)
    found = [
        Finding("checked", "Every state column was checked after every step: a value that is not a number ends a run."),
        Finding("checked", f"{digests} of {len(runs)} counted runs carry a digest chained over all of their steps."),
        *_describe_replays(runs),
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
    found += _describe_failures(runs)
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
        found += _describe_controls(parts)
    return found


def _describe_controls(parts: list[StudyPart]) -> list[Finding]:
    blank = [part.label for part in parts if shows_nobody(part)]
    if blank and len(blank) < len(parts):
        names = ", ".join(f"“{label}”" for label in blank)
        text = (
            f"Blank persona: in {names} the model is told nothing about the person; compare the answers with the rest."
        )
        return [
            Finding("checked", text),
            Finding("not checked", "Position bias, wording and swapped-attribute controls of the model were not run."),
        ]
    text = "Position bias, wording, blank-persona and swapped-attribute controls of the model were not run."
    return [Finding("not checked", text)]


def _describe_replays(runs: list[RunRow]) -> list[Finding]:
    """Return what replays of the counted runs found: identical ones by versions, others each by itself."""
    same: dict[str, list[str]] = {}
    found, unknown = [], 0
    for row in runs:
        replayed = row.record.get("replayed")
        if not replayed:
            unknown += 1
            continue
        told = ", ".join(f"{name} {version}" for name, version in sorted(replayed["versions"].items()))
        where = f"{row.info.run_id} (steps 0 to {replayed['steps']})"
        if replayed["verdict"] == "identical":
            same.setdefault(told, []).append(where)
        else:
            close = " but its measures agree within 1e-9" if replayed["verdict"] == "within tolerance" else ""
            text = (
                f"{where} did not come out the same again from step {replayed['first_difference']} on{close}: {told}."
            )
            found.append(Finding("concern", text))
    for told, names in same.items():
        found.append(Finding("checked", f"Replayed bit for bit: {', '.join(names)}; on {told}."))
    if unknown:
        none = "The runs were not replayed" if unknown == len(runs) else f"{unknown} of {len(runs)} were not replayed"
        text = f"{none}; “microcosm replay RUN” computes a run again, compares the digests and notes the verdict."
        found.append(Finding("not checked", text))
    return found
