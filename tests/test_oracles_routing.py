"""Routing between identical servers against theory: at random, join the shortest queue, the power of two choices.

Random splitting makes each server an M/M/1. Join-the-shortest-queue of two: the Markov chain of both queue lengths, cut
at 60, solved here. One central queue (M/M/2) is the floor for both. For two choices of a few servers there is no
formula: the known values are those of an independent simulation (limit of many: 1.614 at 0.7, 2.614 at 0.9). Consistent
hashing with bounded loads has a bound instead of a distribution.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from reference.lab import Bench, agrees, poisson, replicate, service
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import spsolve

from mmesim.policies.routing.ch_bl import ChBl
from mmesim.policies.routing.least_outstanding import LeastOutstanding
from mmesim.policies.routing.power_of_two import PowerOfTwo
from mmesim.policies.routing.random import Random

N = 30_000


def shortest_of_two(rho: float, cut: int = 60) -> float:
    """Mean sojourn of JSQ on two exponential servers of rate 1, total arrival rate 2·rho; ties do not matter."""
    moves: dict[tuple[int, int], float] = {}

    def move(a: int, b: int, to_a: int, to_b: int, rate: float) -> None:
        here, there = a * cut + b, to_a * cut + to_b
        moves[there, here] = moves.get((there, here), 0.0) + rate
        moves[here, here] = moves.get((here, here), 0.0) - rate

    for a in range(cut):
        for b in range(cut):
            if min(a, b) < cut - 1:
                move(a, b, a + (a <= b), b + (a > b), 2 * rho)
            if a:
                move(a, b, a - 1, b, 1.0)
            if b:
                move(a, b, a, b - 1, 1.0)
    where, rates = np.array(list(moves)), np.array(list(moves.values()))
    flow = csr_matrix((rates, (where[:, 0], where[:, 1])), (cut * cut, cut * cut)).tolil()
    flow[0] = np.ones(cut * cut)
    p = spsolve(flow.tocsc(), np.eye(1, cut * cut).ravel())
    number = np.add.outer(np.arange(cut), np.arange(cut)).ravel()
    return float(p @ number / (2 * rho))


@pytest.mark.parametrize(("rho", "n"), [(0.5, 2), (0.7, 2), (0.7, 5)])
def test_random_is_mm1(rho: float, n: int) -> None:
    bench = Bench([service()], n_instances=n, routing=Random(spill_outstanding=0))
    found = replicate(lambda rng, seed: bench.run(poisson(rng, n * rho, N), seed).sojourn.mean())
    agrees(1 / (1 - rho), found[0])


@pytest.mark.parametrize(("rho", "known"), [(0.5, 1.426321), (0.7, 2.108197), (0.8, 2.955737)])
def test_least_outstanding_is_join_the_shortest_queue(rho: float, known: float) -> None:
    oracle = shortest_of_two(rho)
    assert oracle == pytest.approx(known, abs=1e-5)
    bench = Bench([service()], n_instances=2, routing=LeastOutstanding(spill_outstanding=0))
    found = replicate(lambda rng, seed: bench.run(poisson(rng, 2 * rho, N), seed).sojourn.mean())
    agrees(oracle, found[0])


@pytest.mark.parametrize(("n", "rho", "known"), [(5, 0.7, 1.750), (20, 0.7, 1.641), (5, 0.9, 3.45), (20, 0.9, 2.80)])
def test_the_power_of_two_choices(n: int, rho: float, known: float) -> None:
    bench = Bench([service()], n_instances=n, routing=PowerOfTwo(spill_outstanding=0))
    requests = N if rho < 0.9 else 3 * N
    found = replicate(lambda rng, seed: bench.run(poisson(rng, n * rho, requests), seed).sojourn.mean())
    agrees(known, found[0])


def test_two_choices_of_two_servers_are_the_shortest_queue() -> None:
    bench = Bench([service()], n_instances=2, routing=PowerOfTwo(spill_outstanding=0))
    found = replicate(lambda rng, seed: bench.run(poisson(rng, 1.4, N), seed).sojourn.mean())
    agrees(shortest_of_two(0.7), found[0])


@pytest.mark.parametrize(("eps", "rho"), [(0.25, 0.6), (1.0, 0.9)])
def test_bounded_loads_are_bounded(eps: float, rho: float) -> None:
    """Nobody with ceil((1 + eps)(m + 1)/n) requests in flight gets another one, m being in flight on all n."""
    n, rng = 6, np.random.default_rng(8)
    requests = poisson(rng, n * rho, 5000, model=rng.integers(0, 9, 5000) ** 2 // 10)
    ran = Bench([service()] * 7, n_instances=n, routing=ChBl(eps=eps)).run(requests)
    rows = np.sort(ran.records, order="serial")
    ends_ns, on, full = rows["issued_ns"] + rows["latency_ns"], rows["instance"], 0
    for k in range(len(rows)):
        there = on[:k][ends_ns[:k] > rows["issued_ns"][k]]
        bound = ceil(round((1 + eps) * (len(there) + 1) / n, 9))
        assert np.count_nonzero(there == on[k]) < bound
        full += bool(np.bincount(there, minlength=n).max() >= bound)
    assert full > 500, "the bound has hardly been met: nothing was tested"
