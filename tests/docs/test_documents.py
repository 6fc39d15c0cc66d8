"""The documents: their blocks run, their commands exist, their figures and versions agree."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from app.cli import VERBS, build_parser
from engine import load_study, parse_study, simulate

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ("README.md", "CONTRIBUTING.md")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of one language on one page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), flags=re.M | re.S)


def shell_lines() -> list[str]:
    """Return the `microcosm` commands of all shell blocks, without an environment's path."""
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("microcosm")]


def environment(workspace: Path) -> dict[str, str]:
    """Return the environment of a program that must not touch the real workspace."""
    return {**os.environ, "MICROCOSM_WORKSPACE": str(workspace), "PYTHONWARNINGS": "ignore"}


@pytest.mark.parametrize("text", blocks("README.md", "toml"), ids=lambda text: text.splitlines()[1])
def test_study_blocks_of_the_readme_run(text):
    study = parse_study(text, file="README.md", overrides=["steps=4"])
    records = list(simulate(study))
    assert records[0].step == 0
    assert len(records) > 1


def test_the_study_block_is_the_one_that_is_told():
    study = parse_study(blocks("README.md", "toml")[0], file="README.md")
    assert study.replicates == 3
    assert study.interventions[0].name == "stubborn hubs"


def test_python_blocks_of_the_readme_run(tmp_path):
    study = load_study(_saved(tmp_path), ["steps=4", "replicates=2", "population.size=60", "interventions=[]"])
    (tmp_path / "study.toml").write_text(_dump(study))
    code = "\n".join(blocks("README.md", "python"))
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(tmp_path / "w"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(" done ") == 2


def _saved(folder: Path) -> Path:
    path = folder / "study.toml"
    path.write_text(blocks("README.md", "toml")[0])
    return path


def _dump(study) -> str:
    from engine import dump_study

    return dump_study(study)


def test_the_scenario_of_the_guide_runs(tmp_path):
    (tmp_path / "rumour.py").write_text(blocks("CONTRIBUTING.md", "python")[0])
    (tmp_path / "study.toml").write_text(blocks("CONTRIBUTING.md", "toml")[0])
    code = """
import rumour
from engine import load_study, simulate
for overrides in ([], ["decisions.tell.policy='scripted'"]):
    records = list(simulate(load_study("study.toml", overrides)))
    shares = [record.measures["informed_share", ""] for record in records]
    assert shares[0] == 0.01 and shares == sorted(shares) and shares[-1] > 0.2, shares
again = [record.digest for record in simulate(load_study("study.toml", overrides))]
assert again == [record.digest for record in simulate(load_study("study.toml", overrides))]
"""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={**environment(tmp_path / "w"), "PYTHONPATH": str(tmp_path), "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("line", shell_lines())
def test_shell_lines_are_understood(line):
    words = shlex.split(line)[1:]
    arguments = build_parser()[0].parse_args(words)
    assert arguments.verb == words[0]


def test_a_wrong_shell_line_is_noticed(capsys):
    with pytest.raises(SystemExit):
        build_parser()[0].parse_args(shlex.split("run study.toml --sett params.epsilon=0.15"))
    assert "--sett" in capsys.readouterr().err


def test_readme_names_the_important_verbs():
    told = set(re.findall(r"microcosm (\w+)", (ROOT / "README.md").read_text()))
    assert {"check", "estimate", "run", "list", "replay", "fork", "export", "report", "new", "doctor"} <= told
    assert told <= {verb.name for verb in VERBS}


def test_ci_runs_the_readme_test_command():
    commands = [block.strip() for block in blocks("README.md", "sh")]
    studio, tests = commands[0], commands[1]
    assert studio.endswith("/microcosm")
    assert tests.endswith("/pytest")
    script = (ROOT / ".ci" / "run").read_text()
    assert script.rstrip().splitlines()[-1] == tests
    assert "set -euo pipefail" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_ci_works_on_a_fresh_copy_and_ends_with_pytest(tmp_path):
    """Stand-ins for python3, chromium and the compiler tell what the script asks of them."""
    tools = tmp_path / "tools"
    tools.mkdir()
    python = """#!/bin/sh
[ "$1" = "-c" ] && exit 0
mkdir -p .venv/bin
printf '#!/bin/sh\\necho "$CMAKE_ARGS $@"' > .venv/bin/pip
printf '#!/bin/sh\\npwd; ls; echo "1 passed in 0.01s"' > .venv/bin/pytest
chmod +x .venv/bin/pip .venv/bin/pytest
"""
    for name, text in {"python3": python, "chromium": "#!/bin/sh\n", "c++": "#!/bin/sh\n"}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    result = subprocess.run([str(ROOT / ".ci" / "run")], capture_output=True, text=True, env=environment, timeout=60)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "-DLLAVA_BUILD=OFF install -e .[dev]"
    assert Path(lines[1]).parent == tmp_path
    assert {"pyproject.toml", "engine", "tests", "README.md"} <= set(lines)
    assert lines[-1] == "1 passed in 0.01s"
    assert [path.name for path in tmp_path.iterdir()] == ["tools"]


def test_install_without_model_names_every_other_dependency():
    line = next(block for block in blocks("README.md", "sh") if "--no-deps" in block)
    listed = set(line.split("pip install")[-1].split())
    required = {re.split(r"[\s<>=!~;\[]", item, maxsplit=1)[0] for item in PROJECT["dependencies"]}
    assert listed == required - {"llama-cpp-python"}


def test_versions_agree():
    version = PROJECT["version"]
    heads = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)
    assert heads[0] == version
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    assert citation["license"] == PROJECT["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert all(author.get("name") or author.get("family-names") for author in citation["authors"])


def test_changelog_sentences_are_short():
    lines = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("- ")]
    assert lines
    assert [line for line in lines if len(line.split()) - 1 > 25 or not line.endswith(".")] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())
    assert targets
    assert [t for t in targets if not t.startswith("https://") and not (ROOT / t).exists()] == []


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md", "CITATION.cff", ".ci/run"])
def test_documents_name_no_private_place(page):
    text = (ROOT / page).read_text()
    assert not re.findall(r"/home/|/work/|/opt/|/Users/|index-url|pypi|localhost:\d", text, flags=re.I)
