"""The page Models: what is at hand, a question with its probabilities, fetches and their failures; no browser."""

import time

import pytest
from streamlit.testing.v1 import AppTest

from app.model_work import forget_fetch, list_fetches, run_models, start_fetch, stop_fetch
from engine.errors import ModelError
from engine.runs import open_workspace

NO_HUB = "http://127.0.0.1:9"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROCOSM_WORKSPACE", str(tmp_path / "w"))
    monkeypatch.setenv("HF_ENDPOINT", NO_HUB)
    return open_workspace(tmp_path / "w")


@pytest.fixture
def page(workspace):
    import app

    test = AppTest.from_file(app.__path__[0] + "/main.py", default_timeout=60).run()
    test.switch_page("views/models.py").run()
    assert not test.exception, test.exception
    return test


def words(test):
    return " ".join(str(element.value) for kind in ("markdown", "caption", "error") for element in test.get(kind))


def test_the_embedded_model_is_there_and_answers(page):
    assert "sha256" in page.code[0].value and "Memory" in words(page)
    page.button(key="play_ask").click().run()
    assert not page.exception and not page.error
    assert "Before scaling to 100" in words(page)


def test_a_wrong_question_is_one_sentence(page):
    page.text_area(key="play_options").input("yes\nyes").run()
    page.button(key="play_ask").click().run()
    assert "2 to 64 different ones" in " ".join(error.value for error in page.error)


def test_a_broken_file_stands_in_the_list_with_its_problem(workspace):
    (workspace.models / "**bold**.gguf").write_bytes(b"GGUF")
    rows = run_models(workspace, "list")
    assert [row["model"] for row in rows] == ["pocket", "**bold**.gguf"] and "truncated" in rows[1]["problem"]


def test_a_fetch_that_fails_says_why_and_can_be_put_away(workspace):
    fetch = start_fetch(workspace, "--society/tiny-GGUF")
    end = time.monotonic() + 60
    while list_fetches(workspace)[0].is_running and time.monotonic() < end:
        time.sleep(0.1)
    (failed,) = list_fetches(workspace)
    assert failed.problem and not failed.path and failed.log == fetch.log
    stop_fetch(failed)  # nothing runs any more: nothing happens
    forget_fetch(failed)
    assert list_fetches(workspace) == []


def test_what_the_command_line_refuses_is_the_same_sentence(workspace):
    with pytest.raises(ModelError, match=r"^no language model 'absent'"):
        run_models(workspace, "test", "absent")
