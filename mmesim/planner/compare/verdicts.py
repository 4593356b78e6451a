"""What can be said in plain words, and what cannot be told apart.

Every sentence about two variants rests on an interval of their paired difference. All claims of a comparison are made
together: each at the Bonferroni share of the confidence (:mod:`mmesim.planner.compare.stats`), so that the chance of
any wrong one is at most what was asked for. An interval that holds 0 claims nothing. Latencies are of the requests that
were answered, so a difference in what fails is told with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mmesim.planner.compare import stats
from mmesim.planner.compare.ranking import BY_KEY, COST, FAILED, Cells, Ranking, difference, mean, values
from mmesim.results.comparison import Interval

INDIFFERENCE = 0.01
"""Differences below so large a part of a number interest nobody."""


class Status(Enum):
    """What is known of a pair."""

    SAME = "the same with every seed"
    APART = "the sign of the difference is known"
    CLOSE = "the whole interval lies within the indifference"
    OPEN = "cannot be told apart"


@dataclass(frozen=True)
class Claim:
    """Two variants compared in one number."""

    first: str
    second: str
    key: str
    difference: Interval
    """First against second: a fraction of the second, or (ratios, and where the second is 0) in the number's unit."""
    is_relative: bool
    status: Status
    means: tuple[float, float]
    """Of the first and of the second, over seeds, in the number's unit."""

    @property
    def decided(self) -> bool:
        return self.status is not Status.OPEN


def claims(cells: Cells, ranking: Ranking, baseline: str, confidence: float,
           indifference: float = INDIFFERENCE) -> list[Claim]:
    """All comparisons that are spoken of: each variant against the baseline and each against its neighbour in the
    ranking, and what each costs and fails against the baseline; together they hold at `confidence`."""
    pairs = dict.fromkeys((name, baseline) for name in ranking.order if name != baseline)
    beside = [pair for pair in ranking.neighbours() if baseline not in pair]
    asked = [(*pair, ranking.key_of(*pair)) for pair in [*pairs, *beside]]
    asked += [(*pair, key) for key in (COST, FAILED) for pair in pairs
              if ranking.key_of(*pair) != key and _differs(cells, *pair, key)]
    each = stats.each_at(confidence, len(asked))
    made = [_claim(cells, *one, each, indifference) for one in asked]
    return [claim for claim in made if claim is not None]


def all_told_apart(ranking: Ranking, made: Sequence[Claim]) -> bool:
    """True when every pair of neighbours in the ranking is decided."""
    decided = {frozenset((claim.first, claim.second)) for claim in made
               if claim.decided and claim.key == ranking.key_of(claim.first, claim.second)}
    return all(frozenset(pair) in decided for pair in ranking.neighbours())


def _differs(cells: Cells, first: str, second: str, key: str) -> bool:
    return mean(cells[first], key) != mean(cells[second], key)


def _claim(cells: Cells, first: str, second: str, key: str, confidence: float, indifference: float) -> Claim | None:
    ours, theirs = values(cells[first], key), values(cells[second], key)
    fraction = None if BY_KEY[key].unit == "ratio" else stats.relative(ours, theirs, confidence)
    found = difference(cells[first], cells[second], key, confidence) if fraction is None else fraction
    if found is None:
        return None
    means = mean(cells[first], key) or 0.0, mean(cells[second], key) or 0.0
    scale = 1.0 if fraction is not None else means[1]
    return Claim(first, second, key, found, fraction is not None, _status(found, indifference * scale), means)


def _status(found: Interval, indifference: float) -> Status:
    if found.low == found.high == 0:
        return Status.SAME
    if found.excludes_zero:
        return Status.APART
    return Status.CLOSE if max(-found.low, found.high) <= indifference else Status.OPEN


# ---- in words


def sentences(made: Sequence[Claim]) -> list[str]:
    """The claims in words, in the order of the ranking: against the baseline first, then between neighbours. Variants
    that are the same are named together."""
    if any(math.isinf(claim.difference.low) for claim in made):
        return ["One seed: no difference has an interval; give --seeds 3 or more."]
    pairs = _by_pair(made)
    together = {id(claim): group.said() for group in _groups([claim for claim, *more in pairs if not more])
                for claim in group.claims}
    said = dict.fromkeys(together.get(id(claim)) or _told(claim, more) for claim, *more in pairs)
    return [f"{sentence}." for sentence in said]


def _by_pair(made: Sequence[Claim]) -> list[list[Claim]]:
    """What is said of each two variants: what they are ranked by comes first, what fails only where it is apart."""
    pairs: dict[tuple[str, str], list[Claim]] = {}
    for claim in made:
        of_pair = pairs.setdefault((claim.first, claim.second), [])
        if not of_pair or claim.key != FAILED or claim.status is Status.APART:
            of_pair.append(claim)
    return list(pairs.values())


@dataclass
class _Group:
    """Variants with the same number, whatever the seed."""

    key: str
    names: list[str]
    claims: list[Claim]

    def said(self) -> str:
        last = self.claims[0].second
        others = ", ".join(name for name in self.names if name != last)
        return f"{others} and {last} have the same {BY_KEY[self.key].title} with every seed"


def _groups(made: Sequence[Claim]) -> list[_Group]:
    """What is the same as the same is the same."""
    groups: list[_Group] = []
    for claim in made:
        if claim.status is not Status.SAME:
            continue
        group = _Group(claim.key, [claim.first, claim.second], [claim])
        for other in [each for each in groups if each.key == group.key and set(each.names) & set(group.names)]:
            groups.remove(other)
            group = _Group(group.key, list(dict.fromkeys([*other.names, *group.names])), [*other.claims, *group.claims])
        groups.append(group)
    return groups


def _told(claim: Claim, more: Sequence[Claim]) -> str:
    beside = {other.key: other for other in more}
    said = _with_cost(claim, beside[COST]) if COST in beside else _said(claim)
    return f"{said}; {_failing(beside[FAILED])}" if FAILED in beside else said


def _failing(claim: Claim) -> str:
    """Both levels: a fall of latency that a fifth of the requests paid for is another than one for nothing."""
    digits = _digits(100 * claim.difference.mean, 100 * (claim.difference.high - claim.difference.low))
    ours, theirs = (_number(100 * level, digits if level else 0) for level in claim.means)
    more = "fewer" if claim.difference.mean < 0 else "more"
    return f"{claim.first} fails {ours} % of its requests, {claim.second} {theirs} % ({_size(claim)} {more})"


def _said(claim: Claim) -> str:
    title, size = BY_KEY[claim.key].title, _size(claim)
    if claim.status is Status.SAME:
        return f"{claim.first} and {claim.second} have the same {title} with every seed"
    if claim.status is Status.APART:
        return f"{claim.first}: {size} {_word(claim)} {title} than {claim.second}"
    if claim.status is Status.CLOSE:
        return f"{claim.first} and {claim.second} are alike ({title} differs by {size})"
    return f"{claim.first} and {claim.second} cannot be told apart ({title} differs by {size})"


def _with_cost(claim: Claim, cost: Claim) -> str:
    """One sentence about the price and what one gets for it."""
    title = BY_KEY[claim.key].title
    if cost.status is not Status.APART:
        return f"{_said(claim)}; {_said(cost)}"
    price = f"{claim.first}: {_size(cost)} {'cheaper' if cost.difference.mean < 0 else 'dearer'} than {claim.second}"
    if claim.status is Status.APART:
        return f"{price}, at {_size(claim)} {_word(claim)} {title}"
    if claim.status is Status.OPEN:
        return f"{price}; their {title} cannot be told apart (differs by {_size(claim)})"
    return f"{price} at the same {title}" + ("" if claim.status is Status.SAME else f" (differs by {_size(claim)})")


def _word(claim: Claim) -> str:
    return "lower" if claim.difference.mean < 0 else "higher"


def _size(claim: Claim) -> str:
    """``12 % [9, 15]``: without its sign where a word tells it."""
    found = claim.difference
    low, middle, high = found.low, found.mean, found.high
    if claim.status is Status.APART and middle < 0:
        low, middle, high = -high, -middle, -low
    scale, unit = _unit(claim)
    low, middle, high = (value * scale for value in (low, middle, high))
    digits = _digits(middle, high - low)
    return f"{_number(middle, digits)}{unit} [{_number(low, digits)}, {_number(high, digits)}]"


def _number(value: float, digits: int) -> str:
    """With the sign that the tables use."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")  # + 0.0: no -0


def _unit(claim: Claim) -> tuple[float, str]:
    unit = BY_KEY[claim.key].unit
    if claim.is_relative:
        return 100.0, " %"
    return (100.0, " points") if unit == "ratio" else (1.0, f" {unit}" if unit else "")


def _digits(middle: float, width: float) -> int:
    """Decimals that show the interval's width with two digits, and never more than four."""
    scale = width if width > 0 else abs(middle) / 10
    return 0 if scale >= 5 or scale == 0 else min(4, max(0, 1 - math.floor(math.log10(scale))))
