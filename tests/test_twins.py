"""Twins keep the rules of the systems they are named after, on cases worked by hand.

The world of these cases: models of 1 GiB whose load takes 2 s from the disk, whose unload takes 1 s, and whose requests
take some ms; instances of 5.9 GiB with room for five of them beside 776 MiB of their framework. Times are exact.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from reference.plane import ReferencePlane

from mmesim.core import actions as ac
from mmesim.core import events as ev
from mmesim.core.actions import Action
from mmesim.core.decisions import Decision
from mmesim.core.events import Event
from mmesim.errors import InputError
from mmesim.results.run import Run
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.scenario.twins import load_twin, twin_names
from mmesim.sim.run import simulate

SCENARIO = """
duration: {duration}
endpoint:
  like: {like}
  instance_type: five
  instances: {instances}
  server:
    {{gpu_memory_threshold: 1.0, host_memory_threshold: 1.0, disk_threshold: 1.0, idle_gpu_bytes: 0B,
     host_base_bytes: 0B, unload_time: 1s, unload_poll: 0s, frontend_overhead: 0s, load_time_cv: 0}}
  storage:
    {{s3_first_byte: 0s, s3_connection_rate: 1000000GB/s, s3_prefix_rate: 1000000000, extract_rate: 1000000GB/s,
     disk_read_rate: 1000000GB/s, host_to_device_rate: 1000000GB/s, network_credit: 0s}}
instance_types:
  five: {{vcpus: 8, ram_bytes: 1000TiB, gpu: T4, gpu_count: 1, gpu_bytes: 5.9GiB, gpu_nominal_bytes: 5.9GiB,
          disk_bytes: 1000TiB, disk_kind: nvme, disk_read_bps: 1000000GB/s, disk_write_bps: 1000000GB/s,
          network_baseline_bps: 1000000GB/s, network_burst_bps: 1000000GB/s, price_per_hour: 1.0}}
models:
  - {{profile: resnet50-pytorch-t4, count: 14, name: "m{{i:02}}", artifact_bytes: 1B, disk_bytes: 1B, host_bytes: 0B,
     gpu_bytes: 1GiB, load_time: 2s}}
workload: {{trace: requests.csv, trace_options: {{map: name}}}}
checks: {{intended_overload: true}}
"""


class Steps:
    """Every controller step of a run (`StepSink`)."""

    def __init__(self) -> None:
        self.actions: list[tuple[float, Action]] = []
        self.events: list[tuple[float, Event]] = []

    def step(self, now_ns: int, event: Event, actions: tuple[Action, ...],
             decisions: tuple[Decision, ...] = ()) -> None:
        self.events.append((now_ns / 1e9, event))
        self.actions += [(now_ns / 1e9, action) for action in actions]

    def close(self) -> None: ...

    def of(self, kind: type) -> list[tuple[float, int]]:
        """(time in s to the millisecond, model) of the actions or events of a kind."""
        return [(round(at, 3), one.model) for at, one in (*self.actions, *self.events) if isinstance(one, kind)]


def run(folder: Path, like: str, requests: list[tuple[float, int]], *, instances: int = 1, duration: str = "20m",
        overrides: tuple[str, ...] = ()) -> tuple[Run, Steps]:
    """A run of requests (s, model) against a twin."""
    rows = "".join(f"{at},m{model:02}\n" for at, model in requests)
    (folder / "requests.csv").write_text("timestamp_s,model\n" + rows)
    path = folder / "twin.yaml"
    path.write_text(SCENARIO.format(like=like, instances=instances, duration=duration))
    steps = Steps()
    built = build(load_scenario(str(path), overrides))
    return simulate(built, journal=steps, plane=ReferencePlane), steps


def failures(result: Run) -> dict[str, int]:
    """Failed requests by kind."""
    return {kind: each["count"] for kind, each in result.summary["requests"]["failures"].items()}


@pytest.mark.parametrize("name", twin_names())
def test_every_twin_says_what_it_is_and_loads(tmp_path: Path, name: str) -> None:
    twin = load_twin(name)
    assert twin.summary and twin.text.startswith("# ") and "Sources:" in twin.text
    result, _ = run(tmp_path, name, [(1.0, 0)], duration="1m")
    assert result.summary["requests"]["completions"] == 1


def test_what_the_scenario_says_counts_before_the_twin(tmp_path: Path) -> None:
    requests = [(1.0, 0)]
    (tmp_path / "requests.csv").write_text("timestamp_s,model\n1,m00\n")
    path = tmp_path / "twin.yaml"
    path.write_text(SCENARIO.format(like="ray-multiplex", instances=1, duration="1m"))
    endpoint = load_scenario(str(path), ["endpoint.server.load_threads=2", "endpoint.routing=random"]).endpoint
    assert (endpoint.server.load_threads, endpoint.server.max_models) == (2, 3)
    assert endpoint.routing.model_dump() == {"use": "random"}, "a policy is taken whole"
    assert endpoint.eviction.gpu.use == "lru" and requests


def test_an_unknown_twin_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'modelmesh'"):
        run(tmp_path, "modelmsh", [(1.0, 0)])


def test_sagemaker_keeps_evicted_models_on_the_disk_and_evicts_on_the_load_path(tmp_path: Path) -> None:
    """Five models fill the memory; nothing leaves until the sixth needs room at 60 s: then the least recently used one
    (m1: m0 was used again) leaves, the load begins when its 1 s of unloading is over, and m1's next load is no
    download."""
    requests = [(1.0 + 5 * n, n) for n in range(5)] + [(30.0, 0), (60.0, 5), (90.0, 1)]
    result, steps = run(tmp_path, "sagemaker-mme", requests)
    assert steps.of(ac.UnloadModel) == [(60.0, 1), (90.0, 2)]
    assert [at for at, model in steps.of(ac.LoadModel) if model == 5] == [61.0]
    assert [model for _, model in steps.of(ac.StartDownload)] == [0, 1, 2, 3, 4, 5]
    assert result.summary["requests"]["failed"] == 0 and not steps.of(ac.DeleteArtifact)


def test_modelmesh_deletes_what_it_unloads_and_loads_one_at_a_time(tmp_path: Path) -> None:
    """The sixth model comes after 600 s, when the oldest entry is older than the churn age: m0 leaves with its files,
    and m0's return is a download again. Two requests of one instant load one after the other."""
    requests = [(1.0, 0), (1.0, 1), (10.0, 2), (20.0, 3), (30.0, 4), (600.0, 5), (1000.0, 0)]
    result, steps = run(tmp_path, "modelmesh", requests)
    assert steps.of(ac.LoadModel)[:2] == [(1.0, 0), (3.0, 1)]
    assert steps.of(ac.UnloadModel)[0] == (600.0, 0) and steps.of(ac.DeleteArtifact)[0] == (601.0, 0)
    assert [model for _, model in steps.of(ac.StartDownload)].count(0) == 2
    assert result.summary["requests"]["failed"] == 0


def test_modelmesh_refuses_to_churn(tmp_path: Path) -> None:
    """At 60 s the memory is full and its oldest entry is 50 s old, younger than 300 s: the load of m5 is refused."""
    requests = [(10.0 + n, n) for n in range(5)] + [(60.0, 5)]
    result, steps = run(tmp_path, "modelmesh", requests)
    assert not steps.of(ac.UnloadModel) and failures(result) == {"load_failed": 1}


def test_seldon_assigns_each_model_to_one_server_and_refuses_beyond_the_overcommit(tmp_path: Path) -> None:
    """Two servers of 5.9 GiB take 6.49 GiB each: six models of 1 GiB each; the last two of fourteen fit nowhere (503).
    The servers take turns, because the most left to assign is taken first; a model comes back to its own server."""
    requests = [(1.0 + 5 * n, n) for n in range(14)] + [(200.0, 0), (210.0, 1)]
    result, steps = run(tmp_path, "seldon-overcommit", requests, instances=2)
    assert failures(result) == {"throttled": 2}
    homes = {(action.model, action.instance) for _, action in steps.actions if isinstance(action, ac.LoadModel)}
    assert homes == {(model, model % 2) for model in range(12)}
    assert steps.of(ac.LoadModel)[-2:] == [(201.0, 0), (211.0, 1)]


def test_seldon_evicts_within_the_overcommit_by_the_last_request(tmp_path: Path) -> None:
    """The sixth model is assigned to the one server too; its load evicts the least recently used one, which comes back
    from the disk."""
    requests = [(1.0 + 5 * n, n) for n in range(5)] + [(30.0, 0), (60.0, 5), (90.0, 1)]
    result, steps = run(tmp_path, "seldon-overcommit", requests)
    assert steps.of(ac.UnloadModel) == [(60.0, 1), (90.0, 2)] and result.summary["requests"]["failed"] == 0
    assert len(steps.of(ac.StartDownload)) == 6


def test_ray_counts_models_not_bytes_and_loads_one_at_a_time(tmp_path: Path) -> None:
    """Three models per replica although five fit; the fourth waits for the least recently used one to be unloaded, and
    two misses of one instant go one after the other: unload 1 s, load 2 s, then the next unload and load."""
    requests = [(1.0, 0), (11.0, 1), (21.0, 2), (31.0, 0), (41.0, 3), (41.0, 4)]
    result, steps = run(tmp_path, "ray-multiplex", requests)
    assert steps.of(ac.LoadModel) == [(1.0, 0), (11.0, 1), (21.0, 2), (42.0, 3), (45.0, 4)]
    assert [model for _, model in steps.of(ac.UnloadModel)] == [1, 2] and result.summary["requests"]["failed"] == 0


def test_triton_explicit_never_unloads_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    requests = [(1.0 + 5 * n, n) for n in range(7)] + [(900.0, 0)]
    result, steps = run(tmp_path, "triton-explicit", requests)
    assert not steps.of(ac.UnloadModel) and failures(result) == {"load_failed": 2}


def test_ollama_has_one_slot_and_five_minutes(tmp_path: Path) -> None:
    """m1 waits until m0 has left (1 s) and then loads (2 s); m1 leaves 300 s after its last request, at 450 s."""
    requests = [(10.0, 0), (100.0, 1), (150.0, 1)]
    result, steps = run(tmp_path, "ollama-like", requests)
    assert steps.of(ac.UnloadModel) == [(100.0, 0), (450.0, 1)]
    assert steps.of(ac.LoadModel) == [(10.0, 0), (101.0, 1)]
    assert steps.of(ev.LoadFinished) == [(12.0, 0), (103.0, 1)] and result.summary["requests"]["failed"] == 0
