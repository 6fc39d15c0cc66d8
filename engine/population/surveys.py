"""Survey files: SPSS (.sav, .zsav), Stata (.dta), SAS (.sas7bdat) and tables (.csv, .tsv, .parquet, .xlsx).

How their variables become columns of a population is in `mapping`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.errors import PopulationError
from engine.population.codebook import ENCODINGS, Survey
from engine.population.survey_lists import read_header, read_list
from engine.population.survey_stat import read_stat, read_stat_names
from engine.population.survey_tables import read_table, read_table_names
from engine.population.text import quoted
from engine.registry import nearest

MAX_BYTES = 2 * 1024**3
FORMATS = {
    ".sav": "SPSS",
    ".zsav": "SPSS",
    ".dta": "Stata",
    ".sas7bdat": "SAS",
    ".csv": "CSV",
    ".tsv": "CSV",
    ".txt": "CSV",
    ".parquet": "Parquet",
    ".xlsx": "Excel",
}
_SAS_MARK = bytes.fromhex("c2ea8160b31411cfbd92080009c7318c181f1011")
"""Bytes 12 to 31 of a SAS data file."""


def read_survey(path: Path, *, encoding: str | None = None, variables: Sequence[str] | None = None) -> Survey:
    """Read a survey file.

    Args:
        path: The file; its suffix tells the format.
        encoding: A key of `ENCODINGS`; None takes what the file declares (UTF-8 for CSV).
        variables: Names of those to read, which is much faster than to read all of a large file; None for all.

    Raises:
        PopulationError: no such file, not of the format that its suffix names, damaged, over 2 GB, without variables
            or respondents, in another encoding, a name given twice, or an unknown variable; says what to do.
    """
    file_format = check_survey_file(path, encoding)
    if file_format == "CSV":
        survey = read_list(path, encoding, variables)
    elif file_format in ("Parquet", "Excel"):
        survey = read_table(path, file_format, variables)
    else:
        survey = read_stat(path, file_format, encoding, variables)
    if not survey.n_rows:
        raise PopulationError(f"{path.name} has variables but no respondents; export it again with its rows")
    return survey


def read_variable_names(path: Path, *, encoding: str | None = None) -> tuple[str, ...]:
    """Return the names of a survey's variables without reading the answers.

    Raises:
        PopulationError: as `read_survey`, but for what is wrong with the answers.
    """
    file_format = check_survey_file(path, encoding)
    if file_format == "CSV":
        return read_header(path, encoding)
    if file_format in ("Parquet", "Excel"):
        return read_table_names(path, file_format)
    return read_stat_names(path, file_format, encoding)


def check_survey_file(path: Path, encoding: str | None) -> str:
    """Return the format of a file that exists, is not too large, not empty, and is what its suffix says.

    Raises:
        PopulationError: otherwise, or an unknown encoding.
    """
    if encoding is not None and encoding.lower() not in ENCODINGS:
        raise PopulationError(f"{quoted(encoding)} is not an encoding{nearest(encoding.lower(), ENCODINGS)}")
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        allowed = ", ".join(FORMATS)
        raise PopulationError(f"{quoted(path.name)} is no survey file; its name must end in {allowed}")
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise PopulationError(f"the survey file {quoted(path.name)} {what}; check the path")
        size = path.stat().st_size
        with path.open("rb") as opened:
            head = opened.read(1024)
    except (OSError, ValueError) as error:
        raise PopulationError(f"{quoted(path.name)} cannot be read: {error}") from None
    if size > MAX_BYTES:
        raise PopulationError(
            f"{path.name} has {size / 1024**3:.1f} GB, at most 2 GB are read; save it with fewer variables or rows"
        )
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise PopulationError(f"{path.name} is empty; export it again")
    found = _format_of(head)
    if found != FORMATS[suffix]:
        wanted = FORMATS[suffix]
        what = f"it looks like {found}; rename or convert it" if found else "its beginning is not; export it again"
        raise PopulationError(f"{path.name} is named like a file of {wanted}, but {what}")
    return found


def _format_of(head: bytes) -> str:
    """Return the format by a file's first bytes; an empty text for none that is known."""
    if head[:4] in (b"$FL2", b"$FL3"):
        return "SPSS"
    if head.startswith(b"<stata_dta>") or (102 <= head[0] <= 115 and head[1:2] in (b"\x01", b"\x02")):
        return "Stata"
    if head[12:32] == _SAS_MARK:
        return "SAS"
    if head[:4] in (b"PAR1", b"PK\x03\x04"):
        return "Parquet" if head[:1] == b"P" and head[1:2] == b"A" else "Excel"
    return "" if b"\0" in head else "CSV"
