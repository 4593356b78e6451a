"""What models on one server do to one another: inference during a load, two models at once; and CPU time of requests.

Saturation is a closed loop with so many users that each instance always finds a next batch waiting. Alone and together
are measured in turn (A, B, both, A, B), so that a machine that becomes slower or faster meanwhile does not show as
interference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mmesim.calibrate.analyze.bench import SETTLE_S, Bench, ClosedLoop, summary, throughput_rps
from mmesim.calibrate.analyze.settings import copy_name
from mmesim.triton.client import TritonClient, load_over_grpc
from mmesim.triton.processes import usage

Spans: TypeAlias = NDArray[np.float64]
Window: TypeAlias = tuple[float, float]

USERS_PER_INSTANCE = 2
LOAD_GAP_S = 0.5


def measure_slowdown(bench: Bench, running: str, loading: str) -> dict[str, Any]:
    """Mean latency of one model, one request at a time, while another loads, over the same without a load.

    Loads are asked for by gRPC; ``http_stall_s`` is the longest answer when they are asked for over HTTP, as
    SageMaker's platform does.
    """
    server = bench.server()
    with bench.loaded(server, running) as client:
        client.load(loading)  # the files are in the page cache from now on
        client.unload(loading)
        with ClosedLoop(client, bench.request(client, running), 1) as loop:
            between, during = _load_windows(bench, client, loading, lambda: load_over_grpc(server.grpc_url, loading))
            _, over_http = _load_windows(bench, client, loading, lambda: client.load(loading))
        spans = loop.spans()
    alone = [_latencies(spans, window).mean() for window in between]
    loaded = [_latencies(spans, window).mean() for window in during]
    return {"running": running, "loading": loading, "alone_s": summary(alone), "during_s": summary(loaded),
            "slowdown": summary([d / a for a, d in zip(alone, loaded, strict=True)]),
            "http_stall_s": summary([_latencies(spans, window).max() for window in over_http])}


def _load_windows(bench: Bench, client: TritonClient, loading: str,
                  load: Callable[[], float]) -> tuple[list[Window], list[Window]]:
    """Windows without a load and windows of a load, `runs` of each in turn, in `time.perf_counter` seconds."""
    between, during = [], []
    for _ in range(bench.settings.runs):
        begin_s = time.perf_counter()
        time.sleep(bench.settings.window_s)
        between.append((begin_s, time.perf_counter()))
        load_s = load()
        during.append((time.perf_counter() - load_s, time.perf_counter()))
        client.unload(loading)
        time.sleep(LOAD_GAP_S)
    return between, during


def _latencies(spans: Spans, window: Window) -> Spans:
    """Latencies of the requests that were under way at some time of a window."""
    under_way = spans[(spans[:, 1] > window[0]) & (spans[:, 0] < window[1])]
    return under_way[:, 1] - under_way[:, 0]


def measure_pair(bench: Bench, first: str, second: str) -> dict[str, Any]:
    """Throughput of both models side by side over that of each alone. A model with itself: two copies."""
    names = [first, copy_name(first, 1) if first == second else second]
    rates: dict[str, list[list[float]]] = {"alone": [[], []], "together": [[], []]}
    with bench.loaded(bench.server(), *names) as client:
        for turn in ((0,), (1,), (0, 1), (0,), (1,)):
            for which, rate in zip(turn, _rates(bench, client, [names[n] for n in turn]), strict=True):
                rates["together" if len(turn) == 2 else "alone"][which].append(rate)
    speeds = [float(np.mean(together) / np.mean(alone)) for together, alone in
              zip(rates["together"], rates["alone"], strict=True)]
    return {"models": [first, second], "speed": speeds, **{f"{name}_rps": value for name, value in rates.items()}}


def _rates(bench: Bench, client: TritonClient, names: Sequence[str]) -> list[float]:
    """Requests a second of these models at saturation, all at once."""
    with ExitStack() as stack:
        loops = [stack.enter_context(ClosedLoop(client, bench.request(client, name), _users(client, name)))
                 for name in names]
        time.sleep(SETTLE_S)
        begin_s = time.perf_counter()
        time.sleep(bench.settings.window_s)
        end_s = time.perf_counter()
    return [throughput_rps(loop.spans(), begin_s, end_s) for loop in loops]


def _users(client: TritonClient, model: str) -> int:
    groups = client.config(model).get("instance_group") or [{}]
    return USERS_PER_INSTANCE * sum(int(group.get("count", 1)) for group in groups)


def measure_work(bench: Bench, model: str) -> dict[str, Any]:
    """CPU seconds that the server's processes spend on a request, and Triton's own times, one request at a time.

    For the smallest and the largest batch of the grid: {batch size: {cpu_s, latency_s, queue_s, input_s, infer_s,
    output_s}}.
    """
    server = bench.server()
    assert server.pid is not None
    found = {}
    with bench.loaded(server, model) as client:
        most = max(1, int(client.config(model).get("max_batch_size", 0)))
        sizes = [size for size in bench.settings.batch_sizes if size <= most] or [1]
        for size in sorted({min(sizes), max(sizes)}):
            found[str(size)] = _work(bench, client, server.pid, model, size)
    return {"batches": found}


def _work(bench: Bench, client: TritonClient, pid: int, model: str, size: int) -> dict[str, float]:
    before, cpu_s = client.statistics(model)["inference_stats"], usage(pid).cpu_s
    with ClosedLoop(client, bench.request(client, model, size), 1) as loop:
        time.sleep(2 * bench.settings.window_s)
    spans = loop.spans()
    after, cpu_s = client.statistics(model)["inference_stats"], usage(pid).cpu_s - cpu_s
    times = {f"{name}_s": (after[key]["ns"] - before[key]["ns"]) / 1e9 / len(spans) for name, key in
             (("queue", "queue"), ("input", "compute_input"), ("infer", "compute_infer"), ("output", "compute_output"))}
    return {"cpu_s": cpu_s / len(spans), "latency_s": float((spans[:, 1] - spans[:, 0]).mean()), **times}
