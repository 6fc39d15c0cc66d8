"""Reports of real runs: what must stand in them, and what must never get out of them."""

import re
from html.parser import HTMLParser

import polars as pl
import pytest

from engine import load_study
from engine.analysis import read_run_table, stack_measures
from engine.errors import ReportError, RunNotFound
from engine.reports import render_report, write_report
from engine.reports.comparisons import compare_parts, tabulate_contrasts
from engine.reports.language import BUILT_IN_RULES, NOT_PEOPLE, STEREOTYPE
from engine.reports.methods import list_phases
from engine.reports.reading import describe_seeds, gather_studies, merge_events, spread
from engine.runs import cancel_run, create_run, create_runs, open_workspace, read_info
from engine.runs.execution import Worker, execute_run
from engine.store import read_measures

HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} {% raw %} </style> & "quotes"'
OPINIONS = {
    "title": HOSTILE,
    "question": "Does " + HOSTILE + " matter?",
    "scenario": "bounded_confidence",
    "seed": 11,
    "steps": 15,
    "replicates": 3,
    "population": {"size": 60, "recipe": "adults_generic"},
    "network": {"kind": "watts_strogatz", "k": 6, "p_rewire": 0.1},
    "params": {"topic": HOSTILE, "epsilon": 0.3},
    "interventions": [
        {
            "name": HOSTILE,
            "at": 4,
            "whom": {"sample": {"n": 5}},
            "do": {"effect": "set", "column": "opinion", "value": 0.9},
        }
    ],
}
FISHERY = {
    "title": "Talk",
    "scenario": "fishery",
    "steps": 2,
    "params": {"talk": True},
    "decisions": {"harvest": {"policy": "language"}},
    "model": {"file": "pocket"},
}


class Page(HTMLParser):
    """What a browser would see: tags, attributes, text and ids."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            assert not name.startswith("on"), f"{tag} has {name}"
            if name == "id":
                self.ids.append(value)
            if name in {"src", "href", "xlink:href", "action", "data"}:
                self.links.append(value)

    def handle_data(self, text):
        self.words.append(text)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def execute(workspace, tables):
    """Run every replicate of a study in this process and return the folders."""
    folders = create_runs(workspace, load_study(tables))
    for folder in folders:
        with Worker(live=False) as worker:
            execute_run(folder, worker)
    return folders


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return open_workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def opinions(workspace):
    return execute(workspace, OPINIONS)


@pytest.fixture(scope="module")
def opinions_page(workspace, opinions):
    cancelled = create_run(workspace, load_study(OPINIONS), replicate=7)
    cancel_run(cancelled)
    return render_report(opinions)


@pytest.fixture(scope="module")
def fishery(workspace):
    return execute(workspace, FISHERY)


def test_a_page_stands_alone_and_runs_nothing(opinions_page):
    page = Page(opinions_page)
    assert "script" not in page.tags
    assert not {"img", "iframe", "link", "object", "form"} & set(page.tags)
    assert [link for link in page.links if not link.startswith("#")] == []
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert "@import" not in opinions_page
    assert not re.findall(r"url\((?!#)", opinions_page)
    assert "default-src 'none'" in opinions_page


def test_hostile_text_is_shown_as_text(opinions_page):
    page = Page(opinions_page)
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert page.tags.count("style") == 1 + page.tags.count("svg")


def test_equal_runs_give_equal_bytes(opinions, opinions_page):
    assert render_report(opinions) == opinions_page


@pytest.mark.parametrize("section", ["study", "methods", "results", "events", "validity", "runs", "rerun"])
def test_every_section_is_there(opinions_page, section):
    assert f'<section id="{section}">' in opinions_page


def test_every_figure_says_agents_runs_seeds_and_band(opinions_page):
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", opinions_page, flags=re.S)
    assert len(captions) >= 5
    for caption in captions:
        assert re.search(
            r"60 agents, (3 runs, seeds 11 to 13|1 run \([0-9a-f]{8}-bounded_confidence\), seed 11)", caption
        )
        assert "band" in caption
    assert "95% bootstrap interval of that mean over runs" in captions[0]
    assert "With so few runs the interval is too narrow." in captions[0]


def test_the_final_table_holds_the_means_over_runs(opinions, opinions_page):
    table = read_run_table(opinions)
    mean = table["polarization"].mean()
    row = re.search(r"<tr><td class=\"name\">polarization</td>.*?</tr>", opinions_page, flags=re.S).group(0)
    assert f"{mean:.4g}" in row
    last = [
        read_measures(f).filter((pl.col("measure") == "polarization") & (pl.col("step") == 15))["value"][0]
        for f in opinions
    ]
    assert mean == pytest.approx(sum(last) / 3)


def test_runs_that_are_not_in_the_figures_are_listed(opinions_page):
    text = Page(opinions_page).text
    assert "no: cancelled" in text
    assert "3 of 4" in text


def test_how_to_rerun_is_complete(opinions, opinions_page):
    text = Page(opinions_page).text
    for folder in opinions:
        assert folder.name in text
        assert read_info(folder).digest in text
    assert 'scenario = "bounded_confidence"' in text
    assert "microcosm run study.toml" in text
    assert "numpy" in text


def test_knobs_and_interventions_are_told(opinions_page):
    text = Page(opinions_page).text
    assert "epsilon 0.3 0.2" in text
    assert "on the state at step 4" in text
    assert "5 agents drawn at random" in text
    assert "set (column = opinion, value = 0.9)" in text


def test_one_run_has_no_band(opinions):
    page = render_report(opinions[:1])
    assert "One run has no band" in page
    assert "Monte Carlo error</th>" not in page
    assert "not asked for in this report" in page


def test_studies_side_by_side(workspace, opinions):
    other = execute(workspace, {**OPINIONS, "title": "Nobody pushes", "interventions": [], "replicates": 2, "seed": 12})
    page = Page(render_report([*opinions, *other]))
    assert "Nobody pushes: 60 agents, 2 runs, seeds 12, 13" in page.text
    assert page.ids.count("results") == 1
    assert "Differs from “" in page.text
    assert "seed 12 11" in page.text


def test_paired_differences_of_studies(workspace, opinions):
    other = execute(workspace, {**OPINIONS, "title": "No ties rewired", "network": {"kind": "ring", "k": 6}})
    found = compare_parts(gather_studies([*opinions, *other[:2]]))
    contrasts = {row["measure"]: row for row in tabulate_contrasts(found)}
    tables = [read_run_table(folders)["polarization"].to_list() for folders in (opinions, other)]
    expected = sum(b - a for a, b in zip(*tables, strict=True) if tables[1].index(b) < 2) / 2
    assert contrasts["polarization"]["n_pairs"] == 2
    assert float(contrasts["polarization"]["difference"]) == pytest.approx(expected, rel=1e-3)
    single = compare_parts(gather_studies([*opinions, other[2]]))
    assert {row["band"] for row in tabulate_contrasts(single)} == {"none"}
    assert next(difference.seeds for difference in single) == (13,)


def test_language_results_carry_their_sentences(fishery):
    text = Page(page := render_report(fishery)).text
    assert '<section id="language">' in page
    for sentence in (NOT_PEOPLE, STEREOTYPE, BUILT_IN_RULES):
        assert sentence in text
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, flags=re.S)
    assert all(BUILT_IN_RULES in caption.replace("&#39;", "'") for caption in captions)
    assert "captured mass" in text
    assert re.search(r"SHA-256 [0-9a-f]{64}", text)
    assert "Q8_0" in text
    assert "messages, evenly spread" in text
    assert "not a substitute for participants" in text


def test_rules_need_no_language_section(opinions_page):
    assert '<section id="language">' not in opinions_page
    assert NOT_PEOPLE not in opinions_page


def test_verification_calibration_and_validation_are_kept_apart(opinions_page):
    headings = re.findall(r"<h3>(.*?)</h3>", opinions_page[opinions_page.index('id="validity"') :])
    assert headings[:4] == ["Verification", "Calibration", "Validation", "What this report cannot show"]
    assert "No human data were compared" in opinions_page


def test_an_epidemic_without_decisions(workspace):
    folders = execute(workspace, {"scenario": "sir", "steps": 5, "population": {"size": 40}})
    text = Page(render_report(folders)).text
    assert "mechanism only" in text.lower()
    assert "state at the start and at the end" in text


def test_states_that_were_not_recorded_are_left_out(workspace):
    tables = {"scenario": "sir", "steps": 5, "population": {"size": 40}, "record": {"states": "none"}, "seed": 5}
    assert "at the start and at the end" not in render_report(execute(workspace, tables))


def test_a_report_is_written_whole_or_not_at_all(opinions, tmp_path):
    path = write_report(opinions, tmp_path / "new folder" / "report.html")
    assert path.read_text().endswith("</html>\n")
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(ReportError, match="is a folder"):
        write_report(opinions, tmp_path)
    with pytest.raises(ReportError, match=r"does not end in \.html or \.pdf"):
        write_report(opinions, tmp_path / "report.docx")
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot write"):
        write_report(opinions, tmp_path / "file" / "report.html")


def test_what_cannot_be_reported_says_so(workspace, tmp_path):
    with pytest.raises(ReportError, match="at least one run"):
        render_report([])
    with pytest.raises(ReportError, match="recorded a measure"):
        render_report([create_run(workspace, load_study({"scenario": "sir", "title": "queued"}))])
    with pytest.raises(RunNotFound):
        render_report([tmp_path])


def test_runs_that_end_early_keep_their_last_value(workspace):
    tables = {"scenario": "fishery", "title": "greed", "steps": 6, "params": {"rule": "greedy"}}
    early = execute(workspace, tables)
    stack = {s.measure: s for s in stack_measures(early)}["collapsed"]
    assert stack.steps[-1] < 6
    assert stack.final.tolist() == [1.0]
    late = execute(workspace, {**tables, "params": {"rule": "sustainable"}})
    both = {s.measure: s for s in stack_measures([*early, *late])}["collapsed"]
    assert both.values.shape == (2, 7)
    assert both.final.tolist() == [1.0, 0.0]
    assert both.ended_early == 1


def test_phases_come_from_the_simulation():
    phases = list_phases()
    assert len(phases) == 6
    assert "scenario.step" in phases[1]


def test_seeds_in_words():
    assert describe_seeds([7]) == "7"
    assert describe_seeds([9, 8, 7]) == "7 to 9"
    assert describe_seeds([1, 5, 9]) == "1, 5, 9"


def test_equal_events_are_merged():
    rows = [
        {"step": s, "kind": "intervention", "agent_id": -1, "detail": f'{{"at": {s - 1}, "name": "x"}}'}
        for s in (1, 2, 3)
    ]
    rows.append({"step": 3, "kind": "entered", "agent_id": 5, "detail": "{}"})
    assert merge_events(rows) == [
        {"kind": "intervention", "detail": "name: x", "first": 1, "last": 3, "times": 3, "agents": ""},
        {"kind": "entered", "detail": "", "first": 3, "last": 3, "times": 1, "agents": "5"},
    ]


def test_samples_are_spread():
    assert spread(3, 24) == [0, 1, 2]
    assert spread(100, 5) == [0, 25, 50, 74, 99]
