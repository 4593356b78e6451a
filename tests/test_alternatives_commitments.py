"""How much to commit to: by hand, and against every number of instances tried."""

from __future__ import annotations

import numpy as np
import pytest

from mmesim.catalog import load_catalog
from mmesim.planner.alternatives import commitments
from mmesim.planner.alternatives.commitments import instances_to_commit


def kind(on_demand=1.0, one_year=None, three_years=None):
    prices = {"price_per_hour": on_demand, "committed_1y_per_hour": one_year, "committed_3y_per_hour": three_years}
    given = {name: value for name, value in prices.items() if value is not None}
    return load_catalog({"lab": {"vcpus": 4, "ram_bytes": "16GiB", **given}})["lab"]


def test_by_hand():
    """A day of 12 h with 2, 8 h with 4, 4 h with 6 instances at $1: $80 on demand. At $0.6 a committed one must run for
    60 % of the time: 2 do, the third runs half of it. 2 committed: 24 · 2 · 0.6 = 28.8, and 8 · 2 + 4 · 4 = 32 on
    demand, 60.8 in all: 24 % less. At $0.4 the fourth pays too (half of the time): 38.4 + 8 = 46.4, 42 % less."""
    one, three = commitments([(12, 2), (8, 4), (4, 6)], kind(1.0, 0.6, 0.4))
    assert (one.term, one.instances, three.term, three.instances) == ("1 year", 2, "3 years", 4)
    assert one.cost_per_month == pytest.approx(60.8 / 24 * 730) and one.saving == pytest.approx(0.24)
    assert three.cost_per_month == pytest.approx(46.4 / 24 * 730) and three.saving == pytest.approx(0.42)
    assert (one.price_per_hour, three.price_per_hour) == (0.6, 0.4)


def test_fleet_that_never_changes_is_committed_to_as_a_whole():
    (one,) = commitments([(730, 5)], kind(1.0, 0.64))
    assert (one.instances, one.saving) == (5, pytest.approx(0.36))


def test_instances_that_hardly_run_are_not_worth_it():
    (one,) = commitments([(23, 0), (1, 9)], kind(1.0, 0.5))
    assert (one.instances, one.saving) == (0, 0)
    assert one.cost_per_month == pytest.approx(9 / 24 * 730)


def test_without_prices_or_without_instances_there_is_nothing_to_say():
    assert commitments([(24, 2)], kind(1.0)) == []
    assert commitments([(24, 2)], kind(None, 0.5)) == []
    assert commitments([(24, 0)], kind(1.0, 0.5)) == []


@pytest.mark.parametrize("seed", range(40))
def test_best_of_every_number(seed):
    rng = np.random.default_rng(seed)
    levels = [(float(rng.exponential(5)), int(rng.integers(0, 12))) for _ in range(8)]
    committed, on_demand = float(rng.uniform(0.1, 1.2)), 1.0
    hours = sum(each for each, _ in levels)

    def cost(c):
        return hours * c * committed + sum(each * max(0, count - c) * on_demand for each, count in levels)

    (found,) = commitments(levels, kind(on_demand, committed))
    assert found.cost_per_month == pytest.approx(min(map(cost, range(14))) / hours * 730)
    assert cost(found.instances) == pytest.approx(min(map(cost, range(14))))
    assert found.saving == pytest.approx(1 - cost(found.instances) / cost(0))


def test_order_and_repetition_of_levels_do_not_matter():
    assert instances_to_commit([(1, 5), (2, 3), (1, 5)], 0.5) == instances_to_commit([(2, 5), (2, 3)], 0.5)
