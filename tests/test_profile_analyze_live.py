"""The whole road on a real Triton server: started, profiled by the real Model Analyzer, measured, written as a profile.

Needs ``pip install 'mmesim[triton,profile]'``, which ``.[test]`` holds where there are wheels (Linux x86-64, Python
3.11 and 3.12); elsewhere skipped, or failed when MMESIM_REQUIRE_TRITON is set.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import ROOT

from mmesim.errors import InputError
from mmesim.profile import load_profile
from mmesim.triton import TritonClient, TritonError, find_tools, running_server, write_example
from mmesim.triton.example import sleeping
from mmesim.triton.processes import MARK, marked
from mmesim.units import MIB

MODELS = {"nap": sleeping(4, 1, load_ms=300, weights_bytes=8 << 20), "doze": sleeping(8, 2, load_ms=300)}
QUICK = ("--window", "600ms", "--runs", "2", "--parallel", "2", "--batch-sizes", "1,8", "--concurrency", "1")


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    try:
        find_tools()
    except InputError as error:
        if os.environ.get("MMESIM_REQUIRE_TRITON"):
            pytest.fail(str(error))
        pytest.skip(f"{error.problems[0].message}: pip install 'mmesim[triton,profile]'")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("live") / "models", MODELS)


def analyze(repository: Path, *options: str) -> list[str]:
    out = ("--out", str(repository.parent / "run"))
    return [sys.executable, "-m", "mmesim", "profile", "analyze", str(repository), *out, *options]


def left_over(folder: Path) -> list[int]:
    """Processes that a run over this folder started and did not end."""
    return marked(f"analyze {(folder.parent / 'run').absolute()}")


@pytest.fixture(scope="module")
def measured(repository: Path) -> subprocess.CompletedProcess[str]:
    """One model measured in every way but beside others."""
    command = analyze(repository, "--models", "nap", *QUICK, "--skip", "slowdown,interference")
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=280, check=False)


def test_the_profile_says_what_the_model_does(measured: subprocess.CompletedProcess[str], repository: Path) -> None:
    assert measured.returncode == 0, measured.stderr
    profile = load_profile(repository.parent / "run" / "profiles" / "nap.yaml")
    assert (profile.gpu, profile.max_batch_size, profile.instance_count) == ("cpu", 8, 1)
    assert 0.005 <= profile.service_s(1) < 0.012 <= profile.service_s(8) < 0.030
    assert profile.load_time_s is not None and 0.3 < profile.load_time_s < 30
    assert profile.host_bytes is not None and 8 * MIB < profile.host_bytes < 200 * MIB
    assert profile.disk_bytes is not None and 8 * MIB <= profile.disk_bytes < 8 * MIB + 10_000
    assert profile.overhead_s is not None and 0 <= profile.overhead_s < 0.02
    assert 0 < profile.cpu_cores < 1
    file = profile.file
    assert file.unload_time is not None and file.first_inference is not None and file.extract_time is not None
    assert file.load is not None and [one.loads for one in file.load.parallel] == [2]
    assert file.measured_on is not None and (file.measured_on.triton, file.measured_on.analyzer) == ("2.51.0", "1.58.0")
    assert (file.load_slowdown, file.interference) == (None, [])
    assert "slowdown, interference" in measured.stdout


def test_nothing_is_left_running_and_nothing_is_measured_twice(
        measured: subprocess.CompletedProcess[str], repository: Path) -> None:
    assert left_over(repository) == []
    started_s = time.monotonic()
    command = analyze(repository, "--models", "nap", *QUICK, "--skip", "slowdown,interference")
    again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert time.monotonic() - started_s < 20
    assert (again.returncode, again.stdout) == (0, measured.stdout)
    assert "are in" in again.stderr


def test_a_stopped_run_takes_its_server_with_it(repository: Path) -> None:
    command = analyze(repository, "--models", "doze", *QUICK, "--only", "load")
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        deadline_s = time.monotonic() + 60
        while not left_over(repository) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        assert left_over(repository)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    assert left_over(repository) == []


@pytest.fixture(scope="module")
def client(repository: Path) -> Iterator[TritonClient]:
    log = repository.parent / "server.log"
    with running_server(find_tools().server, repository, mark=f"test {os.getpid()}", log=log) as server:
        yield server.client()
    assert marked(f"test {os.getpid()}") == [], MARK


def test_a_model_that_cannot_load_is_told_in_the_servers_words(client: TritonClient, repository: Path) -> None:
    code = repository / "doze" / "1" / "model.py"
    text = code.read_text()
    code.write_text("import nowhere_to_be_found\n")
    with pytest.raises(TritonError, match="nowhere_to_be_found"):
        client.load("doze")
    code.write_text(text)
    assert client.load("doze") > 0.3
    client.unload("doze")
    assert client.states()["doze"][0] == "UNAVAILABLE"


def test_a_batch_sleeps_base_and_items(client: TritonClient) -> None:
    client.load("nap")
    times = {size: min(client.infer(client.request("nap", size, {})) for _ in range(20)) for size in (1, 8)}
    assert 0.005 <= times[1] < 0.009
    assert 0.012 <= times[8] < 0.018
    client.unload("nap")
