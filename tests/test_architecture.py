"""The shape of the house: layers, sizes, documentation and the public names."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("engine", "app", "scenarios")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# From the bottom upwards; a module may import only from lines below its own, and from its own package.
LAYERS = (
    ("errors", "hints", "threads"),
    ("draws",),
    ("answers",),
    ("registry", "expressions", "decision"),
    ("spec",),
    ("problems",),
    ("regressions", "answer_checks", "layer_checks"),
    ("study_tables", "validation"),
    ("arms",),
    ("loading",),
    ("network", "llm", "population"),
    ("measures", "policy"),
    ("interventions", "contract"),
    ("world_state",),
    ("world",),
    ("simulation",),
    ("store",),
    ("runs",),
    ("analysis",),
    ("experiment",),
    ("reports",),
)
RANK = {name: rank for rank, line in enumerate(LAYERS) for name in line}
# columns.py is the vocabulary of population columns and stands beside `decision`, below everything that uses it.
RANK["population.columns"] = RANK["decision"] + 0.5
# `nearest` and the registries are used by their own line.
FOUNDATION = {"errors", "registry"}
TOP = len(LAYERS)


def identify(path: Path) -> str:
    """Return a module's path below the repository, for messages."""
    return str(path.relative_to(ROOT))


def layer_of(parts: list[str]) -> tuple[str, float] | None:
    """Return (layer name, rank) of a dotted module name inside engine; None for the package itself."""
    if len(parts) < 2:
        return None
    if parts[1:3] == ["population", "columns"]:
        return "population.columns", RANK["population.columns"]
    return (parts[1], RANK[parts[1]]) if parts[1] in RANK else (parts[1], -1)


def imported(tree: ast.Module, package: list[str]) -> list[tuple[int, str]]:
    """Return (line, dotted name) of every import that is executed, relative ones resolved."""
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            inner = name == "engine" or name == "engine.population"
            found += [(node.lineno, f"{name}.{alias.name}" if inner else name) for alias in node.names]
    return found


def is_submodule(dotted: str) -> bool:
    """Tell whether a dotted engine name is a module or package on disk."""
    path = ROOT.joinpath(*dotted.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def upward_imports(path: Path) -> list[str]:
    """Return one sentence for each import of a module that does not go downward."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    package = parts[:-1]
    if parts[-1] == "__init__":
        parts = package
    wrong = []
    for line, name in imported(ast.parse(path.read_text()), package):
        target = name.split(".")
        if target[0] not in {"engine", "app", "scenarios", "personas", "assets"}:
            continue
        where = f"{identify(path)}:{line} imports {name}"
        if parts[0] == "scenarios":
            if target[0] == "engine" and (len(target) > 2 or (len(target) == 2 and is_submodule(name))):
                wrong.append(f"{where}: a scenario uses only public names of `engine`")
            elif target[0] == "app":
                wrong.append(f"{where}: app lies above")
        elif parts[0] == "engine":
            if target[0] in {"app", "scenarios"}:
                wrong.append(f"{where}: it lies above engine")
            own, other = layer_of(parts), layer_of(target)
            if own is None or other is None or target[0] != "engine" or own[0] == other[0]:
                continue
            if not is_submodule(".".join(target[:2])) or other[0] in FOUNDATION:
                continue
            if own[0].split(".")[0] == other[0].split(".")[0]:
                continue
            if other[1] >= own[1]:
                wrong.append(f"{where}: {other[0]} does not lie below {own[0]}")
    return wrong


def test_every_engine_module_has_a_layer():
    children = {p.stem if p.is_file() else p.name for p in (ROOT / "engine").iterdir() if p.suffix in {".py", ""}}
    children -= {"__init__", "__pycache__", "py.typed"}
    folders = {
        name
        for name in children
        if (ROOT / "engine" / name).is_dir() and not any((ROOT / "engine" / name).glob("*.py"))
    }
    assert children - folders - set(RANK) == set()


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_imports_go_downward_only(path):
    assert upward_imports(path) == []


@pytest.mark.parametrize(
    ("where", "line", "complaint"),
    [
        ("engine/spec.py", "import engine.world", "world does not lie below spec"),
        ("engine/network/graph.py", "from engine.llm import load_model", "llm does not lie below network"),
        ("engine/store/reader.py", "from app.session import Session", "it lies above engine"),
        ("scenarios/example.py", "from engine.world import World", "only public names"),
        ("scenarios/example.py", "from engine import world", "only public names"),
    ],
)
def test_a_wrong_import_is_noticed(tmp_path, monkeypatch, where, line, complaint):
    for name in ("engine/world.py", "engine/llm/__init__.py", "app/session.py", where):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / where).write_text(line)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    problems = upward_imports(tmp_path / where)
    assert len(problems) == 1
    assert complaint in problems[0]


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_modules_and_functions_stay_readable(path):
    text = path.read_text()
    assert text.count("\n") <= 500
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{identify(path)} has no docstring"
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f"{f.name}: {f.end_lineno - f.lineno + 1} lines" for f in functions if f.end_lineno - f.lineno + 1 > 80]
    assert long == []


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_names_avoid_empty_words(path):
    words = {"utils", "util", "helpers", "helper", "manager", "misc", "common"}
    assert not words & set(path.stem.split("_"))


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[-2] == "app"], ids=identify)
def test_app_modules_do_not_shadow_others(path):
    assert path.stem == "__init__" or path.stem not in sys.stdlib_module_names | {
        "app",
        *PACKAGES,
        "personas",
        "assets",
    }


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_nothing_dangerous_is_called(path):
    tree = ast.parse(path.read_text())
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not calls & {"eval", "exec", "pickle.load", "pickle.loads", "logging.basicConfig", "np.random.seed"}
    assert not any(name.split(".")[0] in {"pickle", "shelve", "marshal"} for _, name in imported(tree, []))


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter at the repository root."""
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_engine_and_scenarios_need_no_studio_and_no_model_library():
    result = run_python(
        """
        import sys

        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {"streamlit", "plotly", "llama_cpp"}:
                    raise ImportError(f"{name} is blocked")

        sys.meta_path.insert(0, Blocked())
        import engine
        from engine import registry
        registry.discover()
        print(*registry.scenarios)
        """
    )
    assert result.returncode == 0, result.stderr
    assert {"sir", "bounded_confidence", "fishery", "persuasion"} <= set(result.stdout.split())


def test_importing_changes_nothing():
    result = run_python(
        """
        import logging, os, tempfile
        os.chdir(tempfile.mkdtemp())
        handlers = len(logging.getLogger().handlers)
        import engine, app.cli
        assert len(logging.getLogger().handlers) == handlers
        print(os.listdir("."))
        """
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def public_names() -> list[str]:
    """Return the names that `engine` exports."""
    return sorted(importlib.import_module("engine").__all__)


def test_public_names_are_few_and_no_submodules():
    engine = importlib.import_module("engine")
    submodules = {module.name for module in pkgutil.iter_modules(engine.__path__)}
    names = public_names()
    assert 0 < len(names) <= 30
    assert not submodules & set(names)
    assert not [name for name in names if inspect.ismodule(getattr(engine, name))]


def test_public_names_are_documented_and_annotated():
    engine = importlib.import_module("engine")
    missing = []
    for name in public_names():
        thing = getattr(engine, name)
        if not inspect.getdoc(thing):
            missing.append(f"{name} has no docstring")
        if inspect.isfunction(thing):
            signature = inspect.signature(thing)
            bare = [p.name for p in signature.parameters.values() if p.annotation is inspect.Parameter.empty]
            missing += [f"{name}({argument}) has no annotation" for argument in bare]
            if signature.return_annotation is inspect.Signature.empty:
                missing.append(f"{name} does not say what it returns")
    assert missing == []
