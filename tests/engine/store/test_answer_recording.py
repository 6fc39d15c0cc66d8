"""Wide actions and debiased distributions in a run's tables, and runs of versions that had none."""

from __future__ import annotations

import numpy as np
import polars as pl

from engine import run_study
from engine.store import FAILURES, describe_failures, open_run, query, schema
from engine.store.catalog import Catalog
from engine.store.database import connect, fill
from engine.store.segments import write_segment


def test_debiased_distributions_are_read_back(tmp_path):
    (result,) = run_study(
        "majority_force",
        workspace=tmp_path,
        overrides=[
            "population.size=12",
            "steps=1",
            "model.file=scripted",
            "decisions.choose.policy=language",
            "decisions.choose.temperature=2.0",
        ],
    )
    connection = open_run(result.folder)
    try:
        frame = connection.sql("select logp, debiased_logp, raw_logp from situations").pl()
        kind = connection.sql("select action from decisions limit 0").pl()["action"].dtype
    finally:
        connection.close()
    assert kind == pl.Int64 and frame.height > 0
    for logp, debiased, _ in frame.iter_rows():
        halved = np.array(debiased) / 2
        assert np.allclose(logp, halved - np.logaddexp.reduce(halved))
        assert not np.allclose(logp, debiased)


def test_runs_without_debiased_distributions_stay_readable(tmp_path, monkeypatch):
    columns = {name: schema.polars_type(kind) for name, kind in schema.SEGMENT_TABLES["situation_parts"]}
    row = {"step": 1, "situation_id": 5, "decision": "d", "options": ["a"], "logp": [0.0], "mass": 1.0}
    new = pl.DataFrame([{**row, "debiased_logp": [-1.0]}], schema=columns)
    old = pl.DataFrame([row], schema=columns).drop("debiased_logp")
    (tmp_path / "segments").mkdir()
    with Catalog(tmp_path, create=True) as catalog:
        for name, frames in {"old": [old], "mixed": [old, new]}.items():
            segments = [write_segment(tmp_path, "situation_parts", frame, i, i) for i, frame in enumerate(frames)]
            monkeypatch.setattr(catalog, "segments", lambda segments=segments: segments)
            connection = connect()
            fill(connection, catalog, materialise=name == "old")
            found = (
                connection.sql("select debiased_logp from situations order by debiased_logp is not null")
                .pl()["debiased_logp"]
                .to_list()
            )
            connection.close()
            assert found == ([None] if name == "old" else [None, [-1.0]])


def test_failures_are_told_in_sentences(tmp_path):
    (result,) = run_study(
        "majority_force",
        workspace=tmp_path,
        overrides=[
            "population.size=12",
            "steps=2",
            "model.file=scripted",
            "decisions.choose.policy=language",
            "decisions.choose.calibration={ least_mass = 1.0, unusable = 'rule' }",
            "decisions.choose.reason=true",
            "model.n_ctx=256",
            "model.budget={ observation = 0.001 }",
        ],
    )
    told = describe_failures(query(result.folder, FAILURES).iter_rows(named=True))
    assert told == ["24 prompts of 'choose' had their observations shortened in 2 steps."]
    assert any(row["channel"] == "reason" for row in query(result.folder, "select * from messages").to_dicts())


def test_unusable_answers_are_told_with_what_followed():
    row = {"kind": "unusable_answer", "asked": "choose", "part": "", "response": "rule", "agents": 1200, "steps": 1}
    assert describe_failures([row]) == ["1,200 answers to 'choose' were unusable in 1 step: decided by the rule."]
