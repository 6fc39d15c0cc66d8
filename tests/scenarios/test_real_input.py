"""What ships with the program runs from end to end: an observed network, written people who talk, a large epidemic."""

from __future__ import annotations

import polars as pl
import pytest

from engine import run_study
from engine.errors import MicrocosmError
from engine.runs import replay_run
from engine.store import read_agents, read_decisions, read_edges, read_messages, read_situations


def test_the_karate_club_runs_with_its_observed_split(tmp_path):
    """Zachary (1977): 34 members, 78 ties, two factions of 17."""
    (result,) = run_study("bounded_confidence_karate_club", workspace=tmp_path)
    agents, ties = read_agents(result), read_edges(result)
    assert result.status == "done" and agents.height == 34 and ties.height == 78
    assert sorted(agents["club"].value_counts()["count"].to_list()) == [17, 17]
    within = (agents["club"].gather(ties["source"]).to_list(), agents["club"].gather(ties["target"]).to_list())
    assert sum(a != b for a, b in zip(*within, strict=True)) == 11, "ties between the factions in networkx's labels"


def test_five_written_people_talk_and_fish_by_language_model(tmp_path, monkeypatch):
    (result,) = run_study("fishery_talk", workspace=tmp_path, overrides=["steps=2"])
    decisions, situations, messages = read_decisions(result), read_situations(result), read_messages(result)
    assert result.model_calls > 0
    first = decisions.filter(pl.col("step") == 1)
    assert first.height == 5 and (first["situation_id"] >= 0).all()
    asked = situations.filter(pl.col("decision") == "harvest")
    assert {len(options) for options in asked["options"]} == {101}
    assert all(abs(pl.Series(logp).exp().sum() - 1) < 1e-9 for logp in asked["logp"])
    speakers = set(messages.filter(pl.col("channel") == "utterance")["agent_id"])
    assert -1 in speakers and len(speakers) >= 3
    second = situations.filter(pl.col("prompt").str.contains("Moderator:"))
    assert second.height >= 1, "what was said stands in later prompts"
    monkeypatch.setenv("MICROCOSM_NO_MODEL", "1")
    assert replay_run(result.folder).identical


def test_a_hundred_thousand_people_on_a_small_world(tmp_path):
    (result,) = run_study("sir_small_world_100k", workspace=tmp_path)
    assert result.n_agents == 100_000 and result.measures["recovered_share"] > 0.9
    assert result.recorded_bytes / result.changes < 16


def test_a_person_longer_than_the_context_is_one_sentence(tmp_path):
    fields = "decisions.harvest.persona_fields=['bio', 'goals', 'beliefs', 'style']"
    language = ["decisions.harvest.policy=language", fields, "model.n_ctx=256"]
    with pytest.raises(MicrocosmError) as caught:
        run_study("fishery", workspace=tmp_path, overrides=[*language, "steps=1"])
    message = str(caught.value)
    assert "tokens" in message and "256" in message and "Traceback" not in message
