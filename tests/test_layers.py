"""The tree is the architecture: who may import whom, by contract and by what a fresh interpreter really loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"titand": ROOT / "titand", "titan": ROOT / "clients/python/titan"}
SOURCES = sorted(
    path
    for package in PACKAGES.values()
    for path in package.rglob("*.py")
    if "v1" not in path.relative_to(package).parts  # generated
)
VAGUE = {"utils", "util", "common", "manager", "helper", "helpers", "base", "misc", "internal", "handler"}


def module_name(path):
    """titand/front/server.py -> titand.front.server."""
    package = next(name for name, folder in PACKAGES.items() if path.is_relative_to(folder))
    name = ".".join((package, *path.relative_to(PACKAGES[package]).with_suffix("").parts))
    return name.removesuffix(".__init__")


def modules(*parts):
    """The importable modules of these parts of titand; those that run when imported are left out."""
    names = [module_name(path) for path in SOURCES if path.stem != "__main__"]
    return [name for name in names if name.startswith("titand.") and name.split(".")[1] in parts]


def loaded_by(module, *suspects):
    """Which of the suspects a fresh interpreter holds after importing a module."""
    code = f"import sys, {module}; print(*[each for each in {suspects!r} if each in sys.modules])"
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_import_linter_keeps_every_contract():
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter is not installed")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "module", modules("front", "storage", "telemetry", "governor", "runtime", "config", "daemon", "records", "clock")
)
def test_light_processes_load_no_torch(module):
    assert loaded_by(module, "torch", "numpy", "jtop") == []


@pytest.mark.parametrize("module", modules("storage", "telemetry", "governor", "runtime", "config", "daemon"))
def test_processes_that_fork_load_no_grpc(module):
    assert loaded_by(module, "grpc", "google.protobuf", "titan") == []


@pytest.mark.parametrize(
    "module", [module_name(path) for path in SOURCES if "clients" in path.parts and path.stem != "__main__"]
)
def test_the_client_loads_neither_daemon_nor_torch_nor_numpy(module):
    assert loaded_by(module, "titand", "torch", "numpy") == []


def test_no_file_is_too_long_for_one_concept():
    others = (path for folder in ("tests", "benchmarks", "docs") for path in (ROOT / folder).rglob("*.py"))
    length = {path: len(path.read_text().splitlines()) for path in (*SOURCES, *others)}
    assert {str(path): lines for path, lines in length.items() if lines > 400} == {}


def test_files_are_named_for_what_they_are():
    assert [path for path in SOURCES if VAGUE & set(path.relative_to(ROOT).with_suffix("").parts)] == []


def syntax(kind):
    """Every node of this kind in the sources, with the file it stands in."""
    return [
        (path, node) for path in SOURCES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kind)
    ]


def calls(*names):
    return [f"{path}:{node.lineno}" for path, node in syntax(ast.Call) if ast.unparse(node.func) in names]


def test_nothing_executes_what_arrives():
    unsafe = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
    imported = [(path, each.name) for path, node in syntax(ast.Import) for each in node.names]
    imported += [(path, node.module) for path, node in syntax(ast.ImportFrom) if node.module]
    assert [(path, name) for path, name in imported if name.split(".")[0] in unsafe] == []
    assert calls("eval", "exec", "torch.load") == []


def test_input_is_never_checked_by_assert():
    assert [f"{path}:{node.lineno}" for path, node in syntax(ast.Assert)] == []


def test_chance_is_an_argument():
    """No draw from a generator that the whole process shares."""
    assert calls("torch.manual_seed", "np.random.seed", "random.seed", "random.random", "random.choice") == []
