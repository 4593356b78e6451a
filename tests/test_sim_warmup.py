"""What happens at the very instant at which the warm-up ends is measured, by endpoint and models alike."""

import pytest

from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate


@pytest.mark.parametrize("at_s", [299.0, 300.0, 301.0])
def test_a_crash_when_the_warmup_ends(at_s: float) -> None:
    fault = f"{{use: instance_crash, at: {at_s}s, instance: 0}}"
    scenario = load_scenario("quickstart", ["duration=10m", "warmup=5m", f"faults=[{fault}]",
                                            "workload.arrivals={use: poisson, rate_rps: 80}"])
    run = simulate(build(scenario))
    lost = run.summary["requests"]["failures"].get("instance_lost", {"count": 0})["count"]
    assert (lost > 0) == (at_s >= 300)
    assert run.models["failed"].sum() == run.summary["requests"]["failed"]
