"""`mmesim live load` against a real Triton server: configurations asked for, binary tensors, errors in its own words.

Needs ``pip install 'mmesim[live,triton]'``; without it skipped, or failed when MMESIM_REQUIRE_TRITON is set.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from program import mmesim

from mmesim.errors import InputError
from mmesim.triton import TritonServer, running_server, write_example
from mmesim.triton.example import sleeping
from mmesim.triton.tools import find_server

SCENARIO = """
name: real
seed: 3
duration: 4s
warmup: 1s
endpoint: {instance_type: ml.g4dn.2xlarge, instances: 4}
models:
  - {profile: resnet50-pytorch-t4, count: 3, name: "nap-{i}"}
workload: {arrivals: {use: poisson, rate_rps: 60}, items: 2}
checks: {intended_overload: true}
output: {interval: 1s}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """Two models of the scenario's three are loaded; each item takes 4 ms, side by side."""
    pytest.importorskip("httptools", reason="pip install 'mmesim[live]'")
    try:
        program = find_server(None)
    except InputError as error:
        if os.environ.get("MMESIM_REQUIRE_TRITON"):
            pytest.fail(str(error))
        pytest.skip(f"{error.problems[0].message}: pip install 'mmesim[triton]'")
    folder = tmp_path_factory.mktemp("load")
    model = sleeping(2, 4, load_ms=50, device="", instance_count=4, max_batch_size=2)
    repository = write_example(folder / "models", {f"nap-{i}": model for i in range(3)})
    with running_server(program, repository, mark=f"load {folder}", log=folder / "triton.log") as server:
        client = server.client()
        for name in ("nap-1", "nap-2"):
            client.load(name)
        client.close()
        yield server


@pytest.fixture(scope="module")
def result(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("out")
    (folder / "real.yaml").write_text(SCENARIO)
    done = mmesim("live", "load", "real.yaml", "--target", server.http_url, "--api", "kserve", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "reports" / "real-live" / "report.html").stat().st_size > 50_000
    return json.loads(done.stdout)


def test_a_loaded_model_speaks_for_its_group_and_all_are_asked(result: dict) -> None:
    requests = result["requests"]
    assert requests["invocations"] == pytest.approx(180, abs=50)
    assert set(requests["failures"]) == {"no_such_model"}
    (error,) = result["live"]["errors"]
    assert error["http_status"] in (400, 404) and "nap-0" in error["text"]


def test_latency_is_the_servers(result: dict) -> None:
    """2 items of 4 ms and 2 ms besides: 10 ms and what the front end takes; no measured hit, no measured memory."""
    assert 10 <= result["latency"]["all"]["p50"] < 20
    assert result["cache"]["hit_ratio"] is None and result["use"] == {"unit": "%"}
    assert result["live"]["not_measured"][:2] == ["cache", "time"]
    assert result["invariants"]["little_relative_error"] == 0


def test_the_servers_count_agrees(server: TritonServer, result: dict) -> None:
    client = server.client()
    counted = sum(client.statistics(name)["inference_count"] for name in ("nap-1", "nap-2"))
    client.close()
    answered = result["requests"]["completions"] + result["requests"]["in_flight_at_end"]
    # the warm-up's second is the server's too
    assert answered <= counted / 2 <= answered * 4 / 3 + 25
