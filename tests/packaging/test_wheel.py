"""The wheel: exactly our top-level names, everything that is read at run time, and it works from an empty folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = {"app", "engine", "personas", "scenarios", "assets"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_installed(unpacked, folder, *words):
    """Run the console script's function from the unpacked wheel, in an empty folder."""
    code = "import sys; import app.cli; sys.stderr.write(app.cli.__file__ + '\\n'); sys.exit(app.cli.main())"
    environment = {
        **os.environ,
        "PYTHONPATH": str(unpacked),
        "MICROCOSM_WORKSPACE": str(folder / "workspace"),
        "COLUMNS": "100",
    }
    command = [sys.executable, "-W", "ignore", "-c", code, *words]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    place, _, errors = result.stderr.partition("\n")
    assert Path(place).is_relative_to(unpacked), place
    return result.returncode, result.stdout, errors


def test_top_level_names_are_exactly_ours(wheel):
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    information = {name for name in names if name.endswith(".dist-info")}
    assert len(information) == 1
    assert names - information == OURS


@pytest.mark.parametrize("package", sorted(OURS))
def test_every_tracked_kind_of_file_is_in(wheel, package):
    skipped = {".pyc", ".nbi", ".nbc"}
    expected = {
        str(path.relative_to(ROOT))
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in skipped and not path.name.startswith(".")
    }
    assert expected - set(zipfile.ZipFile(wheel).namelist()) == set()


@pytest.mark.parametrize(
    "name",
    ["assets/pocket.gguf", "engine/reports/report.html.jinja", "engine/reports/report.css", "scenarios/sir.py"],
)
def test_named_files_are_in(wheel, name):
    assert name in zipfile.ZipFile(wheel).namelist()


@pytest.mark.parametrize(
    ("folder", "ending"),
    [
        ("personas/packs/", ".toml"),
        ("personas/recipes/", ".toml"),
        ("scenarios/presets/", ".toml"),
        ("app/", ".js"),
        ("app/", ".css"),
    ],
)
def test_kinds_of_files_are_in(wheel, folder, ending):
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.startswith(folder) and name.endswith(ending)]


def test_no_cache_or_test_is_in(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if "__pycache__" in name or name.endswith((".nbi", ".nbc", ".pyc"))]
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", ".ci/"))]


def test_console_script_and_licence(unpacked):
    information = next(unpacked.glob("*.dist-info"))
    assert "microcosm = app.cli:main" in (information / "entry_points.txt").read_text()
    assert (information / "licenses" / "LICENSE").is_file()


def test_help_from_an_empty_folder(unpacked, tmp_path):
    status, out, _ = run_installed(unpacked, tmp_path, "--help")
    assert status == 0
    assert "doctor" in out
    assert list(tmp_path.iterdir()) == []


def test_a_study_runs_from_an_empty_folder(unpacked, tmp_path):
    status, out, errors = run_installed(unpacked, tmp_path, "check", "sir", "--set", "population.size=50")
    assert (status, errors) == (0, "")
    assert "no problem" in out
