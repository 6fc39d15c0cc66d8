"""The doctor: what it looks at, and that it notices what is wrong."""

import importlib.metadata
import json
import os

import pytest

from app.cli import main
from app.doctor import check_installation
from app.terminal import as_duration, as_size, plain


def checks(workspace):
    return {check.subject: check for check in check_installation(str(workspace))}


def test_a_sound_installation(tmp_path, capsys):
    found = checks(tmp_path / "w")
    assert list(found) == [
        "Python",
        "program",
        "packages",
        "processor",
        "memory",
        "workspace",
        "disk",
        "language model library",
        *(subject for subject in found if subject.startswith(("model device", "graphics card"))),
        "embedded model",
    ]
    assert {name for name, check in found.items() if check.status == "fail"} == set()
    assert "sha256" in found["embedded model"].found
    assert main(["doctor", "--json", "--workspace", str(tmp_path / "w")]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["subject"] for row in rows] == list(found)


def test_a_foreign_app_package_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        importlib.metadata,
        "packages_distributions",
        lambda: {"app": ["microcosm-studio", "other-thing"], "numpy": ["numpy"]},
    )
    check = checks(tmp_path)["packages"]
    assert check.status == "fail"
    assert "other-thing" in check.found
    assert "pip uninstall other-thing" in check.advice


def test_missing_dependencies_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        importlib.metadata, "requires", lambda name: ["numpy>=2", "not-installed-here>=1", "x; extra == 'dev'"]
    )
    check = checks(tmp_path)["program"]
    assert check.status == "fail"
    assert "not-installed-here" in check.advice


def test_a_missing_model_library_is_a_warning(tmp_path, monkeypatch):
    from engine.errors import ModelError
    from engine.llm import library

    def missing():
        raise ModelError("add it with `pip install llama-cpp-python`")

    monkeypatch.setattr(library, "load_library", missing)
    check = checks(tmp_path)["language model library"]
    assert check.status == "warn"
    assert "pip install llama-cpp-python" in check.advice


def test_a_missing_embedded_model_fails(tmp_path, monkeypatch, capsys):
    from engine.llm import models

    monkeypatch.setattr(models, "pocket_path", lambda: tmp_path / "pocket.gguf")
    assert checks(tmp_path)["embedded model"].status == "fail"
    assert main(["doctor", "--workspace", str(tmp_path)]) == 1
    assert "fail  embedded model" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_workspace_without_permission_fails(tmp_path):
    tmp_path.chmod(0o500)
    assert checks(tmp_path / "w")["workspace"].status == "fail"


def test_a_workspace_that_is_a_file_fails(tmp_path):
    (tmp_path / "w").write_text("")
    assert checks(tmp_path / "w")["workspace"].status == "fail"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4213, "0.421 s"), (59.4, "59.4 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (None, "-")],
)
def test_durations_in_words(seconds, words):
    assert as_duration(seconds) == words


@pytest.mark.parametrize(("n_bytes", "words"), [(0, "0 B"), (999, "999 B"), (1_740_000, "1.74 MB"), (2.5e13, "25 TB")])
def test_sizes_in_words(n_bytes, words):
    assert as_size(n_bytes) == words


def test_control_characters_never_reach_the_terminal():
    assert plain("red \x1b[31m bell \x07 back \u202e") == "red ?[31m bell ? back ?"
