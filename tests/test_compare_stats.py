"""Intervals cover what they promise, claims made together keep their error rate, looks spend no more than they have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from compare_parts import P99, cell, cells_of

from mmesim.planner.compare import stats
from mmesim.planner.compare.ranking import rank
from mmesim.planner.compare.verdicts import Status, all_told_apart, claims, sentences
from mmesim.planner.runs.cells import Cell
from mmesim.results.comparison_interval import interval
from mmesim.scenario.objective import Objective

TRIALS = 1500


def at_most(times: int, share: float, trials: int = TRIALS) -> bool:
    """Could be this share of the trials: within 3 standard errors above it."""
    return times / trials <= share + 3 * math.sqrt(share * (1 - share) / trials)


@pytest.mark.parametrize("n", [2, 5, 10])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_intervals_cover_the_mean_as_often_as_they_say(n: int, confidence: float) -> None:
    rng = np.random.default_rng([n, int(100 * confidence)])
    hits = sum(found.low <= 7 <= found.high for _ in range(TRIALS)
               if (found := interval(rng.normal(7, 2, n).tolist(), confidence)))
    assert abs(hits / TRIALS - confidence) < 3 * math.sqrt(confidence * (1 - confidence) / TRIALS)


def test_paired_ratios_cover_the_ratio() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(TRIALS):
        luck = rng.lognormal(0, 0.3, 6)
        found = stats.relative((luck * 0.9 * rng.normal(1, 0.02, 6)).tolist(), luck.tolist(), 0.95)
        assert found is not None
        hits += found.low <= -0.1 <= found.high
    assert abs(hits / TRIALS - 0.95) < 3 * math.sqrt(0.95 * 0.05 / TRIALS)


def test_one_seed_knows_nothing_and_equal_runs_know_all() -> None:
    one, equal, none = interval([3.0], 0.95), interval([0.1] * 7, 0.95), interval([None], 0.95)
    assert one and (one.low, one.high, one.n) == (-math.inf, math.inf, 1) and not one.excludes_zero
    assert equal and equal.low == equal.high and equal.excludes_zero
    assert none is None


def test_seeds_without_the_number_are_left_out_in_pairs() -> None:
    found = stats.difference([1.0, None, 3.0], [0.5, 1.0, 2.0], 0.95)
    assert found and (found.mean, found.n) == (0.75, 2)
    assert stats.relative([1.0, 2.0], [0.0, 1.0], 0.95) is None


def test_intervals_hold_no_number_that_cannot_be() -> None:
    """Nothing falls by more than all of it; one seed still has no interval."""
    fall = stats.relative([1.0, 60.0, 5.0], [100.0, 100.0, 100.0], 0.95)
    assert fall and fall.low == -1 < fall.mean < fall.high and fall.mean == pytest.approx(-0.78)
    one = stats.relative([1.0], [100.0], 0.95)
    assert one and (one.low, one.high) == (-math.inf, math.inf)
    count = stats.within(interval([0.0, 1.0, 0.0], 0.95), 0.0)
    assert count and count.low == 0 < count.high and stats.within(None, 0.0) is None


def test_pairing_finds_what_the_workload_hides() -> None:
    rng = np.random.default_rng(1)
    luck = rng.lognormal(3, 0.5, 10)
    ours, theirs = (0.95 * luck * rng.normal(1, 0.01, 10)).tolist(), luck.tolist()
    apart = [found for found in (interval(ours, 0.95), interval(theirs, 0.95)) if found]
    paired = stats.relative(ours, theirs, 0.95)
    assert apart[0].high > apart[1].low, "the two levels overlap"
    assert paired and paired.high < 0 and paired.low < -0.05 < paired.high


@pytest.mark.parametrize("most", [1, 2, 3, 4, 7, 30, 100])
def test_looks_spend_alpha_once(most: int) -> None:
    counts = stats.looks(most)
    spent = [1 - stats.confidence_at(look, most, 0.95) for look in range(len(counts))]
    assert counts == sorted(set(counts)) and counts[-1] == most and counts[0] == min(most, 3)
    assert math.fsum(spent) == pytest.approx(0.05) and min(spent) > 0


def stopped(values: np.ndarray, most: int, spending: bool) -> tuple[int, bool]:
    """(seeds at which a sequential comparison of these variants stops, whether it tells any two apart)."""
    for look, n in enumerate(stats.looks(most)):
        cells = {f"v{k}": cells_of(of_variant[:n].tolist()) for k, of_variant in enumerate(values)}
        confidence = stats.confidence_at(look, most, 0.95) if spending else 0.95
        ranking = rank(cells, Objective())
        made = claims(cells, ranking, "v0", confidence)
        if all_told_apart(ranking, made):
            break
    return n, any(claim.status is Status.APART for claim in made)


def equal_variants(rng: np.random.Generator, variants: int, most: int) -> np.ndarray:
    """No difference but noise, under luck that all variants of a seed share."""
    return 100 * rng.lognormal(0, 0.3, most) * rng.normal(1, 0.05, (variants, most))


@pytest.mark.parametrize("variants", [2, 4])
def test_equal_variants_are_rarely_told_apart_however_often_one_looks(variants: int) -> None:
    trials = 500
    rng = np.random.default_rng(variants)
    wrong = sum(stopped(equal_variants(rng, variants, 20), 20, spending=True)[1] for _ in range(trials))
    assert at_most(wrong, 0.05, trials)


def test_without_spending_looking_often_would_be_wrong_too_often() -> None:
    rng = np.random.default_rng(2)
    wrong = sum(stopped(equal_variants(rng, 2, 20), 20, spending=False)[1] for _ in range(500))
    assert not at_most(wrong, 0.05, 500), "the test above can fail"


@pytest.mark.parametrize("variants", [2, 5])
def test_equal_variants_are_rarely_told_apart_with_seeds_given(variants: int) -> None:
    rng = np.random.default_rng(10 + variants)
    wrong = 0
    for _ in range(TRIALS):
        cells = {f"v{k}": cells_of(row.tolist()) for k, row in enumerate(equal_variants(rng, variants, 6))}
        ranking = rank(cells, Objective())
        wrong += any(claim.status is Status.APART for claim in claims(cells, ranking, "v0", 0.95))
    assert at_most(wrong, 0.05)


def test_a_planted_difference_is_found_and_stops_early() -> None:
    rng = np.random.default_rng(3)
    ended = []
    for _ in range(100):
        values = equal_variants(rng, 2, 30) * np.array([[1.0], [0.8]])
        n, apart = stopped(values, 30, spending=True)
        ended.append(n)
        assert apart, "20 % under 7 % noise is found within 30 seeds"
    assert np.mean(ended) < 15


def test_alike_within_the_indifference_ends_the_search() -> None:
    values = np.array([[100, 101, 99, 100.5, 100.2], [100.1, 100.9, 99.1, 100.6, 100.1]])
    cells = {name: cells_of(row.tolist()) for name, row in zip("ab", values, strict=True)}
    ranking = rank(cells, Objective())
    (claim,) = claims(cells, ranking, "a", 0.95)
    assert claim.status is Status.CLOSE and all_told_apart(ranking, [claim])
    assert sentences([claim]) == ["b and a are alike (p99 latency differs by 0.02 % [−0.12, 0.16])."]


def test_the_same_numbers_under_two_names_are_never_apart() -> None:
    cells = {"a": cells_of([3.0, 5.0, 4.0]), "b": cells_of([3.0, 5.0, 4.0])}
    ranking = rank(cells, Objective())
    (claim,) = claims(cells, ranking, "a", 0.95)
    assert (claim.difference.low, claim.difference.high, claim.status) == (0.0, 0.0, Status.SAME)
    assert sentences([claim]) == ["b and a have the same p99 latency with every seed."]


def test_sentences_name_size_interval_and_price() -> None:
    cells = {"lru": cells_of([100.0, 110.0, 90.0], [2.0] * 3), "gdsf": cells_of([88.0, 97.9, 78.3], [2.0] * 3),
             "small": cells_of([100.5, 109.0, 91.0], [1.0] * 3)}
    ranking = rank(cells, Objective())
    made = claims(cells, ranking, "lru", 0.95)
    assert ranking.order == ("gdsf", "lru", "small")
    assert sentences(made) == [
        "gdsf: 12 % [8, 16] lower p99 latency than lru.",
        "small: 50 % [50, 50] cheaper than lru; their p99 latency cannot be told apart (differs by 0 % [−4, 5])."]


def failing(p99: float, *error_rates: float) -> list[Cell]:
    """One cell a seed, with p99 around this and these error rates."""
    return [cell(p99=p99 + k, requests__error_rate=rate) for k, rate in enumerate(error_rates)]


def test_what_fails_is_told_with_what_is_faster() -> None:
    """Beside the baseline, where it is known to differ. Each of seven claims has the confidence 1 - 0.05 / 7: with 3
    seeds 11.8 standard errors of 0.31 points."""
    cells = {"lru": failing(100, 0.0, 0.0, 0.0), "refuses": failing(50, 0.2, 0.21, 0.208),
             "noisy": failing(80, 0.0, 0.3, 0.0), "sure": failing(20, 0.0, 0.0, 0.0)}
    made = claims(cells, rank(cells, Objective()), "lru", 0.95)
    said = sentences(made)
    assert len(made) == 3 + 2 + 2
    assert said[1].startswith("refuses: ") and said[1].endswith(
        " lower p99 latency than lru; refuses fails 21 % of its requests, lru 0 % (21 points [17, 24] more).")
    assert len([one for one in said if "fails" in one]) == 1


def test_the_same_latency_at_other_losses_is_not_the_same() -> None:
    """Four claims: 8.86 standard errors of 0.17 points."""
    lossy = failing(100, 0.3, 0.32, 0.31)
    cells = {"a": lossy, "b": failing(100, 0.1, 0.12, 0.115), "c": lossy}
    said = sentences(claims(cells, rank(cells, Objective()), "a", 0.95))
    assert said[0] == ("b and a have the same p99 latency with every seed; b fails 11.2 % of its requests, a 31.0 % "
                       "(19.8 points [18.4, 21.3] fewer)."), said
    assert said[1:] == ["c, b and a have the same p99 latency with every seed."]


def test_who_answers_nothing_is_told_by_what_fails() -> None:
    """No p99 at all; and shares never differ by more than the whole."""
    cells = {"lru": failing(100, 0.0, 0.0, 0.02), "down": [cell(requests__error_rate=1.0)] * 3}
    (said,) = sentences(claims(cells, rank(cells, Objective()), "lru", 0.95))
    assert said.startswith("down: 99.3 points [9") and said.endswith(", 100.0] higher error rate than lru."), said


def test_one_seed_claims_nothing() -> None:
    cells = {"a": cells_of([1.0]), "b": cells_of([2.0])}
    ranking = rank(cells, Objective())
    (said,) = sentences(claims(cells, ranking, "a", 0.95))
    assert said.startswith("One seed")


def test_ranking_by_the_objective() -> None:
    wanted = Objective(p99_ms=100)
    cells = {"dear": [cell(p99=50, cost=4)] * 3, "cheap": [cell(p99=90, cost=2)] * 3,
             "missed": [cell(p99=90, cost=1), cell(p99=120, cost=1), cell(p99=90, cost=1)],
             "worst": [cell(p99=300, cost=1)] * 3}
    ranking = rank(cells, wanted)
    assert ranking.order == ("cheap", "dear", "missed", "worst") and ranking.key == "cost.per_hour"
    assert ranking.key_of("missed", "worst") == ranking.key_of("dear", "missed") == P99
    assert rank(cells, wanted, P99).order == ("dear", "cheap", "missed", "worst")
    del cells["cheap"]
    assert rank(cells, wanted).key == P99, "those that met it cost the same"


def test_what_is_the_same_is_named_once() -> None:
    same, other = [3.0, 5.0, 4.0], [30.0, 51.0, 42.0]
    cells = {"a": cells_of(same), "b": cells_of(same), "c": cells_of(same), "d": cells_of(other), "e": cells_of(other)}
    said = sentences(claims(cells, rank(cells, Objective()), "a", 0.95))
    assert [sentence for sentence in said if "same" in sentence] == [
        "b, c and a have the same p99 latency with every seed.", "d and e have the same p99 latency with every seed."]
    assert len(said) == len(set(said)) and all(sentence.endswith(".") for sentence in said)


def test_variants_at_one_price_are_compared_by_the_target() -> None:
    wanted = Objective(p99_ms=100)
    cells = {"lru": [cell(p99=90 + k, cost=2) for k in range(3)],
             "gdsf": [cell(p99=50 + k, cost=2) for k in range(3)],
             "big": [cell(p99=40 + k, cost=4) for k in range(3)]}
    ranking = rank(cells, wanted)
    said = sentences(claims(cells, ranking, "lru", 0.95))
    assert ranking.order == ("gdsf", "lru", "big") and ranking.key_of("gdsf", "lru") == P99
    assert not any("same cost" in sentence for sentence in said) and "lower p99 latency than lru." in said[0], said
