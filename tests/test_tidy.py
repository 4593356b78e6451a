"""The house rules that a machine can check: sizes, docstrings, layers, types, lint."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = sorted((ROOT / "mmesim").rglob("*.py"))
SOURCES = [*PACKAGE, *sorted((ROOT / "benchmarks").rglob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))]
MODULE_LINES = 400
FUNCTION_LINES = 60
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_small_and_documented(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= MODULE_LINES, "where should the wall be?"
    assert ast.get_docstring(tree), "a module says at its head what it is for"
    inner = {node for outer in ast.walk(tree) if isinstance(outer, FUNCTION) for node in ast.walk(outer)
             if node is not outer}
    for node in ast.walk(tree):
        if isinstance(node, FUNCTION):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES, f"{node.name} has {lines} lines"
            private = node.name.startswith("_") or node in inner
            assert private or lines <= 8 or ast.get_docstring(node), f"{node.name}: no docstring"


def _tool(name: str, *arguments: str) -> None:
    program = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert program, f"{name} is not installed: pip install '.[test]'"
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_point_down_only() -> None:
    _tool("lint-imports")


def test_core_and_policies_are_typed() -> None:
    _tool("mypy")


def test_lint() -> None:
    _tool("ruff", "check", "mmesim", "tests", "benchmarks")
