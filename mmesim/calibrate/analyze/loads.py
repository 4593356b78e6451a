"""Loads and unloads: warm and cold page cache, several at once, and the first inference after a load."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mmesim.calibrate.analyze import pagecache
from mmesim.calibrate.analyze.bench import Bench, summary
from mmesim.calibrate.analyze.settings import copy_name, model_files
from mmesim.triton.client import TritonClient, connected

WARM_INFERENCES = 12
"""Inferences after the first one; their median is what an inference takes once the model is warm."""
COLD_ENOUGH = 0.05
"""Of the files, so much may still be in memory for a load to count as cold."""


def read_model(bench: Bench, model: str) -> dict[str, Any]:
    """The model's configuration as the server completes it."""
    with bench.loaded(bench.server(), model) as client:
        return {"config": client.config(model)}


def measure_warm(bench: Bench, model: str) -> dict[str, Any]:
    """Load, first inference, unload, again and again, alone; the first round only fills the page cache."""
    loads, unloads, firsts, warms = [], [], [], []
    with connected(bench.server().http_url) as client:
        for number in range(bench.settings.runs + 1):
            load_s = client.load(model)
            first_s, warm_s = _inferences(bench, client, model)
            unload_s = client.unload(model)
            if number:
                loads.append(load_s)
                unloads.append(unload_s)
                firsts.append(max(0.0, first_s - warm_s))
                warms.append(warm_s)
    return {"load_s": summary(loads), "unload_s": summary(unloads), "first_inference_s": summary(firsts),
            "inference_s": summary(warms)}


def _inferences(bench: Bench, client: TritonClient, model: str) -> tuple[float, float]:
    """Seconds of the first inference, and of one when the model is warm."""
    request = bench.request(client, model)
    first_s = client.infer(request)
    return first_s, statistics.median(client.infer(request) for _ in range(WARM_INFERENCES))


def measure_cold(bench: Bench, model: str) -> dict[str, Any]:
    """Loads whose files are not in the page cache; what could not be dropped is told and not counted."""
    files = model_files(bench.settings.model_folder(model))
    loads, stayed = [], 0.0
    with connected(bench.server().http_url) as client:
        for _ in range(bench.settings.runs):
            resident = pagecache.drop(files)
            load_s = client.load(model)
            client.unload(model)
            stayed = max(stayed, resident)
            if resident <= COLD_ENOUGH:
                loads.append(load_s)
    return {"load_s": summary(loads) if loads else None, "method": pagecache.METHOD, "resident": stayed}


def measure_parallel(bench: Bench, model: str, count: int) -> dict[str, Any]:
    """`count` copies loaded at once, warm: the time of each of them."""
    names = [copy_name(model, number) for number in range(count)]
    server, rounds = bench.server(), []
    with ThreadPoolExecutor(count) as pool:
        for number in range(bench.settings.runs + 1):
            started_s = time.perf_counter()
            loads = list(pool.map(_each(server.http_url, TritonClient.load), names))
            whole_s = time.perf_counter() - started_s
            list(pool.map(_each(server.http_url, TritonClient.unload), names))
            if number:
                rounds.append((statistics.mean(loads), whole_s))
    return {"loads": count, "load_s": summary([each for each, _ in rounds]),
            "whole_s": summary([whole for _, whole in rounds])}


def _each(url: str, action: Callable[[TritonClient, str], float]) -> Callable[[str], float]:
    """The action on one model, on a connection of its own."""
    def run(model: str) -> float:
        with connected(url) as client:
            return action(client, model)
    return run
