"""Pre-warming by forecast: expected requests and loads by hand."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from pathlib import Path

import pytest

from mmesim.core.policy import Prewarm
from mmesim.policies.prewarm.forecast import ForecastPrewarm
from mmesim.policies.registry import PolicyError, resolve
from mmesim.testing import check_policy
from mmesim.testing.report import Status
from mmesim.testing.views import FakeEndpoint, FakeInstance, FakeModel, model_spec
from mmesim.units import GIB

MINUTE_NS = 60_000_000_000


def endpoint(uses: Sequence[int], *, ready: tuple[int, ...] = (), free_gib: float = 10, gib: Sequence[int] = (),
             memory_gib: int = 14) -> FakeEndpoint:
    """Models of 1 GiB, unless said otherwise, that take 10 s from S3, on one instance."""
    models = tuple(FakeModel(m, model_spec(size_bytes=(gib[m] if gib else 1) * GIB), (0,) if m in ready else (), uses=n)
                   for m, n in enumerate(uses))
    return FakeEndpoint(models, (FakeInstance(0, memory_bytes=memory_gib * GIB, models_ready=ready,
                                              free_memory_bytes=int(free_gib * GIB)),))


def follow(policy: ForecastPrewarm, counts: Sequence[Sequence[int]], **values: object) -> list[list[Prewarm]]:
    """What it says at each end of a bin of 5 min, for these counts of each model in each bin."""
    uses, answers = [0] * len(counts[0]), []
    list(policy.plan(endpoint(uses, **values), 0))  # type: ignore[arg-type]
    for number, row in enumerate(counts, 1):
        uses = [before + more for before, more in zip(uses, row, strict=True)]
        answers.append(list(policy.plan(endpoint(uses, **values), number * 5 * MINUTE_NS)))  # type: ignore[arg-type]
    return answers


def test_conforms() -> None:
    report = check_policy(ForecastPrewarm, "prewarm")
    assert {check.status for check in report.checks} == {Status.PASS}, report


def test_level_and_trend() -> None:
    """Bins of 5 min, level and trend at once (time constants next to nothing): 1, then 3 requests: level 3, trend 2
    a bin; over a lead of 10 min, two bins ahead: (3 + 2 · 2) · 2."""
    policy = ForecastPrewarm(lead_s=600, season_s=0, level_s=1e-6, trend_s=1e-6)
    follow(policy, [[1], [3]])
    assert policy.expected(10 * MINUTE_NS).tolist() == [14]


def test_smoothing_constants() -> None:
    """A first bin of 12 with a time constant of six bins: the level is 12 · (1 - exp(-1/6))."""
    policy = ForecastPrewarm(season_s=0, level_s=1800, trend_s=1e12)
    follow(policy, [[12]])
    assert policy.expected(5 * MINUTE_NS).item() == pytest.approx(12 * (1 - exp(-1 / 6)))


def test_a_season_ago_between_bins() -> None:
    """Season of an hour, 4 requests in its third bin only (10 to 15 min). One season later, at minute 67 with a lead of
    5 min: two fifths of that bin lie ahead (70 to 72)."""
    policy = ForecastPrewarm(season_s=3600, level_s=1e12, trend_s=1e12)
    follow(policy, [[0], [0], [4], *([[0]] * 10)])
    assert policy.expected(65 * MINUTE_NS).item() == pytest.approx(0, abs=1e-6)
    assert policy.expected(67 * MINUTE_NS).item() == pytest.approx(4 * 2 / 5)
    assert policy.expected(70 * MINUTE_NS).item() == pytest.approx(4)


def test_no_season_before_one_is_over() -> None:
    policy = ForecastPrewarm(season_s=3600, level_s=1e12, trend_s=1e12)
    follow(policy, [[4]] * 11)
    assert policy.expected(55 * MINUTE_NS).item() == pytest.approx(0, abs=1e-6)


def test_loads_what_is_likely_and_missing() -> None:
    """Expected 2, 0.5 and 2: probabilities 0.86, 0.39 and 0.86; the third is there."""
    policy = ForecastPrewarm(season_s=0, level_s=1e-6, trend_s=1e12, probability_fraction=0.5)
    assert follow(policy, [[2, 0, 2], [2, 0, 2]], ready=(2,))[-1] == [Prewarm(None, 0)]


def test_most_saving_per_byte_first_and_only_into_free_memory() -> None:
    """All take 10 s to load; 2, 1 and 1 GiB; expected 3, 1 and 2: per GiB 0.48, 0.63 and 0.86. 2.5 GiB are free: the
    two small ones."""
    policy = ForecastPrewarm(season_s=0, level_s=1e-6, trend_s=1e12)
    assert follow(policy, [[3, 1, 2]] * 2, gib=(2, 1, 1), free_gib=2.5)[-1] == [Prewarm(None, 2), Prewarm(None, 1)]


def test_displacing_stops_at_the_memory_of_the_instances() -> None:
    """Nothing is free of 2 GiB. The two best take them, the third would drive one of those out."""
    policy = ForecastPrewarm(season_s=0, level_s=1e-6, trend_s=1e12, displace=True)
    answers = follow(policy, [[3, 1, 2]] * 2, free_gib=0, memory_gib=2, ready=(0,))
    assert answers[-1] == [Prewarm(None, 2)]
    kept = ForecastPrewarm(season_s=0, level_s=1e-6, trend_s=1e12)
    assert follow(kept, [[3, 1, 2]] * 2, free_gib=0, memory_gib=2, ready=(0,))[-1] == []


def test_the_hour_is_known_the_second_time() -> None:
    """Model 0 in the first bin of each hour, model 1 in the seventh: the second hour each is loaded 5 min before."""
    policy = ForecastPrewarm(season_s=3600, level_s=1e-6, trend_s=1e12)
    hour = [[3, 0], *([[0, 0]] * 5), [0, 3], *([[0, 0]] * 5)]
    answers = follow(policy, hour * 2)
    loads = {(5 * number, one.model) for number, said in enumerate(answers, 1) for one in said if number >= 12}
    assert loads == {(60, 0), (65, 0), (90, 1), (95, 1), (120, 0)}      # at 65 and 95 for what the level says


def test_what_cannot_be_is_refused() -> None:
    for values in ({"season": "6m"}, {"probability_fraction": 2}, {"bin": "0s"}):
        with pytest.raises(PolicyError):
            resolve("prewarm", "forecast", values, Path())
