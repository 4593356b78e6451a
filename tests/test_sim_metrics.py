"""Readings at the right instants; CloudWatch's numbers by hand. Two instances, period 60 s, published 15 s later."""

from __future__ import annotations

import numpy as np
import pytest
from sim_stub import MB, S, StubHub

from mmesim.core.actions import DrainInstance, LoadModel, SetDesiredInstances, StartDownload, UnloadModel
from mmesim.core.events import MetricsPublished
from mmesim.core.metrics import PUBLISHED
from mmesim.core.types import Failure, Tier
from mmesim.dataplane.counters import Reason, sketch_bucket
from mmesim.results.types import Phase
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate
from mmesim.sim.world import World


def started(**kwargs):
    hub = StubHub(**{"instances": {"initial": 2, "max": 4}, **kwargs})
    world = World(hub, hub)
    world.start()
    return hub, world


def published(hub):
    """Period end in s -> (published at, values)."""
    return {event.period_end_ns / S: (time, event.values) for time, event in hub.log
            if isinstance(event, MetricsPublished)}


def test_readings_at_period_interval_and_warm_up_ends():
    """Period 60 s, interval 45 s, warm-up 100 s; two instances join at 0."""
    hub = StubHub()
    hub.build.scenario.output.interval = 45.0
    hub.build.warmup_ns = 100 * S
    world = World(hub, hub)
    world.start()
    hub.until(185)
    world.finish()
    assert [at / S for at in hub.plane.taken_ns] == [0, 0, 45, 60, 90, 100, 120, 135, 180, 185]
    assert [c for c in hub.plane.calls if c[1] == "reset_totals"] == [(100 * S, "reset_totals")]
    assert [counters.until_ns for counters, _ in hub.intervals] == hub.plane.taken_ns


def test_readings_are_never_far_apart():
    hub = StubHub(metrics={"period": "2h"})
    hub.build.scenario.output.interval = 7200.0
    World(hub, hub).start()
    hub.until(7200)
    assert np.diff(hub.plane.taken_ns).max() <= 1800 * S


def test_levels_are_the_physical_truth():
    hub, world = started()
    world.perform(StartDownload(0, 0))
    world.perform(LoadModel(1, 1))
    hub.until(0.5)
    world.perform(SetDesiredInstances(3, "out"))
    gauges = world.meter.gauges()
    assert gauges.device_used_bytes.tolist() == [100 * MB, 100 * MB, 0]
    assert gauges.host_used_bytes.tolist() == [100 * MB, 100 * MB, 0]
    assert gauges.disk_used_bytes.tolist() == [50 * MB, 0, 0]
    assert gauges.ready.tolist() == [0, 0, 0]
    assert gauges.phase.tolist() == [Phase.SERVING, Phase.SERVING, Phase.PROVISIONING]
    assert (gauges.running, gauges.desired, gauges.network_bytes) == (2, 3, 40 * MB)
    hub.until(2)
    gauges = world.meter.gauges()
    assert gauges.ready.tolist() == [0, 1, 0]
    assert gauges.device_used_bytes.tolist() == [100 * MB, 200 * MB, 0]
    assert gauges.host_used_bytes.tolist() == [100 * MB, 110 * MB, 0]


def test_a_quiet_period_says_so():
    hub, _ = started()
    hub.until(76)
    at, values = published(hub)[60.0]
    assert at == 75.0
    assert values["Invocations.Sum"] == values["InvocationsPerInstance.Sum"] == 0
    assert values["GPUUtilization.Average"] == values["LoadedModelCount.Sum"] == 0
    assert values["CPUUtilization.SampleCount"] == 2
    assert values["GPUMemoryUtilization.Average"] == 5.0  # 100 MB of 2000 MB: the empty server
    assert values["MemoryUtilization.Maximum"] == 2.5
    assert not any(name.startswith(("ModelLatency", "ModelCacheHit", "Invocation4XX")) for name in values)


def test_request_metrics_by_hand():
    """100 invocations, 80 answered: 60 hits, 20 from the disk."""
    hub, _ = started()
    done = hub.plane.pending.endpoint
    done["invocations"], done["completions"] = 100, 80
    done["tiers"][Tier.GPU], done["tiers"][Tier.DISK] = 60, 20
    done["latency_ns"] = 80 * 10_000_000
    done["reasons_ns"][Reason.COMPUTE] = 80 * 4_000_000
    done["reasons_ns"][Reason.QUEUE] = 80 * 1_000_000
    done["reasons_ns"][Reason.LOAD] = 80 * 3_000_000
    done["reasons_ns"][Reason.OVERHEAD] = 80 * 2_000_000
    done["loading_wait_ns"] = 80 * 3_000_000
    done["in_flight_ns"] = 120 * S
    done["failures"][Failure.MODEL_NOT_READY] = 5
    done["failures"][Failure.TIMEOUT] = 3
    done["failures"][Failure.THROTTLED] = 2
    hub.until(76)
    values = published(hub)[60.0][1]
    expected = {
        "Invocations.Sum": 100, "InvocationsPerInstance.Sum": 50, "ModelLatency.Average": 5000,
        "OverheadLatency.Average": 5000, "ModelLatency.SampleCount": 80, "ModelLoadingWaitTime.Average": 3000,
        "ModelLoadingWaitTime.Sum": 240_000, "ModelCacheHit.Average": 0.75, "ModelCacheHit.Sum": 60,
        "Invocation4XXErrors.Sum": 8, "Invocation5XXErrors.Sum": 2, "InvocationModelErrors.Sum": 3,
        "Invocation4XXErrors.Average": 0.08, "ConcurrentRequestsPerModel.Average": 1.0}
    assert {name: values[name] for name in expected} == pytest.approx(expected)


def test_percentiles_of_model_latency_by_hand():
    """98 hits of 10 ms, 2 of 50 ms, and 900 requests of 5 s that waited for a load; 2 ms of each are overhead."""
    hub, _ = started()
    done, sketch = hub.plane.pending.endpoint, hub.plane.pending.sketch
    done["invocations"] = done["completions"] = 1000
    done["reasons_ns"][Reason.OVERHEAD] = 1000 * 2_000_000
    sketch[Tier.GPU, sketch_bucket(10_000_000)], sketch[Tier.GPU, sketch_bucket(50_000_000)] = 98, 2
    sketch[Tier.S3, sketch_bucket(5 * S)] = 900
    hub.until(76)
    values = published(hub)[60.0][1]
    expected = {"ModelLatency.p50": 8000, "ModelLatency.p95": 8000, "ModelLatency.p99": 48_000}
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=0.01)
    hub.until(136)
    assert "ModelLatency.p95" not in published(hub)[120.0][1]


def test_utilisation_by_hand():
    """Device busy 30 s and 12 s of 60 s; 1.5 of 4 cores busy on the first."""
    hub, _ = started()
    busy = hub.plane.pending.instances
    busy["device_busy"] = [30 * S << 16, 12 * S << 16]
    busy["cpu_busy"] = [90 * S << 16, 0]
    hub.until(76)
    values = published(hub)[60.0][1]
    assert (values["GPUUtilization.Average"], values["GPUUtilization.Maximum"]) == (35.0, 50.0)
    assert (values["CPUUtilization.Average"], values["CPUUtilization.Maximum"]) == (75.0, 150.0)


def test_loads_unloads_and_memory_by_hand():
    """A load of 1 s, a download of 0.6 s, an unload of 1 s; the copy on instance 1 stays."""
    hub, world = started()
    world.perform(LoadModel(0, 0))
    world.perform(LoadModel(1, 0))
    world.perform(StartDownload(1, 1))
    hub.until(2)
    world.perform(UnloadModel(0, 0, "idle"))
    hub.until(76)
    values = published(hub)[60.0][1]
    expected = {
        "ModelLoadingTime.Average": 1e6, "ModelLoadingTime.SampleCount": 2, "ModelDownloadingTime.Sum": 0.6e6,
        "ModelUnloadingTime.SampleCount": 1, "LoadedModelCount.Sum": 1, "LoadedModelCount.Average": 0.5,
        "GPUMemoryUtilization.Maximum": 10.0, "GPUMemoryUtilization.Minimum": 5.0, "DiskUtilization.Sum": 0.5}
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    hub.until(136)
    assert "ModelLoadingTime.Average" not in published(hub)[120.0][1]


def test_invocations_per_instance_follow_the_number_at_their_time():
    """60 while two serve, 30 while one does: 60/2 + 30/1; the draining instance is still a sample of utilisation."""
    hub, world = started()
    hub.plane.pending.endpoint["invocations"] = 60
    hub.until(30)
    world.perform(SetDesiredInstances(1, "in"))
    world.perform(DrainInstance(1, "in"))
    hub.plane.pending.endpoint["invocations"] = 30
    hub.until(76)
    values = published(hub)[60.0][1]
    assert (values["Invocations.Sum"], values["InvocationsPerInstance.Sum"]) == (90, 60)
    assert values["CPUUtilization.SampleCount"] == 2


def test_a_newcomer_is_judged_by_its_own_time():
    """A third instance joins at 30 s and is busy for 15 s: 50 %."""
    hub, world = started(provisioning={"time": "30s"})
    world.perform(SetDesiredInstances(3, "out"))
    hub.until(30)
    hub.plane.pending.instances["device_busy"][2] = 15 * S << 16
    hub.until(76)
    assert published(hub)[60.0][1]["GPUUtilization.Maximum"] == 50.0


def test_a_successor_in_the_slot_does_not_inherit():
    """Slot 0 was busy for 20 s and crashed; its successor joined at 50 s and was idle."""
    hub, world = started(provisioning={"time": "20s"})
    hub.until(30)
    hub.plane.pending.instances["device_busy"][0] = 20 * S << 16
    world.fleet.lose([world.fleet.slots[0]], "test")
    hub.until(76)
    assert published(hub)[60.0][1]["GPUUtilization.Maximum"] == 0.0


def test_no_gpu_no_gpu_metrics():
    hub, _ = started(has_gpu=False)
    hub.until(76)
    assert not any(name.startswith("GPU") for name in published(hub)[60.0][1])


class Sink:
    """Keeps the names of what is published (`StepSink`)."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def step(self, now_ns, event, actions, decisions) -> None:
        if isinstance(event, MetricsPublished):
            self.names |= event.values.keys()

    def close(self) -> None:
        """Nothing to close."""


def test_policies_may_ask_for_exactly_what_is_published():
    sink = Sink()
    simulate(build(load_scenario("thrash", ["duration=5m", "warmup=0s"])), journal=sink)
    assert sink.names == {f"{metric}.{statistic}" for metric, known in PUBLISHED.items() for statistic in known}
