"""The whole request path through the real engine: an open product-form network (BCMP).

A fifth of the requests are for models never seen before: they visit the link (processor sharing, mean 2 s alone, load
0.2), the one load thread (first come first served, exponential, mean 1 s, load 0.1) and then, like all, the device
(processor sharing, mean 1 s, load 0.5). W = 0.2·(2/0.8 + 1/0.9) + 1/0.5 = 2.722222 s. A fresh model is an independent
coin: it tests the plumbing without the cache. Baskett, Chandy, Muntz, Palacios, "Open, closed, and mixed networks of
queues", JACM 1975.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from one_cache import one_cache
from scipy import stats

from mmesim.core.streams import stream
from mmesim.scenario.build import Build
from mmesim.sim.run import simulate
from mmesim.workload.types import WORK_ONE, Arrivals

RATE_RPS, FRESH = 0.5, 0.2
EXPECTED_S = {"link": FRESH * 2 / 0.8, "load thread": FRESH * 1 / 0.9, "device": 1 / 0.5}
"""Mean time of a request at each station, over all requests."""
PARTS = {"link": ("download", "extract"), "load thread": ("room", "load"), "device": ("compute", "contention")}
REQUESTS, REPLICATIONS = 12_000, 12
LINK_BPS = 1_000_000.0


class Once:
    """One chunk of requests (`ArrivalSource`)."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.left: Arrivals | None = arrivals

    def next_chunk(self) -> Arrivals | None:
        given, self.left = self.left, None
        return given


def requests(seed: int) -> tuple[Arrivals, NDArray[np.bool_]]:
    """Poisson requests for model 0, or with probability FRESH for a model of their own; exponential work."""
    rng = stream(seed, "path")
    fresh = rng.random(REQUESTS) < FRESH
    model = np.where(fresh, np.cumsum(fresh), 0).astype(np.int32)
    t_ns = np.cumsum(rng.exponential(1e9 / RATE_RPS, REQUESTS)).astype(np.int64)
    work = np.maximum(1, rng.exponential(WORK_ONE, REQUESTS)).astype(np.int64)
    return Arrivals(t_ns, model, np.ones(REQUESTS, np.int32), work), fresh


def path(folder: Path, seed: int) -> Build:
    """One instance with one link, one load thread, one device; everything else takes no time."""
    asked, fresh = requests(seed)
    n_models = int(fresh.sum()) + 1
    made = one_cache(folder, [1] * n_models, n_models, asked.model, "lru")
    rng = stream(seed, "sizes")
    artifact_bytes = np.maximum(1, rng.exponential(2 * LINK_BPS, n_models)).astype(int).tolist()
    load_s = rng.exponential(1.0, n_models).tolist()
    model = made.models[0]
    service = replace(model.service, service_ns=np.array([0, 10**9, 10**9]), max_batch=1, instance_count=10_000)
    models = tuple(replace(one, service=service, load_s=load_s[n],
                           spec=replace(one.spec, artifact_bytes=artifact_bytes[n]))
                   for n, one in enumerate(made.models))
    kind = replace(made.instance_type, network_baseline_bps=LINK_BPS, network_burst_bps=LINK_BPS)
    server = made.scenario.endpoint.server.model_copy(update={"load_threads": 1, "invocation_timeout": 1e5})
    endpoint = made.scenario.endpoint.model_copy(update={"server": server})
    return replace(
        made, models=models, instance_type=kind, scenario=made.scenario.model_copy(update={"endpoint": endpoint}),
        endpoint=replace(made.endpoint, load_threads=1, download_threads=10_000, load_timeout_ns=10**18),
        plane=replace(made.plane, services=tuple(one.service for one in models), timeout_ns=10**17),
        arrivals=Once(asked), duration_ns=int(asked.t_ns[-1]) + 10**12)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """Mean time at each station, in seconds, run by run."""
    folder, means_s = tmp_path_factory.mktemp("path"), []
    for seed in range(REPLICATIONS):
        summary = simulate(path(folder, seed)).summary
        assert summary["requests"]["completions"] == REQUESTS
        assert summary["residency"]["downloads"] == requests(seed)[1].sum() + 1
        means_s.append({station: sum(summary["time"][part]["mean_ms"] for part in parts) / 1e3
                        for station, parts in PARTS.items()})
    return means_s


@pytest.mark.parametrize("station", PARTS)
def test_product_form(runs: list[dict[str, float]], station: str) -> None:
    """Each station has its own mean, whatever the others do: inside a 99.9 % interval that is narrower than 8 %."""
    means_s = [run[station] for run in runs]
    half_s = stats.t.ppf(0.9995, REPLICATIONS - 1) * np.std(means_s, ddof=1) / REPLICATIONS**0.5
    assert half_s < 0.08 * EXPECTED_S[station], "too few requests to say anything"
    assert abs(np.mean(means_s) - EXPECTED_S[station]) < half_s, f"{np.mean(means_s):.4f} ± {half_s:.4f} s"
