"""Everything may fail for a while; when the trouble is over, everything must end.

Random endpoints with too little memory, wrong expectations, outages, crashes and failing loads run for twenty minutes
of traffic. Nothing wrong may happen meanwhile (the ledgers and every end-of-run check assert it); an hour later nothing
may be left: no request in flight, no cold start, no unload, no watched copy.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mmesim.core.controller import EndpointController
from mmesim.dataplane.plane import KernelPlane
from mmesim.results.recorder import Recorder
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.engine import Engine

SEEDS = range(24)
FAULTS = ("{use: s3_outage, at: 5m, for: 4m}", "{use: s3_throttle, at: 3m, for: 6m, rate: 3}",
          "{use: instance_crash, at: 6m}", "{use: instance_crash, every: 7m}", "{use: zone_loss, at: 8m, for: 5m}",
          "{use: load_failures, at: 2m, for: 6m}", "{use: s3_slow, at: 1m, for: 9m, factor: 20}")


def many_small(rng: random.Random) -> str:
    """More models than fit, some of which take more than expected or fail."""
    return f"""
  - {{profile: resnet50-pytorch-t4, count: {rng.randrange(40, 70)}, actual_gpu_bytes: {rng.choice((271, 300, 600))}MiB}}
  - {{profile: bert-base-tensorrt-t4, count: 20, pin: {rng.choice(("true", "false"))},
     fails_to_load: {rng.choice(("true", "false"))}}}
  - {{profile: vit-large-pytorch-t4, count: 4, actual_gpu_bytes: {rng.choice((1200, 2500))}MiB}}"""


def few_large(rng: random.Random) -> str:
    """Two or three fill the GPU and are busy for long: loads wait until one of them is idle."""
    return f"""
  - {{profile: nnunet-pytorch-t4, count: {rng.randrange(4, 9)}, actual_gpu_bytes: {rng.choice((3400, 4000, 6000))}MiB}}
  - {{profile: bert-large-tensorrt-t4, count: 3}}"""


def scenario(seed: int) -> str:
    """A random endpoint in trouble. Random crashes go on to the end, so that they meet an idle endpoint too."""
    rng = random.Random(seed)
    instances = rng.choice((1, 2, 3))
    scaling = "[{use: target_tracking, metric: CPUUtilization, target: 8, in_datapoints: 3, scale_in_cooldown: 60s}]"
    return f"""
seed: {seed}
duration: 80m
endpoint:
  instance_type: ml.g4dn.xlarge
  instances: {{initial: {instances}, min: 1, max: {instances + 1}}}
  availability_zones: {rng.choice((1, 2))}
  routing: {{use: {rng.choice(("random", "least_outstanding"))}, blind: {rng.choice(("true", "false"))},
             spill_outstanding: {rng.choice((0, 1, 4))}}}
  placement: {rng.choice(("least_loaded", "hash"))}
  eviction: {{gpu: {rng.choice(("lru", "lfu"))}, disk: {rng.choice(("lru", "lfu"))}}}
  prewarm: {rng.choice(("none", "pinned"))}
  autoscaling: {rng.choice(("[]", scaling))}
  server: {{load_threads: {rng.choice((1, 2, 4))}, download_threads: {rng.choice((1, 4))},
            keep_on_disk: {rng.choice(("true", "false"))},
            model_cache: {rng.choice(("enabled", "enabled", "disabled"))},
            unload_stalls_admission: {rng.choice(("true", "false"))}, load_slowdown: {rng.choice((1, 3))},
            load_timeout: {rng.choice((20, 360))}s, failed_retry_after: 5s, load_retries: {rng.choice((0, 2))},
            disk_threshold: {rng.choice((0.9, 0.08))}}}
  provisioning: {{time: 90s, drain_timeout: {rng.choice((5, 600))}s}}
models:
{few_large(rng) if seed % 2 else many_small(rng)}
workload:
  arrivals: {{use: profile, rate_rps: {rng.choice((4, 12, 25))}, shape: [[0s, 1], [20m, 1], [20m, 0]]}}
  popularity: {{use: zipf, s: {rng.choice((0.2, 0.9))}}}
  retries: {{attempts: {rng.choice((1, 4))}, backoff: 1s}}
faults: [{", ".join(rng.sample(FAULTS, 3))}]
checks: {{intended_overload: true}}
"""


def left_over(seed: int, folder: Path) -> list[str]:
    """What is still going on at the end of a run."""
    path = folder / "trouble.yaml"
    path.write_text(scenario(seed))
    made = build(load_scenario(str(path)))
    engine = Engine(made, Recorder(made), KernelPlane)
    engine.run()
    left = [] if engine.plane.idle() else [f"{engine.plane.in_flight()} requests in flight"]
    for instance in engine.controller.endpoint.fleet.values():
        under_way = (*instance.cold, *instance.load_queue, *instance.download_queue, *instance.unloading)
        left += [f"models {under_way} on instance {instance.index}"] if under_way else []
        left += ["threads at work"] if instance.loading or instance.downloading else []
    watched = made.endpoint.model_cache and engine.table.copy.watch.any()
    return left + (["watched copies"] if watched else [])


@pytest.mark.parametrize("seed", SEEDS)
def test_when_trouble_is_over_everything_ends(seed: int, tmp_path: Path) -> None:
    assert left_over(seed, tmp_path) == []


def test_a_lost_wake_up_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that forgets the waiting load when a copy becomes idle leaves something behind."""
    monkeypatch.setattr(EndpointController, "_copy_idle", lambda self, event, now_ns: None)
    assert left_over(7, tmp_path) != []
