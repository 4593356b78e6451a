"""A scenario on a real Triton with a real S3-compatible server, beside the simulator, on a small scale; and three
policies whose journals a fresh controller must repeat. In full size: `mmesim live parity`, `benchmarks.same_decisions`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import mmesim

from mmesim.calibrate.parity.archives import write_archives
from mmesim.calibrate.parity.measured import Law, Measured, as_settings
from mmesim.calibrate.parity.side_by_side import Figure
from mmesim.scenario.build import Build, build
from mmesim.scenario.load import load_scenario
from tests.live_triton import program

pytest.importorskip("moto.server", reason="moto[server] comes with the extra `parity`")
THRASH = "scenarios/parity/thrash.yaml"
SMALL = ("models.0.profile=quick.yaml", "models.0.count=8", "instance_types.laptop.gpu_bytes=300MiB",
         "workload.arrivals.rate_rps=40", "duration=7s", "models.0.load_time=100ms", "output.requests=true")
"""Eight models, room for four."""


def scenario(policy: str) -> Build:
    return build(load_scenario(THRASH, [*SMALL, f"endpoint.eviction.gpu={policy}"]))


@pytest.fixture(scope="module")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from mmesim.calibrate.parity.world import s3_server
    program()
    folder = tmp_path_factory.mktemp("s3")
    with s3_server(write_archives(scenario("lru").models, folder / "archives"), folder) as url:
        yield url


@pytest.mark.parametrize("policy", ["lru", "gdsf", "sieve"])
def test_a_fresh_controller_decides_every_action_again(policy: str, s3_url: str, tmp_path: Path) -> None:
    from mmesim.calibrate.parity.run import live_run
    lived = live_run(scenario(policy), s3_url, tmp_path, "live")
    counts = lived.replayed.counts
    assert lived.replayed.is_equal, lived.replayed.difference
    assert lived.replayed.equal["actions"] == counts["actions"]
    assert counts["requests"] == lived.run.summary["requests"]["invocations"] > 200
    assert counts["evictions"] >= 3 and counts["loads"] == lived.timings.loads
    assert lived.run.summary["requests"]["failed"] == 0


def test_live_and_simulated_side_by_side(tmp_path: Path) -> None:
    program()
    done = mmesim("live", "parity", "thrash", *(word for setting in SMALL for word in ("--set", setting)),
                  "--json", "--out", str(tmp_path), cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr  # the aims are for quiet machines and longer runs
    found = json.loads(done.stdout)
    (one,) = found["tries"]
    figures = {figure["name"]: figure for figure in one["figures"]}
    assert one["replay"]["equal"] is True
    assert figures["requests"]["live"] == figures["requests"]["simulated"]
    assert figures["loads"]["live"] > 0 and abs(figures["hit ratio"]["difference"]) < 30
    assert one["measured"]["loads"][0]["count"] > 3 and one["measured"]["overhead_s"] > 0
    for name in ("live-1", "simulated-1"):
        assert (tmp_path / "parity-thrash" / name / "summary.json").is_file()


def test_what_was_measured_becomes_settings_of_the_scenario() -> None:
    measured = Measured(Law(0.08, 0.3, 9), (Law(1.2, 0.1, 20),), Law(0.4, 0.2, 8), overhead_s=0.003,
                        first_inference_s=0.05)
    built = build(load_scenario(THRASH, as_settings(measured)))
    assert built.models[0].load_s == pytest.approx(1.2)
    assert built.models[0].service.first_inference_ns == pytest.approx(50e6)
    server = built.scenario.endpoint.server
    assert server.load_time_cv == pytest.approx(0.1) and server.frontend_overhead == pytest.approx(0.003)


def test_a_figure_is_judged_by_its_aim() -> None:
    assert Figure("p50", "ms", 100.0, 104.0, aim=0.05).met is True
    assert Figure("p50", "ms", 100.0, 106.0, aim=0.05).met is False
    assert Figure("hits", "%", 80.0, 81.5, aim=1.0, kind="points").met is False
    assert Figure("loads", "", 0, 0, aim=0.03).met is True
    assert Figure("loads", "", 0, 2, aim=0.03).met is False
    assert Figure("cold p50", "ms", None, None, aim=0.05).met is None
