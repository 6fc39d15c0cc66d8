"""Survey files for the tests: 2,000 made-up respondents with weights, labels and missing codes."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyreadstat

N = 2000
GENDER = {1: "Male", 2: "Female", 9: "No answer"}
SCALE = {0: "Left", 10: "Right", 77: "Refusal", 88: "Don't know"}
PARTY = {1: "Reds", 2: "Blues", 3: "Greens", 66: "Not applicable"}


def make_answers(seed: int = 1) -> pl.DataFrame:
    """Return raw codes: the weight depends on the party, and the left-right scale on both."""
    rng = np.random.default_rng(seed)
    party = rng.choice([1.0, 2.0, 3.0, 66.0], N, p=[0.4, 0.3, 0.2, 0.1])
    weight = np.where(party == 3, 3.0, 0.75) * rng.uniform(0.8, 1.2, N)
    scale = np.clip(np.rint(rng.normal(np.where(party == 2, 7, 4), 2)), 0, 10)
    scale[rng.random(N) < 0.05] = 77
    scale[rng.random(N) < 0.05] = 88
    return pl.DataFrame(
        {
            "idno": np.arange(1.0, N + 1),
            "lrscale": scale,
            "gndr": rng.choice([1.0, 2.0, 9.0], N, p=[0.45, 0.54, 0.01]),
            "agea": np.rint(rng.uniform(18, 90, N)),
            "prtclede": party,
            "cntry": rng.choice(["DE", "FR", "PL"], N),
            "ppltrst": rng.integers(1, 6, N).astype(float),
            "pspwght": weight,
        }
    )


def write_sav(path: Path, answers: pl.DataFrame | None = None, **changes) -> Path:
    """Write the respondents as SPSS file."""
    labels = {
        "lrscale": "Placement on left right scale",
        "gndr": "Gender",
        "agea": "Age of respondent, calculated",
        "prtclede": "Which party feel closer to",
        "ppltrst": "Most people can be trusted",
        "pspwght": "Post-stratification weight",
    }
    options = {
        "column_labels": labels,
        "variable_value_labels": {"lrscale": SCALE, "gndr": GENDER, "prtclede": PARTY},
        "missing_ranges": {"lrscale": [{"lo": 77, "hi": 99}], "gndr": [9], "prtclede": [66]},
        "variable_measure": {"lrscale": "ordinal", "gndr": "nominal", "agea": "scale"},
        **changes,
    }
    pyreadstat.write_sav(make_answers() if answers is None else answers, path, **options)
    return path


def write_dta(path: Path) -> Path:
    """Write a few respondents as Stata file, with letters for missing answers."""
    table = pd.DataFrame({"vote": [1, 2, "a", "b", 2], "w": [1.0, 2.0, 0.5, 1.0, np.nan], "town": list("xyzxy")})
    pyreadstat.write_dta(
        table,
        path,
        missing_user_values={"vote": ["a", "b"]},
        variable_value_labels={"vote": {1: "Yes", 2: "No", "a": "Refused", "b": "Does not know"}},
        column_labels={"vote": "Voted", "w": "Weight", "town": "Town"},
    )
    return path


def write_cp1252(path: Path, declared: bytes = b"UTF-8") -> Path:
    """Write a file whose texts are in cp1252, whatever it declares."""
    answers = pl.DataFrame({"town": ["Mzzznchen", "Ulm"], "size": [1.0, 2.0]})
    labels = {"town": "Wohnort (Grzzzzzzenklasse)"}
    pyreadstat.write_sav(answers, path, column_labels=labels, variable_value_labels={"size": {1: "grzzzz"}})
    content = path.read_bytes().replace(b"zzz", "üöß".encode("cp1252"))
    marker = (7).to_bytes(4, "little") + (20).to_bytes(4, "little") + (1).to_bytes(4, "little")
    before = marker + (5).to_bytes(4, "little") + b"UTF-8"
    assert before in content
    after = marker + len(declared).to_bytes(4, "little") + declared
    path.write_bytes(content.replace(before, after))
    return path
