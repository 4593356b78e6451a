"""The settings that were written for `mmesim live serve` serve: real Tritons, real requests, the plan's policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmesim.journal import open_journal
from mmesim.live.example import write_live_example
from mmesim.live.replay import replay, setup_of
from mmesim.planner.deploy import write_deployment
from mmesim.scenario.load import load_scenario
from tests.live_triton import program
from tests.test_live_serve import invocation, served

PLAN = """
name: plan
endpoint:
  instance_type: lab
  instances: {initial: 1, min: 1, max: 2}
  routing: least_expected_completion
  eviction: {gpu: {use: gdsf, cost: uniform}}
  server: {load_threads: 2}
  autoscaling: [{use: kpa, target: 8}]
instance_types: {lab: {vcpus: 2, ram_bytes: 3GiB, price_per_hour: 0.2}}
models: [{profile: sleep-small-python-cpu, count: 12, name: "sleepy-{i:02}", host_bytes: 95MiB}]
workload: {arrivals: {use: poisson, rate_rps: 2}}
"""
"""An instance has room for four models: 80 % of its memory less 2 GiB."""


def test_a_plan_is_served_by_real_tritons(tmp_path: Path) -> None:
    program()
    example = write_live_example(tmp_path / "try")
    (tmp_path / "plan.yaml").write_text(PLAN)
    folder = example.parent
    write_deployment(load_scenario(str(tmp_path / "plan.yaml")), folder, name="try it")

    async def scene(live: Any, http: Any) -> None:
        for name in ("sleepy-00", "sleepy-01", "sleepy-02", "sleepy-03", "sleepy-00", "sleepy-04"):
            async with http.post(**invocation(live, example, name)) as answer:
                assert answer.status == 200, await answer.text()
        state = await (await http.get(f"http://127.0.0.1:{live.management.port}/state")).json()
        standing = state["instances"][0]["models"]
        assert list(standing.values()).count("READY") == 4
        assert standing["sleepy-00"] == "READY", "it was asked for twice"

    journal = served(folder / "live-serve.yaml", tmp_path / "state", scene, "store.source=models")
    with open_journal(journal) as reader:
        outcome = replay(reader, setup_of(reader))
    assert outcome.is_equal, outcome.difference
    assert outcome.counts["evictions"] == 1
