"""Erlang's C, the square root, left-overs and mixtures against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmesim.planner.analytic.latency import Mixture
from mmesim.planner.analytic.waiting import erlang_c, halfin_whitt, left_over_s, staffed


@pytest.mark.parametrize(("servers", "load", "waits"), [
    (1, 0.7, 0.7), (2, 1.5, 0.642857), (4, 3.2, 0.596432), (8, 7.2, 0.701533), (32, 28.8, 0.458197),
    (100, 90, 0.216940)])
def test_erlang_c(servers: int, load: float, waits: float) -> None:
    assert erlang_c(servers, load) == pytest.approx(waits, abs=1e-6)
    assert erlang_c(servers, servers) == 1


@pytest.mark.parametrize(("beta", "waits"), [(0.1, 0.8803), (0.5, 0.5045), (1.0, 0.2234), (1.5, 0.0847), (2.0, 0.0269)])
def test_halfin_whitt(beta: float, waits: float) -> None:
    assert halfin_whitt(beta) == pytest.approx(waits, abs=5e-5)


def test_staffing_is_the_least_that_keeps_the_wait() -> None:
    """Without slack the square root alone; with much slack hardly more than the load."""
    load = 100.0
    beta = (staffed(load, 1.0, 0.0, 1.0, 0.0847) - load) / math.sqrt(load)
    assert beta == pytest.approx(1.5, abs=1e-3)
    assert load < staffed(load, 1.0, 60.0, 0.1, 0.01) < load + 1


def test_left_over_of_an_overload() -> None:
    """Twice the capacity for 10 s leaves 10 s of work, which idle time works off."""
    edges, load = np.array([0.0, 10.0, 20.0, 40.0]), np.array([2.0, 0.5, 0.5])
    assert left_over_s(edges, load, 1.0) == pytest.approx([10, 5, 0])


def test_mixture_of_waiting_and_cold_requests() -> None:
    """M/M/1's wait: P(W > t) = rho exp(-(m - l) t); a load that all wait for in full."""
    one = np.ones(1)
    queue = Mixture(one, 0 * one, 0.8 * one, 5 * one, 0 * one, 0 * one)
    assert queue.quantile_s(0.99) == pytest.approx(5 * math.log(80), rel=1e-5)
    assert queue.quantile_s(0.1) == pytest.approx(1e-5, rel=1e-3)
    two = np.array([0.95, 0.05])
    cold = Mixture(two, np.array([0.1, 0.1]), 0 * two, 0 * two, np.array([0.0, 10.0]), np.array([0.0, 1.0]))
    assert cold.quantile_s(0.94) == pytest.approx(0.1, rel=1e-5)
    assert cold.quantile_s(0.96) == pytest.approx(10.1, rel=1e-5)
    assert Mixture(0 * one, one, one, one, one, one).quantile_s(0.5) is None
