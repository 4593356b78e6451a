"""What adapters make of a server's words and pages, where no real server here can say them: GPUs, several pages."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

pytest.importorskip("grpc")
pytest.importorskip("aiohttp")
from mmesim.live.ports import Taken
from mmesim.live.servers.base import is_out_of_memory
from mmesim.live.servers.memory import DeviceMemory
from mmesim.live.servers.scrape import ProcessLevels, Totals, Whole, device_levels, disk_levels, machine_levels, parse
from mmesim.live.servers.settings import RunningServer

PAGE = """\
# HELP nv_inference_count Number of inferences performed (does not include cached requests)
# TYPE nv_inference_count counter
nv_inference_count{model="a",version="1"} 7
nv_inference_count{model="b",version="1"} 5
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="a",version="1"} 2
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.75
nv_gpu_utilization{gpu_uuid="GPU-2"} 0.5
# TYPE nv_gpu_memory_total_bytes gauge
nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 1000
nv_gpu_memory_total_bytes{gpu_uuid="GPU-2"} 2000
# TYPE nv_gpu_memory_used_bytes gauge
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 100
nv_gpu_memory_used_bytes{gpu_uuid="GPU-2"} 1000
# TYPE nv_cpu_memory_total_bytes gauge
nv_cpu_memory_total_bytes 4000
# TYPE nv_cpu_memory_used_bytes gauge
nv_cpu_memory_used_bytes 1000
# TYPE other gauge
other 1
"""
"""By the names of docs/user_guide/metrics.md of Triton 2.51; the figures are made up."""


@pytest.mark.parametrize(("words", "short"), [
    ("load failed for model 'm': Internal: OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB", True),
    ("failed to allocate memory: CUDNN_STATUS_ALLOC_FAILED", True),
    ("memory limit set for GPU 0 has exceeded, model loading is rejected.", True),
    ("Internal: MemoryError: Unable to allocate 3.91 GiB for an array", True),
    ("load failed for model 'BOOM': version 1 is at UNAVAILABLE state: Internal: KeyError: 'room'", False),
    ("failed to load 'x', failed to poll from model repository", False)])
def test_words_for_memory_that_is_short(words: str, short: bool) -> None:
    assert is_out_of_memory(words) == short


def test_levels_of_two_gpus_by_hand() -> None:
    samples = parse(PAGE)
    assert device_levels(samples) == {"GPUUtilization": 125.0, "GPUMemoryUtilization": pytest.approx(60.0)}
    assert machine_levels(samples) == {"MemoryUtilization": 25.0}


def test_what_a_page_does_not_tell_is_absent() -> None:
    assert device_levels(parse("")) == {}
    assert machine_levels(parse("nv_cpu_memory_total_bytes 0\nnv_cpu_memory_used_bytes 0\n")) == {}
    assert device_levels(parse('nv_gpu_memory_used_bytes{gpu_uuid="1"} 5\n')) == {}, "of an unknown whole"
    assert disk_levels(Path("/no/such/folder"), Whole()) == {}


def test_counters_go_on_when_a_model_is_loaded_again() -> None:
    totals = Totals()
    first = totals.take(parse(PAGE))
    assert first == {"nv_inference_count": 12.0, "nv_inference_pending_request_count": 2.0}
    without_b = "\n".join(line for line in PAGE.splitlines() if 'model="b"' not in line) + "\n"
    assert totals.take(parse(without_b))["nv_inference_count"] == 12.0
    assert totals.take(parse(PAGE.replace("} 5\n", "} 3\n")))["nv_inference_count"] == 15.0, "b begins anew: 3 more"
    assert totals.take(parse(PAGE.replace("} 7\n", "} 1\n")))["nv_inference_count"] == 18.0, "a begins anew; b: 2 more"


def test_levels_of_a_process_and_a_quota(tmp_path: Path) -> None:
    """Our own process: it works for about 0.1 s."""
    levels = ProcessLevels(os.getpid(), Whole(host_bytes=1 << 40))
    spent_s = os.times().user
    while os.times().user < spent_s + 0.1:
        sum(range(1000))
    read = levels.read()
    assert 5 < read["CPUUtilization"] < 300
    assert 1e-3 < read["MemoryUtilization"] < 1
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights").write_bytes(bytes(250))
    assert disk_levels(tmp_path, Whole(disk_bytes=1000)) == {"DiskUtilization": 25.0}


def test_a_load_that_had_the_device_for_itself_is_measured_and_no_other() -> None:
    used = 1000

    async def tell() -> int | None:
        return used

    async def scene() -> list[Taken | None]:
        nonlocal used
        device, found = DeviceMemory(tell, 0.01), []
        async with device.changing("a", load=True):
            used += 300
        found.append(await device.of("a"))
        found.append(await device.of("a"))  # told once
        await asyncio.sleep(0.02)
        async with device.changing("b", load=True), device.changing("c", load=True):
            used += 500
        found += [await device.of("b"), await device.of("c")]
        async with device.changing("a", load=False):
            used -= 300
        async with device.changing("d", load=True):  # what `a` has left may not be seen yet
            used += 70
        found.append(await device.of("d"))
        return found

    assert asyncio.run(scene()) == [Taken(300, 0), None, None, None, None]


def test_settings_of_a_running_server() -> None:
    with pytest.raises(ValidationError, match="the dialect sagemaker needs an address for sagemaker"):
        RunningServer(name="s", dialect="sagemaker", repository=Path("models"))
    with pytest.raises(ValidationError, match="pattern"):
        RunningServer(name="s", grpc="http://host:1", repository=Path("models"))
    assert RunningServer(name="s", grpc="[::1]:8001", repository=Path("models")).dialect == "triton"
