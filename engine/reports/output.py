"""Reports as files: a page or a print, by the ending of the file's name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.errors import ReportError
from engine.reports.contents import Document
from engine.reports.page import render_page
from engine.reports.printing import render_pdf
from engine.reports.sections import build_document


def render_report(folders: Sequence[Path]) -> str:
    """Return a report on some runs as self-contained HTML; see `build_document`.

    Raises:
        ReportError: no folder was given, or none of the runs has recorded anything.
        RunNotFound: a folder holds no run.
    """
    return render_page(build_document(folders))


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """Write a report on some runs and return its path; an older file of that name is replaced.

    Args:
        folders: Folders of the runs.
        out: File to write; .html and .htm give a page, .pdf a print of the same content.

    Raises:
        ReportError: the path is a folder, has another ending, or cannot be written.
        RunNotFound: a folder holds no run.
    """
    path = Path(out)
    if path.is_dir():
        raise ReportError(f"'{path}' is a folder; name a file that ends in .html or .pdf")
    render = _FORMS.get(path.suffix.lower())
    if render is None:
        raise ReportError(f"'{path}' does not end in .html or .pdf; a report is written as a page or as a PDF")
    content = render(build_document(folders))
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise ReportError(f"cannot write '{path}': {error.strerror or error}") from error
    return path


def _page_bytes(document: Document) -> bytes:
    # A lone surrogate (half a character) cannot be written as UTF-8; it is shown as a question mark.
    return render_page(document).encode("utf-8", "replace")


_FORMS: dict[str, Callable[[Document], bytes]] = {".html": _page_bytes, ".htm": _page_bytes, ".pdf": render_pdf}
