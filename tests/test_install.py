"""The wheel: what it installs works from any folder, with its scenarios and profiles and without the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from program import ROOT, SHORT

SHIPPED = ("mmesim", "scenarios", "profiles", "pyproject.toml", "README.md", "LICENSE")
"""What a wheel is made from; nothing else of the checkout is needed."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's contents, built from a copy of the sources."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in SHIPPED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check",
                    *isolation, "--target", str(target), str(source)], check=True)
    return target


def program(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The installed `mmesim` script, which knows nothing of the checkout. It runs uncompiled: a kernel in
    another place is compiled anew, for half a minute."""
    path = {**os.environ, "PYTHONPATH": str(installed), "NUMBA_DISABLE_JIT": "1"}
    return subprocess.run([sys.executable, str(installed / "bin" / "mmesim"), *arguments], cwd=cwd, env=path,
                          capture_output=True, text=True, check=False, timeout=280)


def test_scenarios_and_profiles_are_in_the_wheel(installed: Path) -> None:
    data = installed / "mmesim" / "_data"
    for kind in ("scenarios", "profiles"):
        assert sorted(path.name for path in (data / kind).glob("*.yaml")) == \
            sorted(path.name for path in (ROOT / kind).glob("*.yaml"))
    assert not (installed / "tests").exists()


def test_quickstart_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    done = program(installed, "run", "quickstart", *SHORT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = tmp_path / "reports" / "quickstart"
    assert json.loads((result / "summary.json").read_text())["requests"]["completions"] > 100
    assert "<svg" in (result / "report.html").read_text()


def test_init_copies_the_examples(installed: Path, tmp_path: Path) -> None:
    assert program(installed, "init", "mine", cwd=tmp_path).returncode == 0
    for path in (ROOT / "scenarios").glob("*.yaml"):
        assert (tmp_path / "mine" / path.name).read_bytes() == path.read_bytes()


def test_the_doctor_finds_every_library(installed: Path, tmp_path: Path) -> None:
    done = program(installed, "doctor", "--json", cwd=tmp_path)
    rows = json.loads(done.stdout)
    assert done.returncode == 0, rows
    assert {"Python", "numpy", "numba", "pydantic", "kernel", "results"} <= {row["check"] for row in rows}
    assert {row["state"] for row in rows} == {"ok"}
