"""`mmesim plan` as its users run it: the answer and its files, killed and resumed, infeasible, checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from program import PROGRAM, environment, mmesim
from test_compare_command import wait_for_cells

from mmesim.results.plan import Plan
from mmesim.results.plan_files import load

SCENARIO = """
name: tiny
seed: 3
duration: 6m
warmup: 2m
endpoint: {instance_type: ml.g4dn.2xlarge, instances: 3}
models: [{profile: resnet50-pytorch-t4, count: 20, gpu_bytes: 1GiB, name: "m-{i:02}"}]
workload:
  arrivals: {use: poisson, rate_rps: 40}
  popularity: {use: zipf, s: 0.8}
objective: {p99_ms: 1000, error_rate: 0.1%}
plan: {instance_types: [ml.g4dn.xlarge, ml.g4dn.2xlarge], instances: {min: 1, max: 6}, seeds: 5, mixed: false}
"""
"""Twenty models of 1 GiB; a T4 has room for 13: two instances hold all, one does not."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(SCENARIO)
    return tmp_path


def planned(folder: Path, *arguments: str, code: int = 0) -> Plan:
    """The plan that the command leaves behind."""
    done = mmesim("plan", "tiny.yaml", "--quiet", *arguments, cwd=folder)
    assert done.returncode == code, done.stderr
    return load(folder / "reports" / "tiny-plan")


def test_the_answer_its_reasons_and_its_files(folder: Path) -> None:
    plan = planned(folder, "--figures", "svg")
    assert plan.chosen is not None
    assert (plan.chosen.instance_type, plan.chosen.instances) == ("ml.g4dn.xlarge", 2)
    assert plan.chosen.status == "met" and all(target.status == "met" for target in plan.chosen.targets)
    assert plan.chosen.cost_per_month is not None and plan.chosen.cost_per_month.mean == pytest.approx(2 * 0.736 * 730)
    assert any("GPU memory" in limit.resource for limit in plan.limits if limit.binds)
    assert {one.what for one in plan.headroom} == {"traffic", "models"}
    assert all(one.holds >= 1 and (one.fails is None or one.holds < one.fails) for one in plan.headroom)
    assert {one.kind for one in plan.alternatives} == {"dedicated endpoints", "inference components", "serverless",
                                                       "as written"}
    assert plan.option(plan.written).instances == 3
    assert plan.chosen.name in plan.pareto and plan.swings and plan.survival
    assert plan.effort["requests"] <= plan.effort["exhaustive_requests"] / 5
    out = folder / "reports" / "tiny-plan"
    assert {path.name for path in (out / "deploy").iterdir()} >= {"sagemaker.json", "cloudformation.json",
                                                                 "terraform.tf.json", "live-serve.yaml", "README.md"}
    drawn = (out / "report.html").read_text()
    assert plan.chosen.name in drawn and len(list((out / "figures").glob("*.svg"))) >= 4
    (out / "report.html").unlink()
    again = mmesim("report", str(out), cwd=folder)
    assert again.returncode == 0 and f"Deploy {plan.chosen.name}" in again.stdout
    assert (out / "report.html").read_text() == drawn


def simulated(folder: Path) -> dict[str, Any]:
    """A plan without what differs from run to run."""
    document = json.loads((folder / "plan.json").read_text())
    document["effort"].pop("stored_before")
    return {name: value for name, value in document.items() if name not in ("timing", "command", "name")}


def test_killed_in_the_middle_it_goes_on_where_it_was(folder: Path) -> None:
    few = ("--no-report", "--no-reasons")
    arguments = ("plan", "tiny.yaml", *few, "--processes", "1")
    process = subprocess.Popen([*PROGRAM, *arguments], cwd=folder, env=environment(), start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cells = folder / "reports" / "tiny-plan" / ".cells"
    wait_for_cells(cells, 4)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.npz")}
    planned(folder, *few)
    after = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.npz")}
    assert len(after) > len(before) >= 4 and before.items() <= after.items(), "what was finished was made again"
    planned(folder, *few)
    assert after == {path.name: path.stat().st_mtime_ns for path in cells.glob("*.npz")}, "nothing was left to be made"
    mmesim("plan", "tiny.yaml", *few, "--quiet", "--name", "whole", cwd=folder)
    assert simulated(cells.parent) == simulated(folder / "reports" / "whole")


def test_an_objective_that_nothing_meets(folder: Path) -> None:
    plan = planned(folder, "--set", "objective.p99_ms=20")
    assert plan.chosen is None and plan.nearest is not None
    assert plan.sentences[0] == "Nothing in the space meets the objective."
    missed = {target.name for target in plan.nearest.targets if target.status == "missed"}
    assert missed == {"p99_ms"} and any("nearest objective" in sentence for sentence in plan.sentences)
    assert not (folder / "reports" / "tiny-plan" / "deploy").exists()
    planned(folder, "--set", "objective.p99_ms=20", "--no-reasons", "--check", code=1)


def test_check_fails_when_what_is_written_does_not_do_or_costs_too_much(folder: Path) -> None:
    few = ("--no-reasons", "--no-report", "--check")
    planned(folder, *few, "--check-cost", "10%", code=1)
    planned(folder, *few, "--set", "endpoint.instances=1", code=1)
    planned(folder, *few, "--check-cost", "10%", "--set", "endpoint.instances=2", "--set",
            "endpoint.instance_type=ml.g4dn.xlarge")


def test_a_loss_that_is_to_be_survived_takes_one_more(folder: Path) -> None:
    plan = planned(folder, "--no-reasons", "--survive", "instance", "--instance-types", "ml.g4dn.xlarge", "--set",
                   "endpoint.provisioning.time=20m", "--set", "objective.error_rate=1%")
    assert plan.chosen is not None and plan.chosen.instances == 3
    names = {target.name for target in plan.chosen.targets}
    assert {"p99_ms", "p99_ms, an instance lost"} <= names


def test_choices_and_numbers(folder: Path) -> None:
    plan = planned(folder, "--no-reasons", "--instance-types", "ml.g4dn.xlarge", "--choose",
                   "endpoint.server.load_threads=1,4", "--tune", "models.0.max_queue_delay=0ms..20ms", "--set",
                   "plan.trials=3")
    assert plan.chosen is not None and plan.chosen.instances == 2
    assert plan.chosen.settings["endpoint.server.load_threads"] in ("1", "4")
    assert plan.chosen.settings["models.0.max_queue_delay"].endswith("ms")


@pytest.mark.parametrize(("arguments", "told"), [
    (("--set", "objective={}"), "nothing to plan for"),
    (("--instance-types", "ml.g4dn.2xlage"), "ml.g4dn.2xlarge"),
    (("--instances", "5"), "is not a range of instances"),
    (("--tune", "models.0.max_queue_delay=1"), "is no range"),
    (("--choose", "endpoint.instance_type=a,b"), "is not chosen here"),
    (("--choose", "endpoint.eviction.gpu=lru,lrr"), "lrr"),
    (("--survive", "zone"), "availability zone"),
    (("--cluster", "nowhere"), "is no address of a cluster"),
])
def test_what_cannot_be_planned_is_said_at_once(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    done = mmesim("plan", "tiny.yaml", *arguments, cwd=folder)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (folder / "reports" / "tiny-plan" / ".cells").exists()


def test_a_folder_with_other_things_in_it_is_not_touched(folder: Path) -> None:
    other = folder / "reports" / "tiny-plan" / "thesis.txt"
    other.parent.mkdir(parents=True)
    other.write_text("do not touch")
    done = mmesim("plan", "tiny.yaml", cwd=folder)
    assert done.returncode == 2 and "is not touched" in done.stderr and other.read_text() == "do not touch"
