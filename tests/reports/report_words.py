"""What stands in a report, for tests: its sections and the words of their blocks."""

from engine.reports.contents import Mono, Notice, Paragraph, Table
from engine.reports.language import read_language
from engine.reports.reading import gather_studies
from engine.reports.validity import assess_validity


def section(document, name):
    return next(part for part in document.sections if part.name == name)


def words_of(blocks):
    found = []
    for block in blocks:
        if isinstance(block, Paragraph):
            found.append("".join(part.text if isinstance(part, Mono) else part for part in block.parts))
        elif isinstance(block, Table):
            found += [" ".join(row.cells) for row in block.rows]
        elif isinstance(block, Notice):
            found += block.sentences
    return found


def findings_of(folders):
    """Return everything that a report on some runs says was checked or was not, without drawing the report."""
    parts = gather_studies(folders)
    language = [found for part in parts if (found := read_language(part)) is not None]
    return [finding for block in assess_validity(parts, language) for finding in block.findings]
