"""What a memory hits by arithmetic: published numbers, exact ones, simulated sequences, and a real trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmesim.planner.analytic.cache import Rule, Sessions, best_mass, held
from mmesim.planner.analytic.workload import sessions_of
from mmesim.workload.analysis.locality import hit_ratios, stack_distances
from mmesim.workload.analysis.recorded import read_trace
from mmesim.workload.analysis.sessions_fit import sequence

Floats = np.ndarray


def zipf(n: int, s: float) -> Floats:
    weights = np.arange(1, n + 1.0) ** -s
    return weights / weights.sum()


def hit(shares: Floats, sizes: Floats, room: float, rule: Rule = "lru", repeat: float = 0.0,
        reach: float = 1.0) -> float:
    return float(shares @ held(shares, sizes, room, rule, repeat, reach).hit)


@pytest.mark.parametrize(("n", "s", "c", "lru", "fifo", "lfu"), [
    (8, 1.2, 4, 0.720694, 0.660290, 0.811104), (100, 0.8, 10, 0.263261, 0.236059, 0.438275),
    (100, 1.0, 25, 0.624940, 0.562295, 0.735624), (1000, 1.0, 100, 0.576525, 0.520249, 0.692993),
    (10000, 0.9, 500, 0.455382, 0.410229, 0.585651)])
def test_che(n: int, s: float, c: int, lru: float, fifo: float, lfu: float) -> None:
    """Numerical solutions of Che's equation, to six digits."""
    shares, alike = zipf(n, s), np.ones(n)
    assert hit(shares, alike, c) == pytest.approx(lru, abs=2e-6)
    assert hit(shares, alike, c, "fifo") == hit(shares, alike, c, "random") == pytest.approx(fifo, abs=2e-6)
    assert hit(shares, alike, c, "lfu") == pytest.approx(lfu, abs=2e-6)
    assert best_mass(shares, alike, c) == pytest.approx(lfu, abs=2e-6)


@pytest.mark.parametrize(("part", "found"), [(0.05, 0.334958), (0.10, 0.473143), (0.25, 0.670689), (0.50, 0.833134)])
def test_che_with_sizes(part: float, found: float) -> None:
    sizes = 1 + (37 * np.arange(200) % 97) / 10
    assert hit(zipf(200, 1.0), sizes, part * sizes.sum()) == pytest.approx(found, abs=2e-6)


def test_no_set_of_whole_models_beats_the_best_mass() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        shares, sizes, room = rng.dirichlet(np.ones(8)), rng.uniform(1, 5, 8), float(rng.uniform(1, 25))
        sets = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(float)
        best = (sets @ shares)[sets @ sizes <= room].max()
        assert best <= best_mass(shares, sizes, room) + 1e-12


def test_heads_of_sessions() -> None:
    """Nothing is seen in no request; in many, all but fresh draws; with reach 1 at once; never more of them later."""
    ways = np.array([0.0, 1.0, 2.0, 5.0, 50.0, 5e4])
    assert Sessions(0.0, 1.0).heads(ways) == pytest.approx(1.0, abs=1e-6)
    assert Sessions(0.4, 1.0).heads(ways[1:]) == pytest.approx(0.6, abs=1e-6)
    heads = Sessions(0.4, 9.0).heads(ways)
    assert heads[0] == pytest.approx(1.0, abs=1e-6)
    assert heads[-1] == pytest.approx(0.6, abs=1e-6)
    assert (np.diff(heads) < 0).all()


@pytest.mark.parametrize(("n", "s", "repeat", "reach", "off"), [
    (300, 1.0, 0.6, 3.0, 1.5), (300, 0.6, 0.6, 30.0, 0.8), (50, 1.4, 0.8, 6.0, 3.0), (300, 1.0, 0.3, 1.0, 0.8)])
def test_sessions_against_an_exact_lru(n: int, s: float, repeat: float, reach: float, off: float) -> None:
    """Hit ratios of the object-level LRU on the workload's own sequences, in points; without sessions far off."""
    shares, sizes = zipf(n, s), np.ones(n)
    models = sequence(shares, repeat, reach, 150_000, 11).astype(np.int32)
    curve = hit_ratios(stack_distances(models), n)
    rooms = [2, n // 20, n // 10, n // 4, n // 2]
    found = np.array([hit(shares, sizes, room, "lru", repeat, reach) for room in rooms])
    plain = np.array([hit(shares, sizes, room) for room in rooms])
    assert np.abs(found - curve[rooms]).max() * 100 < off
    assert np.abs(plain - curve[rooms]).max() * 100 > 20


def test_sessions_of_a_sequence() -> None:
    for repeat, reach in ((0.3, 1.0), (0.6, 3.0), (0.8, 6.0)):
        models = sequence(zipf(300, 1.0), repeat, reach, 100_000, 5).astype(np.int32)
        found = sessions_of(models)
        assert found[0] == pytest.approx(repeat, abs=0.05)
        assert found[1] == pytest.approx(reach, rel=0.3)
    independent = sessions_of(sequence(zipf(300, 1.0), 0.0, 1.0, 100_000, 5).astype(np.int32))
    assert independent[0] <= 0.04


@pytest.mark.parametrize(("file", "rooms", "lru", "off", "plain_off"), [
    ("alibaba_genai_requests_dev", (2, 4, 8, 19, 38), (0.418, 0.651, 0.842, 0.953, 0.982), 4.5, 15),
    ("azure_functions_2019_1350f_24h", (27, 68, 135, 338, 675), (0.411, 0.570, 0.705, 0.936, 0.997), 2.5, 10)])
def test_real_traces(shared_data: Path, file: str, rooms: tuple[int, ...], lru: tuple[float, ...], off: float,
                     plain_off: float) -> None:
    """LRU's hit ratio from popularity and the way requests come back; nothing is fitted to hit ratios."""
    models = read_trace(shared_data / "traces" / f"{file}.csv.gz").model
    shares = np.bincount(models) / len(models)
    repeat, reach = sessions_of(models[:200_000])
    sizes = np.ones(len(shares))
    found = np.array([hit(shares, sizes, room, "lru", repeat, reach) for room in rooms])
    plain = np.array([hit(shares, sizes, room) for room in rooms])
    print(file, repeat, reach, np.round(100 * (found - lru), 1), np.round(100 * (plain - lru), 1))
    assert np.abs(found - lru).max() * 100 < off
    assert np.abs(plain - lru).max() * 100 > plain_off
