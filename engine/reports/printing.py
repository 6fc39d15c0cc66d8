"""A report as a PDF, typeset by typst without any network."""

from __future__ import annotations

import importlib.resources
import json
import re

from engine.errors import ReportError
from engine.reports.contents import Document, to_plain

# typst stamps the moment of writing into the file unless told another; the same runs are to give the same bytes.
_TIMESTAMP = 0
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def render_pdf(document: Document) -> bytes:
    """Return a document as a PDF: A4, numbered pages, an outline, figures as vectors.

    All texts reach the template as JSON, so that nothing in them is read as markup. Equal documents give equal bytes
    with the same version of typst and the same fonts.

    Raises:
        ReportError: typst is not installed, or refuses the document.
    """
    try:
        import typst
    except ImportError as error:
        raise ReportError(
            "a PDF needs the package typst; `pip install typst` adds it, or name a file that ends in .html"
        ) from error
    text = json.dumps(_printable(to_plain(document)), ensure_ascii=False)
    template = (importlib.resources.files("engine.reports") / "report.typ").read_bytes()
    try:
        return bytes(typst.compile(template, format="pdf", sys_inputs={"report": text}, timestamp=_TIMESTAMP))
    except (typst.TypstError, RuntimeError) as error:
        raise ReportError(f"the report cannot be set as a PDF ({error}); name a file that ends in .html") from error


def _printable(part: object) -> object:
    """Replace the characters that no font shows and no SVG may hold by a mark that does not hide them."""
    if isinstance(part, str):
        return _UNPRINTABLE.sub("�", part)
    if isinstance(part, list):
        return [_printable(item) for item in part]
    if isinstance(part, dict):
        return {key: _printable(value) for key, value in part.items()}
    return part
