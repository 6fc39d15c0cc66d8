"""The command line as a whole: verbs, failures, and what it costs to start."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app import cli
from app.cli import PLANNED, VERBS, build_parser, main
from engine import parse_study

ROOT = Path(__file__).resolve().parent.parent.parent

SIX_MISTAKES = """
format = 1
scenario = "bounded_confidence"
steps = 0
titel = "a word that is no key"

[params]
epsilom = 0.2
mu = 3.0

[network]
kind = "watts_strogatz"
k = 10
p_rewire = 1.4

[decisions.listen]
policy = "lottery"
"""


@pytest.fixture
def microcosm(tmp_path, capsys):
    """Return a function that carries out one command line in a workspace of its own: (status, out, err)."""

    def call(*words, json_lines=False):
        arguments = [str(word) for word in words]
        if words and words[0] in {verb.name for verb in VERBS}:
            arguments += ["--workspace", str(tmp_path / "workspace")]
        status = main(arguments)
        captured = capsys.readouterr()
        out = [json.loads(line) for line in captured.out.splitlines()] if json_lines else captured.out
        return status, out, captured.err

    return call


def test_help_names_every_verb_and_no_other(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert [verb.name for verb in VERBS if f"  {verb.name} " not in shown] == []
    assert [name for name in PLANNED if f"  {name} " in shown] == []


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_has_help_workspace_and_json(verb, capsys):
    with pytest.raises(SystemExit) as left:
        main([verb.name, "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "--workspace" in shown
    assert "--json" in shown


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_is_carried_out_by_a_function(verb):
    import importlib

    module, function = verb.carried_out_by.split(":")
    assert callable(getattr(importlib.import_module(f"app.{module}"), function))


@pytest.mark.parametrize(("word", "nearest"), [("rum", "run"), ("reprot", "report"), ("exprot", "export")])
def test_unknown_verbs_give_the_nearest(microcosm, word, nearest):
    status, out, errors = microcosm(word)
    assert (status, out) == (2, "")
    assert errors == f"microcosm: '{word}' is not a verb; did you mean '{nearest}'?\n"


@pytest.mark.parametrize("words", [[name] for name in PLANNED])
def test_planned_verbs_say_so_in_one_sentence(microcosm, words):
    status = main(words)
    assert status == 2


@pytest.mark.parametrize(
    "words", [["run"], ["run", "sir", "--seed", "many"], ["fork", "x"], ["export", "x", "--to", "xls"]]
)
def test_misuse_is_one_sentence(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_a_verb_the_studio_opens(monkeypatch):
    opened = []
    monkeypatch.setattr(cli, "carry_out", lambda arguments: opened.append(arguments) or 0)
    assert main(["--port", "8700", "--no-browser"]) == 0
    assert main([]) == 0
    assert [arguments.verb for arguments in opened] == ["studio", "studio"]
    assert (opened[0].port, opened[0].no_browser) == (8700, True)


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("microcosm 0.")


def test_help_starts_fast_and_imports_nothing_heavy():
    code = (
        "import sys; from app.cli import build_parser; build_parser()[0].format_help(); "
        "print([m for m in ('numpy', 'polars', 'streamlit', 'duckdb', 'numba', 'pydantic') if m in sys.modules])"
    )
    start = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "[]", result.stderr
    assert time.perf_counter() - start < 5  # typically 0.05 s; the import list above is the real check


@pytest.mark.parametrize("kind", ["scenarios", "presets", "measures", "networks", "personas", "models", "runs"])
def test_lists(microcosm, kind):
    status, out, errors = microcosm("list", kind)
    assert (status, errors) == (0, "")
    assert out.strip()
    status, rows, _ = microcosm("list", kind, "--json", json_lines=True)
    assert status == 0
    assert all(isinstance(row, dict) for row in rows)
    expected = {"scenarios": "sir", "networks": "watts_strogatz", "models": "pocket", "measures": "polarization"}
    assert kind not in expected or expected[kind] in {row["name"] for row in rows}


def test_new_writes_a_complete_study_once(microcosm, tmp_path):
    path = tmp_path / "lake.toml"
    assert microcosm("new", "fishery", "-o", path)[0] == 0
    study = parse_study(path.read_text())
    assert study.scenario == "fishery"
    assert study.params
    before = path.read_bytes()
    status, out, errors = microcosm("new", "fishery", "-o", path)
    assert (status, out) == (1, "")
    assert "exists already" in errors
    assert path.read_bytes() == before


def test_check_names_six_mistakes_and_leaves_with_2(microcosm, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(SIX_MISTAKES)
    status, out, errors = microcosm("check", path)
    assert status == 2
    assert len(out.splitlines()) == 6
    for key in ("steps", "titel", "params.epsilom", "params.mu", "network.p_rewire", "decisions.listen.policy"):
        assert f"@ {key} (wrong.toml)" in out
    assert "Traceback" not in errors
    assert errors.count("\n") == 1
    status, rows, _ = microcosm("check", path, "--json", json_lines=True)
    assert status == 2
    assert len(rows[0]["problems"]) == 6


def test_check_of_a_sound_study(microcosm):
    status, rows, errors = microcosm("check", "sir", "--json", json_lines=True)
    assert (status, errors) == (0, "")
    assert rows[0]["ok"] is True


def test_an_unknown_study_is_one_sentence(microcosm):
    status, out, errors = microcosm("run", "sirr")
    assert status == 2
    assert out == ""
    assert "sir" in errors
    assert errors.count("\n") == 1


def test_estimate(microcosm):
    status, rows, errors = microcosm("estimate", "sir", "--set", "population.size=500", "--json", json_lines=True)
    assert (status, errors) == (0, "")
    assert rows[0]["n_agents"] == 500
    assert rows[0]["disk_bytes"] > 0
    assert "agents" in microcosm("estimate", "sir", "--set", "population.size=500")[1]


def test_models_list_and_info(microcosm, tmp_path):
    status, rows, errors = microcosm("models", "info", "--json", json_lines=True)
    assert (status, errors) == (0, "")
    assert len(rows[0]["sha256"]) == 64
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    status, out, errors = microcosm("models", "info", broken)
    assert (status, out) == (1, "")
    assert errors.count("\n") == 1
    assert "pocket" in microcosm("models", "list")[1]


def test_an_unknown_run_is_one_sentence(microcosm):
    for verb in ("resume", "pause", "cancel", "replay"):
        status, out, errors = microcosm(verb, "20990101")
        assert (status, out) == (1, "")
        assert errors.count("\n") == 1


def test_an_unusable_workspace_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["list", "runs", "--workspace", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_wrong_port_is_one_sentence(microcosm):
    status, _, errors = microcosm("studio", "--port", "70000")
    assert status == 1
    assert "[1, 65535]" in errors


def test_an_unknown_benchmark_is_one_sentence(microcosm):
    status, _, errors = microcosm("bench", "no_such_group")
    assert status == 1
    assert errors.count("\n") == 1


def test_interruption_leaves_with_130(monkeypatch, capsys):
    from app.commands import studies

    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(studies, "check", interrupted)
    assert main(["check", "sir"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_set_takes_any_key_and_model_hands_decisions_over(tmp_path):
    from app.commands.studies import load_chosen

    def chosen(*words):
        return load_chosen(
            build_parser()[0].parse_args(["run", "bounded_confidence", "--workspace", str(tmp_path), *words])
        )

    study = chosen("--set", "params.epsilon=0.3", "--seed", "9", "--steps", "12", "--replicates", "4")
    assert (study.params["epsilon"], study.seed, study.steps, study.replicates) == (0.3, 9, 12, 4)
    study = chosen("--model", "scripted")
    assert study.model.file == "scripted"
    assert study.decisions["listen"].policy == "language"
    study = chosen("--model", "scripted", "--set", "decisions.listen.policy=rule")
    assert study.decisions["listen"].policy == "rule"
    study = chosen("--model", "scripted", "--set", "decisions.listen.persona_fields=['age']")
    assert study.decisions["listen"].policy == "language"
    assert study.decisions["listen"].persona_fields == ("age",)
