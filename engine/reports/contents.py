"""What stands in a report, without saying how it looks: sections of blocks, written once for the page and for print.

Every text in a block is plain: what people, files and models wrote is data to the templates, never markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, Literal, cast

ColumnKind = Literal["text", "name", "number", "unit", "mono"]
Status = Literal["checked", "not checked", "concern"]


@dataclass(frozen=True)
class Mono:
    """A stretch of a paragraph in a fixed-width face: an id, a file name, a hash."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading within a section; `major` where a study or an arm begins."""

    kind: ClassVar[str] = "heading"
    text: str
    major: bool = False


@dataclass(frozen=True)
class Label:
    """A line that names what follows, below a heading."""

    kind: ClassVar[str] = "label"
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    kind: ClassVar[str] = "paragraph"
    parts: tuple[str | Mono, ...]


@dataclass(frozen=True)
class Facts:
    """A few (name, value) pairs side by side."""

    kind: ClassVar[str] = "facts"
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading; empty in all columns for a table without a heading.
        form: text; name and mono in a fixed-width face (a name stays on one line); number to the right; unit on one
            line.
    """

    title: str
    form: ColumnKind = "text"


@dataclass(frozen=True)
class Row:
    """One row of a table; `strong` where the study changes a default, `warning` where something went wrong."""

    cells: tuple[str, ...]
    strong: bool = False
    warning: bool = False


@dataclass(frozen=True)
class Table:
    """A table; `empty` stands in its place where it has no row."""

    kind: ClassVar[str] = "table"
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    empty: str = ""

    @property
    def has_head(self) -> bool:
        """Whether any column has a heading."""
        return any(column.title for column in self.columns)


@dataclass(frozen=True)
class Figure:
    """One figure with its heading, its SVG, its caption and its text for readers who do not see it."""

    title: str
    svg: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Figures:
    """Figures side by side."""

    kind: ClassVar[str] = "figures"
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Notice:
    """Sentences that nobody should pass over."""

    kind: ClassVar[str] = "notice"
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """One thing that was checked or was not.

    Attributes:
        status: checked, not checked, or concern (it was checked and something is wrong).
        text: What was found, or what is missing.
    """

    status: Status
    text: str


@dataclass(frozen=True)
class Findings:
    """What was checked, one below the other."""

    kind: ClassVar[str] = "findings"
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Items:
    """A list, numbered or not."""

    kind: ClassVar[str] = "items"
    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Code:
    """Lines as they stand in a file or on a command line."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Message:
    """One message of a run: who wrote it, where, and the text."""

    who: str
    channel: str
    text: str


@dataclass(frozen=True)
class Messages:
    """Messages in the order in which they were said."""

    kind: ClassVar[str] = "messages"
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Answer:
    """A prompt beside the probabilities that a model put on its options; `first` is shown open on a page."""

    kind: ClassVar[str] = "answer"
    title: str
    prompt: str
    figure: Figure
    first: bool = False


Block = Heading | Label | Paragraph | Facts | Table | Figures | Notice | Findings | Items | Code | Messages | Answer


@dataclass(frozen=True)
class Section:
    """A section of a report; `name` is its anchor, `short` its name in the list of sections."""

    name: str
    title: str
    short: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        title: Main heading.
        kicker: The line above it.
        leads: Research questions.
        sections: In reading order.
        footer: Last line.
        program: Version of the program.
    """

    title: str
    kicker: str
    leads: tuple[str, ...]
    sections: tuple[Section, ...]
    footer: str
    program: str


def say(*parts: str | Mono) -> Paragraph:
    """Return a paragraph."""
    return Paragraph(parts)


def tabulate(columns: Sequence[tuple[str, ...]], rows: Sequence[Mapping[str, Any]], *, empty: str = "") -> Table:
    """Return a table of rows given as dictionaries.

    Args:
        columns: (key, heading) or (key, heading, form) of each column.
        rows: One mapping per row; `strong` and `warning` mark a row.
        empty: What stands in place of a table without rows.
    """
    shown = tuple(Column(column[1], cast(ColumnKind, column[2] if len(column) == 3 else "text")) for column in columns)
    filled = tuple(
        Row(
            tuple(str(row[column[0]]) for column in columns),
            bool(row.get("strong", False)),
            bool(row.get("warning", False)),
        )
        for row in rows
    )
    return Table(shown, filled, empty)


def to_plain(part: Any) -> Any:
    """Return a document, or a part of one, as lists, dictionaries and texts; blocks carry their `kind`."""
    if is_dataclass(part) and not isinstance(part, type):
        plain = {item.name: to_plain(getattr(part, item.name)) for item in fields(part)}
        kind = getattr(part, "kind", None)
        return {"kind": kind, **plain} if isinstance(kind, str) else plain
    if isinstance(part, tuple | list):
        return [to_plain(item) for item in part]
    return part


def headed(parts: Sequence[Any], part: Any) -> list[Block]:
    """Return a heading with the study's name where there are several studies."""
    return [Heading(part.label, major=True)] if len(parts) > 1 else []
