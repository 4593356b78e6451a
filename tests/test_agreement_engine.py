"""Kernel and reference agree under the real controller and the simulated world, not only under the scripted one.

Random small scenarios go through the whole engine twice. Every stop, every controller step, all counters, records and
totals, and the residency table at the end must be equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from reference.driver import first_difference, plain, table_rows
from reference.fuzz import EXAMPLES, SEED
from reference.plane import ReferencePlane

from mmesim.core.actions import Action
from mmesim.core.decisions import Decision
from mmesim.core.events import Event
from mmesim.dataplane.api import DataPlane, Stop, Stopped
from mmesim.dataplane.plane import KernelPlane
from mmesim.profile import profile_path
from mmesim.results.recorder import Recorder
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.engine import Engine

ROUTING = [{"use": use, "blind": blind, "spill_outstanding": spill}
           for use in ("random", "least_outstanding") for blind in (False, True) for spill in (0, 3)]
WORKLOADS: list[dict[str, Any]] = [
    {"arrivals": {"use": "poisson", "rate_rps": 12}, "items": 2, "sessions": {"repeat": 0.5}},
    {"arrivals": {"use": "mmpp", "rates_rps": [2, 60], "mean_sojourn": ["10s", "3s"]},
     "retries": {"attempts": 3, "on": [424, 429, 503]}},
    {"clients": {"users": 15, "wait": {"law": "uniform", "low": "50ms", "high": "900ms"}}, "retries": {"attempts": 2}}]
FAULTS = [[], [{"use": "instance_crash", "at": "31s", "instance": 0}],
          [{"use": "load_failures", "at": "20s", "for": "15s"}, {"use": "instance_crash", "every": "30s"}]]

SCALING = [[], [{"use": "scheduled", "actions": [{"at": at, "min": n, "max": n} for at, n in
                                                 (("15s", 3), ("30s", 1), ("40s", 3), ("55s", 1))]}]]

KINDS = [("ml.g4dn.2xlarge", "bert-base-tensorrt-t4", "resnet50-pytorch-t4"),
         ("ml.c5.2xlarge", "xgboost-cpu", "sklearn-cpu")]
"""Instance type, profile of the big models, profile of the small ones."""
MEASURED = """
prefetched_batches: {value: 3, basis: rule, source: test}
frontend:
  per_request: {value: 9ms, basis: rule, source: test}
  per_item: {value: 2ms, basis: rule, source: test}
"""
GAP = "gap: {value: 3ms, basis: rule, source: test}\n"
"""What the shipped profiles do not have."""

scenarios = st.fixed_dictionaries({
    "seed": st.integers(0, 1000), "routing": st.sampled_from(ROUTING), "workload": st.sampled_from(WORKLOADS),
    "faults": st.sampled_from(FAULTS), "kind": st.sampled_from(KINDS),
    "instances": st.integers(1, 3), "autoscaling": st.sampled_from(SCALING),
    "admission": st.sampled_from([{"use": "always"}, {"use": "queue_limit", "per_copy": 4}]),
    "model_cache": st.sampled_from(["enabled", "enabled", "disabled"]), "keep_on_disk": st.booleans(),
    "stalls": st.booleans(), "slowdown": st.sampled_from([1.0, 1.7]), "interference": st.sampled_from([0.0, 0.1]),
    "timeout": st.sampled_from(["60s", "8s"]), "delay": st.sampled_from(["0ms", "20ms"]),
    "gpu_bytes": st.sampled_from(["1500MiB", "4GiB"]), "fields": st.sampled_from(["", MEASURED]),
    "frontend_threads": st.integers(1, 3)})


def scenario(drawn: dict[str, Any]) -> dict[str, Any]:
    """The scenario file."""
    instance_type, big, small = drawn["kind"]
    memory = {"gpu_bytes": drawn["gpu_bytes"]} if "g4dn" in instance_type else {}
    return {
        "name": "agreement", "seed": drawn["seed"], "duration": "70s", "profiles": {big: f"{big}.yaml"},
        "endpoint": {
            "instance_type": instance_type, "instances": {"initial": drawn["instances"], "min": 1, "max": 3},
            "routing": drawn["routing"], "admission": drawn["admission"], "autoscaling": drawn["autoscaling"],
            "server": {"model_cache": drawn["model_cache"], "keep_on_disk": drawn["keep_on_disk"],
                       "unload_stalls_admission": drawn["stalls"], "load_slowdown": drawn["slowdown"],
                       "interference": drawn["interference"],
                       "frontend_threads": drawn["frontend_threads"], "invocation_timeout": drawn["timeout"],
                       "first_inference": "30ms"},
            "provisioning": {"time": "6s"}, "metrics": {"period": "10s", "publish_delay": "1s"}},
        "models": [memory | {"profile": big, "count": 8, "name": "big-{i}", "instance_count": 2,
                             "host_bytes": drawn["gpu_bytes"], "max_batch_size": 4, "preferred_batch_sizes": [],
                             "max_queue_delay": drawn["delay"], "service_law": {"law": "exponential"}},
                   {"profile": small, "count": 4, "name": "small-{i}", "max_batch_size": 8,
                    "preferred_batch_sizes": [4, 6]}],
        "workload": drawn["workload"] | {"popularity": {"use": "zipf", "s": 0.7}},
        "faults": drawn["faults"], "checks": {"intended_overload": True}, "output": {"requests": True}}


def write_profile(drawn: dict[str, Any], folder: Path) -> None:
    """The big models' profile beside the scenario, with the drawn fields."""
    instance_type, name, _ = drawn["kind"]
    fields = drawn["fields"] + (GAP if drawn["fields"] and "g4dn" in instance_type else "")
    text = profile_path(name).read_text(encoding="utf-8").replace("sources:", "sources:\n  test: made up")
    (folder / f"{name}.yaml").write_text(text + fields, encoding="utf-8")


class Noted:
    """A data plane that writes down what it tells."""

    def __init__(self, plane: DataPlane, log: list[Any]) -> None:
        self._plane = plane
        self._log = log

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._plane, name)
        return self._noted(method) if name in ("advance", "take", "take_records", "start_work") else method

    def _noted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            answer = method(*arguments)
            self._log.append(plain(answer))
            return answer
        return call


class Steps:
    """A journal of controller steps, in memory."""

    def __init__(self, log: list[Any]) -> None:
        self._log = log

    def step(self, now_ns: int, event: Event, actions: tuple[Action, ...],
             decisions: tuple[Decision, ...] = ()) -> None:
        """See the protocol."""
        self._log.append((now_ns, event, actions, decisions))

    def close(self) -> None:
        """See the protocol."""


def run_engine(path: Path, make_plane: Callable[..., DataPlane]) -> list[Any]:
    """The protocol of a whole run."""
    log: list[Any] = []
    built = build(load_scenario(str(path), ()))
    engine = Engine(built, Recorder(built, journal=Steps(log)), lambda *args: Noted(make_plane(*args), log))
    engine.run()
    plane = engine.plane
    return [*log, plain(plane.model_counters()), plain(np.asarray(plane.model_sketches())), plane.in_flight(),
            plane.in_flight_age_ns(), plane.idle(), plane.now_ns, table_rows(engine.table)]


def test_whole_runs_agree(tmp_path: Path) -> None:
    path, stops = tmp_path / "agreement.yaml", Counter[Stop]()
    print(f"MMESIM_FUZZ_SEED={SEED} MMESIM_FUZZ_EXAMPLES={EXAMPLES}")

    @seed(SEED)
    @settings(max_examples=max(1, EXAMPLES // 4), deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
              suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
    @given(scenarios)
    def check(drawn: dict[str, Any]) -> None:
        path.write_text(yaml.safe_dump(scenario(drawn)))
        write_profile(drawn, tmp_path)
        expected = run_engine(path, ReferencePlane)
        stops.update(entry.stop for entry in expected if isinstance(entry, Stopped))
        difference = first_difference(expected, run_engine(path, KernelPlane))
        assert difference is None, f"reference | kernel: {difference}"

    check()
    assert min(stops[stop] for stop in Stop) > 5, f"a kind of stop hardly occurs: {stops}"
