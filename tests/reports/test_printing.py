"""Reports as PDF: the words of the page, the same bytes each time, and texts that never become markup."""

import io
import json

import numpy as np
import pytest
from pypdf import PdfReader

from engine import load_study
from engine.errors import ReportError
from engine.reports import write_report
from engine.reports.contents import (
    Answer,
    Code,
    Document,
    Facts,
    Figure,
    Figures,
    Finding,
    Findings,
    Heading,
    Items,
    Label,
    Message,
    Messages,
    Mono,
    Notice,
    Section,
    say,
    tabulate,
    to_plain,
)
from engine.reports.figures import draw_bars
from engine.reports.page import render_page
from engine.reports.printing import render_pdf
from engine.runs import create_runs, open_workspace
from engine.runs.execution import Worker, execute_run

HOSTILE = '#eval("1+1") #read("/etc/passwd") *bold* _it_ $x$ @ref <label> \\ // /* [ ] { } = ` \x00\x07\ud800 “中文” 😀'


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    tables = {"title": "Camps", "scenario": "bounded_confidence", "steps": 5, "replicates": 2, "seed": 4}
    folders = create_runs(
        open_workspace(tmp_path_factory.mktemp("print")), load_study({**tables, "population": {"size": 30}})
    )
    for folder in folders:
        with Worker(live=False) as worker:
            execute_run(folder, worker)
    return folders


def document_of(text):
    """Return a document that has a text in every place of every kind of block."""
    figure = Figure(text, draw_bars("f", [text, "other"], np.array([0.4, 0.6])), text, text)
    blocks = (
        Heading(text),
        Heading(text, major=True),
        Label(text),
        say(text, Mono(text)),
        Facts(((text, text),)),
        tabulate(
            (("a", text, "name"), ("b", text, "number"), ("c", text, "mono"), ("d", text)),
            [dict.fromkeys("abcd", text)],
        ),
        tabulate((("a", "a"),), [], empty=text),
        Figures((figure,)),
        Notice((text,)),
        Findings((Finding("concern", text),)),
        Items((text,)),
        Items((text,), numbered=True),
        Code(text),
        Messages((Message(text, text, text),)),
        Answer(text, text, figure),
    )
    return Document(text, text, (text,), (Section("s", text, text, blocks),), text, "0")


def read_words(pdf):
    text = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)
    return " ".join(text.replace("\u200b", "").split())


def test_a_print_has_the_words_of_the_page(runs, tmp_path):
    pdf = write_report(runs, tmp_path / "report.pdf").read_bytes()
    words = read_words(pdf).replace(" ", "")
    for sentence in (
        "More runs shrink any p-value: report the effect and its Monte Carlo error.",
        "No human data were compared. Nothing here shows that people would behave so.",
        "Every run of the study that was found in the workspace",
        "microcosm run study.toml",
        runs[0].name,
        runs[1].name,
    ):
        assert sentence.replace(" ", "") in words
    assert PdfReader(io.BytesIO(pdf)).metadata.title == "Camps"


def test_equal_runs_give_equal_prints(runs, tmp_path):
    first, again = (write_report(runs, tmp_path / name).read_bytes() for name in ("a.pdf", "b.pdf"))
    assert first == again
    assert first.startswith(b"%PDF-")


def test_texts_never_become_markup():
    words = read_words(render_pdf(document_of(HOSTILE)))
    assert '#eval("1+1")' in words
    assert "root:" not in words
    assert words.count("*bold*") >= 12


def test_both_forms_show_the_same_document():
    document = document_of("a text that stands everywhere")
    n = render_page(document).count("a text that stands everywhere")
    assert (
        n >= json.dumps(to_plain(document)).count("a text that stands everywhere") - 2
    )  # the alt text is an attribute
    assert read_words(render_pdf(document)).count("a text that stands everywhere") >= 20


def test_a_long_word_stays_on_the_page():
    pdf = render_pdf(document_of("x" * 300))
    reader = PdfReader(io.BytesIO(pdf))
    for page in reader.pages:
        places = []
        page.extract_text(visitor_text=lambda text, _cm, tm, _font, _size, kept=places: kept.append(tm[4]))
        assert max(places) < float(page.mediabox.width)


def test_endings_that_are_not_written_say_which_are(runs, tmp_path):
    with pytest.raises(ReportError, match=r"report.docx' does not end in \.html or \.pdf"):
        write_report(runs, tmp_path / "report.docx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_typesetter_says_what_to_do(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(ReportError, match="pip install typst"):
        render_pdf(document_of("x"))
