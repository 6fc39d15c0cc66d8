"""Every page with an empty workspace, a study, a finished run and a hostile one; no browser."""

import ast
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import app
from app.composer.plan import duration, size
from app.drafts import Draft
from app.notices import LANGUAGE_NOTICE, POCKET_NOTICE
from engine.llm import needs_consent
from engine.loading import load_study
from engine.runs import create_run, list_runs, open_workspace, read_info, read_result, read_study, start_worker

MAIN = str(Path(app.__file__).with_name("main.py"))
HOSTILE = "<b>Ada</b> {{ 7*7 }} **bold** [x](http://evil.example)"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A workspace with a finished epidemic among named people and a finished lake decided by the scripted double."""
    workspace = open_workspace(tmp_path_factory.mktemp("pages") / "workspace")
    sir = {
        "scenario": "sir",
        "title": HOSTILE,
        "steps": 12,
        "population": {"size": 20, "columns": {"display_name": [HOSTILE] + [f"person {i}" for i in range(1, 20)]}},
        "network": {"kind": "ring", "k": 4},
    }
    lake = {
        "scenario": "fishery",
        "steps": 3,
        "decisions": {"harvest": {"policy": "language"}},
        "model": {"file": "scripted"},
        "population": {"size": 5},
    }
    folders = [create_run(workspace, load_study(study)) for study in (sir, lake)]
    start_worker(folders)
    end = time.monotonic() + 90
    while any(read_info(folder).status not in ("done", "failed") for folder in folders) and time.monotonic() < end:
        time.sleep(0.1)
    assert [read_info(folder).status for folder in folders] == ["done", "done"]
    return workspace, folders


@pytest.fixture
def open_page(monkeypatch):
    """Open a page of a workspace with values in its address."""

    def opened(workspace, page="home", **address):
        monkeypatch.setenv("MICROCOSM_WORKSPACE", str(workspace.path))
        test = AppTest.from_file(MAIN, default_timeout=60).run()
        for name, value in address.items():
            test.query_params[name] = value
        if page != "home":
            test.switch_page(f"views/{page}.py")
        test.run()
        assert not test.exception, test.exception
        return test

    return opened


def texts(test):
    return "\n".join(
        str(item.value) for kind in ("markdown", "caption", "text", "subheader", "code") for item in getattr(test, kind)
    )


def test_home_shows_a_card_per_scenario_and_says_what_to_do(open_page, tmp_path):
    test = open_page(open_workspace(tmp_path / "empty"))
    names = {button.key for button in test.button}
    assert {"play_sir", "open_sir", "open_fishery", "open_persuasion", "open_bounded_confidence"} <= names
    assert "No runs yet" in texts(test)


@pytest.mark.parametrize("page", ["compose", "live", "explore", "report"])
def test_empty_pages_say_what_to_do_next(open_page, tmp_path, page):
    test = open_page(open_workspace(tmp_path / "empty"), page)
    assert any("template" in item.value.lower() for item in test.caption), texts(test)


def test_open_makes_a_study_and_play_a_run(open_page, tmp_path, monkeypatch):
    workspace = open_workspace(tmp_path / "fresh")
    started = []
    monkeypatch.setattr("app.actions.start_worker", lambda folders: started.append(folders) or 0)
    open_page(workspace).button(key="open_sir").click().run()
    assert [path.name for path in workspace.studies.glob("*.toml")] == ["sir.toml"]
    open_page(workspace).button(key="play_sir").click().run()
    assert len(started) == 1
    assert [info.scenario for info in list_runs(workspace)] == ["sir"]


@pytest.mark.parametrize("part", ["question", "people", "network", "deciders", "changes", "plan"])
@pytest.mark.parametrize("scenario", ["sir", "fishery"])
def test_every_part_of_the_composer(open_page, tmp_path, part, scenario):
    workspace = open_workspace(tmp_path / "w")
    draft = Draft.new(workspace.studies, scenario)
    test = open_page(workspace, "compose", study=draft.name, part=part)
    assert any(button.label.startswith("Next") for button in test.button) or part == "plan"


def test_a_wrong_value_stops_the_run_and_stands_at_its_field(open_page, tmp_path):
    workspace = open_workspace(tmp_path / "w")
    draft = Draft.new(workspace.studies, "sir")
    test = open_page(workspace, "compose", study=draft.name, part="question")
    assert not test.button(key="run_study").disabled
    next(item for item in test.number_input if item.label == "gamma").set_value(1.7).run()
    assert test.button(key="run_study").disabled
    assert "gamma \\= 1\\.7" in texts(test)
    assert "gamma = 1.7" in draft.path.read_text(encoding="utf-8")
    test.button(key="undo").click().run()
    assert not test.button(key="run_study").disabled
    assert "gamma = 0.1" in draft.path.read_text(encoding="utf-8")


def test_run_starts_every_replicate(open_page, tmp_path, monkeypatch):
    workspace = open_workspace(tmp_path / "w")
    started = []
    monkeypatch.setattr("app.actions.start_worker", lambda folders: started.extend(folders) or 0)
    draft = Draft.new(workspace.studies, "sir")
    draft.put("replicates", 3)
    test = open_page(workspace, "compose", study=draft.name)
    assert test.button(key="run_study").label == "Run 3 times"
    test.button(key="run_study").click().run()
    assert {read_info(folder).replicate for folder in started} == {0, 1, 2}


def test_interventions_are_added_edited_and_removed(open_page, tmp_path):
    workspace = open_workspace(tmp_path / "w")
    draft = Draft.new(workspace.studies, "sir")
    test = open_page(workspace, "compose", study=draft.name, part="changes")
    test.button(key="add_change").click().run()
    held = Draft.open(draft.path)
    assert held.check()[1] == ()
    assert held.get("interventions.0.do.effect") == "set_param"
    next(item for item in test.selectbox if item.label == "Whom").select("top").run()
    assert Draft.open(draft.path).get("interventions.0.whom.top.by") == "degree"
    next(item for item in test.selectbox if item.label == "What").select("seed_adopters").run()
    assert Draft.open(draft.path).check()[1] == ()
    test.button(key="drop_change_0").click().run()
    assert Draft.open(draft.path).get("interventions") is None


def test_the_embedded_model_is_named_for_what_it_is(open_page, tmp_path):
    workspace = open_workspace(tmp_path / "w")
    draft = Draft.new(workspace.studies, "fishery")
    draft.put("decisions.harvest.policy", "language")
    test = open_page(workspace, "compose", study=draft.name, part="deciders")
    shown = texts(test).replace("\\", "")
    assert LANGUAGE_NOTICE in shown
    assert POCKET_NOTICE in shown


@pytest.mark.parametrize("side", ["Measures", "Messages", "Events", "Agent"])
@pytest.mark.parametrize("place", [0, 1])
def test_live_shows_a_finished_run(open_page, recorded, side, place):
    workspace, folders = recorded
    test = open_page(workspace, "live", run=folders[place].name, agent="0")
    test.session_state["side"] = side
    test.run()
    assert not test.exception


def test_the_inspector_tells_prompt_probabilities_and_draw(open_page, recorded):
    workspace, folders = recorded
    test = open_page(workspace, "live", run=folders[1].name, agent="2")
    shown = texts(test).replace("\\", "")
    assert "How many tonnes of fish do you ask for this month?" in shown
    assert "Drawn number" in shown
    assert "Decided by the language model, answer from scripted" in shown
    assert LANGUAGE_NOTICE in shown


def test_a_fork_is_a_child_of_its_run(open_page, recorded, monkeypatch):
    workspace, folders = recorded
    started = []
    monkeypatch.setattr("app.verbs.start_worker", lambda folders: started.extend(folders) or 0)
    test = open_page(workspace, "live", run=folders[0].name)
    test.button(key="fork").click().run()
    assert not test.exception
    assert not test.error, test.error
    child = read_info(started[0])
    assert child.parent_run_id == folders[0].name


def test_a_fork_may_change_the_best_connected(open_page, recorded, monkeypatch):
    workspace, folders = recorded
    started = []
    monkeypatch.setattr("app.verbs.start_worker", lambda folders: started.extend(folders) or 0)
    test = open_page(workspace, "live", run=folders[0].name)
    test.button_group(key="fork_kind").set_value("Some people").run()
    column = test.selectbox(key="fork_column").value
    test.selectbox(key="fork_whom").set_value("those with the most ties").run()
    test.number_input(key="fork_share").set_value(0.25).run()
    test.button(key="fork").click().run()
    assert not test.exception
    assert not test.error, test.error
    (change,) = read_study(started[0]).interventions
    assert change.whom.top.by == "degree" and change.whom.top.share == 0.25
    assert change.do.effect == "set" and change.do.model_extra["column"] == column


def test_a_fork_with_an_impossible_condition_says_so(open_page, recorded, monkeypatch):
    workspace, folders = recorded
    monkeypatch.setattr("app.verbs.start_worker", lambda folders: pytest.fail("nothing may start"))
    test = open_page(workspace, "live", run=folders[0].name)
    test.button_group(key="fork_kind").set_value("Some people").run()
    test.text_input(key="fork_where").set_value("agee > 4").run()
    test.button(key="fork").click().run()
    assert not test.exception
    assert any("agee" in error.value for error in test.error)


def test_hostile_words_stay_words(open_page, recorded):
    workspace, folders = recorded
    test = open_page(workspace, "live", run=folders[0].name, agent="0")
    for item in [*test.markdown, *test.caption, *test.subheader]:
        assert "<b>Ada" not in str(item.value)
    assert any("<b>Ada</b>" in str(item.value) for item in test.text), "shown as plain text"


@pytest.mark.parametrize("view", ["Measures", "States", "Decisions", "Messages", "Events", "People", "Downloads"])
@pytest.mark.parametrize("place", [0, 1])
def test_explore_shows_every_table(open_page, recorded, view, place):
    workspace, folders = recorded
    test = open_page(workspace, "explore", run=folders[place].name)
    test.session_state["explore_view"] = view
    test.run()
    assert not test.exception
    assert not test.error


def test_a_report_is_written_into_the_exports(open_page, recorded):
    workspace, folders = recorded
    test = open_page(workspace, "report", run=folders[0].name)
    test.button(key="build_report").click().run()
    assert not test.exception
    found = list(workspace.exports.glob("*.html"))
    assert len(found) == 1
    assert "<b>Ada</b>" not in found[0].read_text(encoding="utf-8")
    test.button(key="build_pdf").click().run()
    assert not test.exception and not test.error
    assert found[0].with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_an_unknown_run_in_the_address_is_no_crash(open_page, recorded):
    workspace, _ = recorded
    for run in ("nothing", "../../etc", "/tmp"):
        for page in ("live", "explore"):
            test = open_page(workspace, page, run=run)
            assert not test.exception
            assert "/etc" not in texts(test)


def test_words_for_time_and_size():
    assert [duration(value) for value in (0.2, 30, 600, 9000)] == [
        "under a second",
        "about 30 s",
        "about 10 min",
        "about 2.5 h",
    ]
    assert [size(value) for value in (12, 1500, 2_500_000, 9e9)] == ["12 bytes", "1.5 kB", "2.5 MB", "9.0 GB"]


def test_no_page_file_takes_a_name_of_the_standard_library():
    import sys

    ours = {path.stem for path in Path(MAIN).parent.rglob("*.py")} - {"__init__"}
    assert not ours & set(sys.stdlib_module_names)
    assert not ours & {"app", "engine", "personas", "scenarios", "assets"}


@pytest.mark.parametrize("page", ["live", "explore"])
def test_what_the_model_was_asked_stands_beside_its_results(open_page, recorded, page):
    workspace, folders = recorded
    found = read_result(folders[1])
    shown = texts(open_page(workspace, page, run=folders[1].name)).replace("\\", "")
    needed = found.situations + found.cache_hits
    assert f"{found.situations:,} distinct situations in {found.model_calls:,} model calls" in shown
    assert f"{found.cache_hits:,} of {needed:,} answers" in shown
    assert "distinct situations" not in texts(open_page(workspace, page, run=folders[0].name))


def test_a_server_elsewhere_is_asked_about_before_the_run(open_page, tmp_path, monkeypatch):
    workspace = open_workspace(tmp_path / "w")
    started = []
    monkeypatch.setattr("app.actions.start_worker", lambda folders: started.extend(folders) or 0)
    draft = Draft.new(workspace.studies, "fishery")
    draft.put("decisions.harvest.policy", "language")
    draft.put("model.url", "https://models.example.org")
    test = open_page(workspace, "compose", study=draft.name)
    test.button(key="run_study").click().run()
    assert started == []
    assert "https://models.example.org" in texts(test)
    test.button(key="allow_servers").click().run()
    assert len(started) == 1
    assert not needs_consent("https://models.example.org", workspace.path)


def test_a_fork_asks_before_texts_go_to_a_server_elsewhere(open_page, recorded, monkeypatch):
    workspace, folders = recorded
    started = []
    monkeypatch.setattr("app.verbs.start_worker", lambda folders: started.extend(folders) or 0)
    monkeypatch.setattr("app.consent.servers_to_ask", lambda study, base=None: ["https://models.example.org"])
    test = open_page(workspace, "live", run=folders[1].name)
    test.button(key="fork").click().run()
    assert started == []
    assert "https://models.example.org" in texts(test)
    test.button(key="allow_servers").click().run()
    assert not test.exception
    assert read_info(started[0]).parent_run_id == folders[1].name


def test_a_report_takes_all_runs_that_were_compared(open_page, tmp_path, monkeypatch):
    workspace = open_workspace(tmp_path / "w")
    study = load_study("sir")
    names = [create_run(workspace, study, replicate=r).name for r in range(12)]
    test = open_page(workspace, "report", run=names[0])
    test.session_state["kept:compared"] = names[:11]
    test.query_params["runs"] = "compared"
    test.run()
    assert [toggle.label for toggle in test.toggle] == ["All 11 runs that were compared"]
    written = []
    monkeypatch.setattr("engine.reports.write_report", lambda folders, out: written.extend(folders))
    test.button(key="build_report").click().run()
    assert [folder.name for folder in written] == names[:11]


def test_no_page_prints_its_own_remarks():
    """Streamlit writes every text that stands alone in a page's script onto the page."""
    for path in (Path(app.__file__).parent / "views").glob("*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body[1:]
        assert not [item.lineno for item in body if isinstance(item, ast.Expr)], path.name
