"""The workflow of docs/ci.md: valid, its commands are ours, and they run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from program import ROOT, mmesim

from mmesim.cli.app import app

EXAMPLE = ROOT / "docs" / "examples" / "github-actions.yaml"
SHORT = ("--set", "duration=6m", "--set", "warmup=1m", "--no-report")
SMALL = {"run": ("--seeds", "3", "--processes", "1"),
         "plan": ("--instances", "2..2", "--instance-types", "ml.g4dn.2xlarge", "--seeds", "3", "--no-reasons")}
"""What makes a command of the example small; given again, an option counts the last time."""


def workflow() -> dict[str, Any]:
    return yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))


def commands() -> list[list[str]]:
    """The example's commands of ours, for a packaged scenario."""
    steps = workflow()["jobs"]["check"]["steps"]
    given = [shlex.split(step["run"]) for step in steps if step.get("run", "").startswith("mmesim ")]
    return [["quickstart" if word == "$SCENARIO" else word for word in words[1:]] for words in given]


def test_the_example_is_a_workflow() -> None:
    made = workflow()
    assert made[True] == {"pull_request": {"paths": ["capacity/**"]}}, "YAML 1.1 reads `on` as true, as GitHub knows"
    job = made["jobs"]["check"]
    assert {"runs-on", "steps", "env"} <= job.keys()
    assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    assert {words[0] for words in commands()} == {"run", "plan"}


@pytest.mark.parametrize("words", commands(), ids=lambda words: words[0])
def test_the_commands_are_ours(words: list[str]) -> None:
    group = typer.main.get_command(app)
    name, command, rest = group.resolve_command(typer.Context(group), words)
    context = command.make_context(name, rest)
    assert context.params["check"] is True
    assert context.params["scenario"] == "quickstart"


@pytest.mark.parametrize("words", commands(), ids=lambda words: words[0])
def test_the_commands_run(words: list[str], tmp_path: Path) -> None:
    given = (*words, *SHORT, *SMALL[words[0]])
    done = mmesim(*given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    missed = mmesim(*given, "--set", "objective.p99_ms=200", cwd=tmp_path)
    assert missed.returncode == 1, missed.stdout + missed.stderr


def test_the_page_shows_the_example_and_the_commands() -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    assert "examples/github-actions.yaml" in page
    assert {f"mmesim {words[0]} capacity/endpoint.yaml --check" in page for words in commands()} == {True}
