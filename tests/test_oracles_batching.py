"""The dynamic batcher against exact results.

Poisson arrivals, one execution that takes min(queue, bmax) whenever it is free, service alpha·b + tau0. Exact means by
the embedded Markov chain at departures (Bailey 1954; Inoue, Performance Evaluation 2021); here solved anew, not looked
up, and one published column beside it.
"""

from __future__ import annotations

import numpy as np
import pytest
from reference.lab import UNIT_NS, Bench, agrees, deterministic, poisson, replicate, service
from scipy import stats

N = 30_000
INFINITE = 1 << 20


def chain(rate: float, alpha: float, tau0: float, most: int, states: int = 400) -> tuple[float, float, float]:
    """Exact (mean sojourn, mean batch, utilisation) from the number left behind at the ends of batches."""
    taken = np.minimum(np.maximum(np.arange(states), 1), most)
    left = np.maximum(np.arange(states), 1) - taken
    held = alpha * taken + tau0
    step = np.zeros((states, states))
    for n in range(states):
        step[n, left[n]:] = stats.poisson.pmf(np.arange(states - left[n]), rate * held[n])
        step[n, -1] += 1 - step[n].sum()
    p = np.linalg.solve((np.eye(states) - step).T + 1, np.ones(states))
    cycle = p @ held + p[0] / rate
    area = p @ (held * (left + taken) + rate * held ** 2 / 2)
    return area / cycle / rate, float(p @ taken), float(p @ held / cycle)


@pytest.mark.parametrize(("rate", "alpha", "tau0", "most", "known"), [
    (0.5, 0.5, 1, INFINITE, 2.316876), (1, 0.5, 1, INFINITE, 3.749656), (0.5, 0.2, 1, 4, 1.595636),
    (1, 0.2, 1, 4, 1.989940), (1.5, 0.2, 1, 4, 2.463744), (2, 0.2, 1, 4, 4.152918), (1, 0.2, 1, 8, 1.979526),
    (0.5, 0, 1, 1, 1.5)])
def test_batch_service(rate: float, alpha: float, tau0: float, most: int, known: float) -> None:
    sojourn, batch, busy = chain(rate, alpha, tau0, min(most, 300))
    assert sojourn == pytest.approx(known, abs=2e-6)
    bench = Bench([service(tau0, alpha, max_batch=most)])

    def experiment(rng: np.random.Generator, seed: int) -> list[float]:
        ran = bench.run(poisson(rng, rate, N, deterministic))
        return [ran.sojourn.mean(), ran.batch_items / ran.batches, ran.device_busy / (ran.until_ns << 16)]

    for oracle, found in zip((sojourn, batch, busy), replicate(experiment), strict=True):
        agrees(oracle, found)


# ---- without chance: ten milliseconds whatever the batch, arrivals at 0, 1, … 5 ms


@pytest.mark.parametrize(("options", "latencies"), [
    ({}, [10, 19, 18, 17, 16, 25]),
    ({"max_queue_delay_ns": 5 * UNIT_NS}, [13, 12, 11, 10, 19, 18]),
    ({"max_queue_delay_ns": 5 * UNIT_NS, "preferred": (2,)}, [11, 10, 19, 18, 27, 26]),
    ({"instance_count": 2, "share_q16": 1 << 15}, [10, 10, 18, 17, 16, 15])])
def test_batches_as_documented(options: dict[str, object], latencies: list[float]) -> None:
    bench = Bench([service(10.0, 0.0, max_batch=4, **options)])
    assert bench.latencies([0, 1, 2, 3, 4, 5]) == latencies
