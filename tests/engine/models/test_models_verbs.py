"""`microcosm models` from the outside: list, info, pull and test."""

import json

import pytest
from hub_server import serve_hub

from app.cli import main
from engine.llm.models import pocket_path


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_list_says_what_fits_and_what_is_broken(tmp_path, capsys):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "broken.gguf").write_bytes(b"GGUF\x03")
    assert main(["models", "list", "--workspace", str(tmp_path), "--json"]) == 0
    pocket, broken = lines(capsys)
    assert pocket["model"] == "pocket" and pocket["fits"] and pocket["memory_bytes"] > pocket["size_bytes"]
    assert broken["model"] == "broken.gguf" and not broken["fits"] and "truncated" in broken["problem"]


def test_info_counts_memory_and_layers(tmp_path, capsys):
    assert main(["models", "info", "pocket", "--workspace", str(tmp_path), "--json"]) == 0
    (info,) = lines(capsys)
    assert info["n_layers"] >= 2 and info["context"] > 0 and len(info["sha256"]) == 64
    assert info["memory_available_bytes"] > info["memory_bytes"] > info["context_bytes"] > 0


def test_pull_then_test(tmp_path, capsys, monkeypatch):
    with serve_hub({"small.gguf": pocket_path().read_bytes()}) as (_, address):
        monkeypatch.setenv("HF_ENDPOINT", address)
        pull = ["models", "pull", "society/tiny-GGUF", "--name", "mine.gguf", "--workspace", str(tmp_path), "--json"]
        assert main(pull) == 0
        told = lines(capsys)
        assert told[-2]["done_bytes"] == told[-2]["total_bytes"] == pocket_path().stat().st_size
        assert told[-1]["checked"] and told[-1]["path"].endswith("mine.gguf")
        assert main(["models", "pull", "society/absent", "--workspace", str(tmp_path)]) == 1
        assert "has no repository society/absent" in capsys.readouterr().err
    ask = ["--ask", "Do you vote?", "--option", "yes", "--option", "no", "--option=perhaps", "--no-speed"]
    assert main(["models", "test", "mine.gguf", *ask, "--workspace", str(tmp_path), "--json"]) == 0
    (result,) = lines(capsys)
    assert [row["option"] for row in result["answers"]] == ["yes", "no", "perhaps"]
    assert sum(row["p"] for row in result["answers"]) == pytest.approx(1)


def test_the_speed_test_reports_rates(tmp_path, capsys):
    assert main(["models", "test", "--workspace", str(tmp_path), "--json"]) == 0
    (result,) = lines(capsys)
    assert min(result["decisions_per_s"], result["read_tokens_per_s"], result["written_tokens_per_s"]) > 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["pull"], "name what to fetch"),
        (["pull", "society/tiny-GGUF", "--sha256", "abc"], "is not a sha256"),
        (["test", "--option", "yes", "--option", "yes"], "2 options given; a question needs 2 to 64 different ones"),
        (["test", "--ask", "x" * 9000], "9,000 characters"),
        (["test", "absent"], "no language model 'absent'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(words, sentence, tmp_path, capsys):
    assert main(["models", *words, "--workspace", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert sentence in error and len(error.strip().splitlines()) == 1
