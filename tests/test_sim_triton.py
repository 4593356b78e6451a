"""Loads, unloads and memory truth by hand. A model takes 100 of 1000 MB on the device, 10 of 2000 MB in the host."""

from __future__ import annotations

import pytest
from sim_stub import MB, StubHub

from mmesim.core.events import LoadFailed, LoadFinished, UnloadFinished
from mmesim.sim.disk import Disk
from mmesim.sim.network import Nic
from mmesim.sim.s3 import S3
from mmesim.sim.triton import Triton, TritonTimes
from mmesim.units import ns

LOADED = LoadFinished(0, 0, 100 * MB, 10 * MB)


def server(hub):
    times = []
    s3 = S3(hub)
    network = Nic(hub.env, 100e6, 400e6, 0.0, s3.download_bps)
    disk = Disk(hub, 0, s3, network, lambda *sample: None)
    failing = [0] * len(hub.build.models)
    return Triton(hub, 0, disk, TritonTimes(hub), failing, lambda *sample: times.append(sample)), failing, times


def test_a_measured_load_and_an_unload():
    """Load 1 s; unload 0.5·(⌈0.1/0.5⌉ + 1) = 1 s."""
    hub = StubHub()
    triton, _, times = server(hub)
    triton.load(0)
    assert triton.device_bytes == 0
    hub.until(5)
    assert (triton.ready, triton.device_bytes, triton.host_bytes) == (1, 100 * MB, 10 * MB)
    triton.unload(0)
    assert (triton.ready, triton.device_bytes) == (0, 100 * MB)
    hub.until(10)
    assert hub.log == [(1.0, LOADED), (6.0, UnloadFinished(0, 0))]
    assert (triton.device_bytes, triton.host_bytes) == (0, 0)
    assert times == [("ModelLoadingTime", ns(1)), ("ModelUnloadingTime", ns(1))]
    assert hub.spans == [(0, "load", "m0", 0.0, 1.0), (0, "unload", "m0", 5.0, 6.0)]


@pytest.mark.parametrize(("unload_time", "seen_s"), [("0s", 0.5), ("500ms", 1.0), ("501ms", 1.5), ("2s", 2.5)])
def test_the_front_end_polls(unload_time, seen_s):
    hub = StubHub(server={"unload_time": unload_time})
    triton, *_ = server(hub)
    triton.load(0)
    hub.until(1)
    triton.unload(0)
    hub.until(9)
    assert hub.log[-1] == (1 + seen_s, UnloadFinished(0, 0))


@pytest.mark.parametrize(("server", "seen_s"), [({}, 0.25), ({"unload_time": "2s"}, 2.0)])
def test_an_unload_without_polling_takes_the_models_time_or_the_scenarios(server, seen_s):
    hub = StubHub(server={"unload_poll": "0s", **server})
    hub.change_model(0, unload_s=0.25)
    assert TritonTimes(hub).unload_ns(0, hub.build.models[0]) == ns(seen_s)


def test_a_computed_load_shares_the_disk():
    """100 MB each at 100 MB/s shared: 2 s; then 0.5 s fixed and 100 MB at 1 GB/s."""
    hub = StubHub()
    for model in range(2):
        hub.change_model(model, load_s=None)
    triton, *_ = server(hub)
    triton.load(0)
    triton.load(1)
    hub.until(9)
    assert hub.log == [(2.6, LOADED), (2.6, LoadFinished(0, 1, 100 * MB, 10 * MB))]


def test_out_of_memory_shows_at_the_end_of_the_load():
    """Ten of 100 MB fit in 1000 MB; the eleventh does not, and leaves nothing behind."""
    hub = StubHub(11)
    triton, *_ = server(hub)
    for model in range(10):
        triton.load(model)
    hub.until(2)
    triton.load(10)
    hub.until(5)
    assert [type(event) for _, event in hub.log] == [LoadFinished] * 10 + [LoadFailed]
    assert hub.log[-1] == (3.0, LoadFailed(0, 10, True, "out of memory"))
    assert (triton.ready, triton.device_bytes, triton.host_bytes) == (10, 1000 * MB, 100 * MB)


def test_the_actual_size_counts():
    hub = StubHub()
    hub.change_model(0, actual_gpu_bytes=1001 * MB)
    triton, *_ = server(hub)
    triton.load(0)
    hub.until(2)
    assert hub.log == [(1.0, LoadFailed(0, 0, True, "out of memory"))]


def test_of_two_loads_at_once_the_one_that_ends_last_finds_no_room():
    """The large one would fit alone; the small one, which ends first, is not hit."""
    hub = StubHub()
    hub.change_model(0, actual_gpu_bytes=950 * MB, load_s=2.0)
    triton, *_ = server(hub)
    triton.load(0)
    triton.load(1)
    hub.until(9)
    assert hub.log == [(1.0, LoadFinished(0, 1, 100 * MB, 10 * MB)), (2.0, LoadFailed(0, 0, True, "out of memory"))]
    assert triton.device_bytes == 100 * MB


def test_a_framework_takes_its_base_once_and_keeps_it():
    hub = StubHub(3)
    for model in range(2):
        hub.change_model(model, framework="pytorch", framework_base_bytes=300 * MB)
    hub.change_model(2, framework="tensorrt", framework_base_bytes=200 * MB)
    triton, *_ = server(hub)
    triton.load(0)
    triton.load(1)
    hub.until(2)
    assert hub.log[0] == (1.0, LOADED)
    assert triton.device_bytes == 500 * MB
    triton.load(2)
    hub.until(4)
    assert triton.device_bytes == 800 * MB
    for model in range(3):
        triton.unload(model)
    hub.until(9)
    assert triton.device_bytes == 500 * MB


def test_without_a_gpu_the_host_memory_counts():
    hub = StubHub(has_gpu=False)
    hub.change_model(0, actual_gpu_bytes=0, actual_host_bytes=1999 * MB)
    hub.change_model(1, actual_gpu_bytes=0, actual_host_bytes=2 * MB)
    triton, *_ = server(hub)
    triton.load(0)
    hub.until(2)
    triton.load(1)
    hub.until(4)
    assert hub.log == [(1.0, LoadFinished(0, 0, 0, 1999 * MB)), (3.0, LoadFailed(0, 1, True, "out of memory"))]


def test_a_model_that_fails_to_load_and_a_fault_that_makes_it():
    hub = StubHub()
    hub.change_model(0, fails_to_load=True)
    triton, failing, _ = server(hub)
    failing[1] = 1
    triton.load(0)
    triton.load(1)
    hub.until(2)
    failing[1] = 0
    triton.load(1)
    hub.until(4)
    assert hub.log == [(1.0, LoadFailed(0, 0, False, "the model fails to load")),
                       (1.0, LoadFailed(0, 1, False, "load failure (fault)")),
                       (3.0, LoadFinished(0, 1, 100 * MB, 10 * MB))]
    assert triton.device_bytes == 100 * MB


def test_loads_slow_inference_while_any_runs():
    hub = StubHub(server={"load_slowdown": 2})
    triton, *_ = server(hub)
    triton.load(0)
    hub.until(0.5)
    triton.load(1)
    hub.until(5)
    assert hub.plane.calls == [(0, "set_speed", 0, 32768, 65536), (ns(1.5), "set_speed", 0, 65536, 65536)]


def test_without_a_gpu_loads_slow_the_cpus():
    hub = StubHub(server={"load_slowdown": 4}, has_gpu=False)
    triton, *_ = server(hub)
    triton.load(0)
    assert hub.plane.calls == [(0, "set_speed", 0, 65536, 16384)]


def test_a_dead_server_says_nothing_more():
    hub = StubHub()
    hub.change_model(1, load_s=None)
    triton, *_ = server(hub)
    triton.load(0)
    triton.load(1)
    hub.until(0.5)
    triton.kill()
    hub.until(9)
    assert hub.log == []


def test_load_times_spread_round_the_measured_one():
    hub = StubHub(server={"load_time_cv": 0.2})
    times = TritonTimes(hub)
    loads_s = [times.load_ns(0, hub.build.models[0]) / 1e9 for _ in range(4000)]
    mean_s = sum(loads_s) / len(loads_s)
    spread_s = (sum((load_s - mean_s) ** 2 for load_s in loads_s) / len(loads_s)) ** 0.5
    assert mean_s == pytest.approx(1.0, abs=0.015)
    assert spread_s == pytest.approx(0.2, abs=0.015)
