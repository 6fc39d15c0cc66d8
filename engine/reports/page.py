"""A report as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import importlib.resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from engine.reports.contents import Document


def render_page(document: Document) -> str:
    """Return a document as self-contained HTML; only the style and the figures, which we draw, are not escaped."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string(_read_text("report.html.jinja"))
    return template.render(document=document, style=Markup(_read_text("report.css")), drawn=Markup)


def _read_text(name: str) -> str:
    return (importlib.resources.files("engine.reports") / name).read_text(encoding="utf-8")
