"""The numbers that are told of a past and of its simulation, each made in the same way on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmesim.planner.history.answers import FAILED, HIT, LATENCY, MODEL, OVERHEAD, WAIT, Answers
from mmesim.planner.history.evidence import REQUESTS, Evidence
from mmesim.results.comparison import METRICS, Metric
from mmesim.units import format_duration

HITS, ERRORS, P99, INSTANCES = "cache.hit_ratio", "requests.error_rate", "latency.all.p99", "instances.mean"


@dataclass(frozen=True)
class Number:
    """What it is, and where it is read from: the requests' `column` where they have it, else the track of its key."""

    metric: Metric
    column: str = ""
    statistic: str = ""
    among: str = ""
    """``warm``, ``cold``; empty: all requests."""
    period_ns: int = 0
    """Not 0: the mean over periods of each period's own number; `phase_ns` is where the first one begins."""
    phase_ns: int = 0

    @property
    def key(self) -> str:
        return self.metric.key

    def value(self, evidence: Evidence, since_ns: int, until_ns: int) -> float | None:
        """Over [since, until); None: not known."""
        if self.key == REQUESTS:
            return evidence.requests(since_ns, until_ns)
        if evidence.answers is None or self.column not in evidence.answers.columns:
            return evidence.of_track(self.key, since_ns, until_ns)
        answers = evidence.answers.between(since_ns, until_ns)
        if not self.period_ns:
            return answers.statistic(self.column, self.statistic, self.among)
        return self._over_periods(answers, since_ns, until_ns)

    def _over_periods(self, answers: Answers, since_ns: int, until_ns: int) -> float | None:
        first_ns = since_ns + (self.phase_ns - since_ns) % self.period_ns
        begins = range(first_ns, until_ns - self.period_ns + 1, self.period_ns)
        each = [answers.between(begin_ns, begin_ns + self.period_ns).statistic(self.column, self.statistic, self.among)
                for begin_ns in begins]
        known = [value for value in each if value is not None]
        return float(np.mean(known)) if known else None


_BY_KEY = {metric.key: metric for metric in METRICS}


def _known(key: str, column: str = "", statistic: str = "") -> Number:
    return Number(_BY_KEY[key], column, statistic)


def _time(key: str, title: str, column: str, statistic: str, among: str = "") -> Number:
    return Number(Metric(key, title, "ms", -1), column, statistic, among)


def _level(key: str, title: str, unit: str = "%") -> Number:
    return Number(Metric(key, title, unit, 0))


NUMBERS: tuple[Number, ...] = (
    Number(Metric(REQUESTS, "requests", "", 0)),
    _known(HITS, HIT, "mean"),
    Number(Metric("cache.cold_starts", "cold starts", "", -1), HIT, "misses"),
    _known("residency.loads"), Number(Metric("residency.unloads", "unloads", "", -1)),
    *(_known(f"latency.all.{name}", LATENCY, name) for name in ("mean", "p50", "p90", "p99")),
    *(_time(f"latency.{kind}.{name}", f"{name} latency, {kind}", LATENCY, name, kind)
      for kind in ("warm", "cold") for name in ("p50", "p90", "p99")),
    *(_time(f"{column}.mean", f"{column}, mean", column, "mean") for column in (MODEL, OVERHEAD, WAIT)),
    _known(ERRORS, FAILED, "mean"), _known(INSTANCES),
    _level("GPUUtilization", "GPUUtilization"), _level("GPUMemoryUtilization", "GPUMemoryUtilization"),
    _level("CPUUtilization", "CPUUtilization"), _level("MemoryUtilization", "MemoryUtilization"),
    _level("DiskUtilization", "DiskUtilization"), _level("LoadedModelCount", "LoadedModelCount per instance", ""))
"""In the order in which they are shown."""
COLUMN_TITLES = {LATENCY: "latency", **{name: name for name in (MODEL, OVERHEAD, WAIT)}}


def quantile_key(column: str, statistic: str, among: str = "") -> str:
    """The name of a track of a quantile, one for each period."""
    return f"{column}.{among or 'all'}.{statistic} of each period"


def asked_of(recorded: Evidence) -> tuple[Number, ...]:
    """The usual numbers, and the quantiles that the past knows for each period only."""
    return (*NUMBERS, *_quantiles(recorded))


def _quantiles(recorded: Evidence) -> Iterator[Number]:
    for key, track in recorded.tracks.items():
        if track.kind == "each" and len(track.value):
            where, _, _ = key.partition(" of each")
            column, among, statistic = where.split(".", 2)
            kind = "" if among == "all" else f", {among}"
            period = format_duration(track.period_ns / 1e9)
            title = f"{statistic} {COLUMN_TITLES[column]}{kind}, mean of each {period}"
            yield replace(_time(key, title, column, statistic, "" if among == "all" else among),
                          period_ns=track.period_ns, phase_ns=int(track.start_ns[0]))


def key_quantile(numbers: Sequence[Number], recorded: Mapping[str, float | None]) -> Number | None:
    """The number that stands for the tail of latency: the p99 of all requests, else the nearest thing that is known."""
    wanted = [number for number in numbers if number.metric.unit == "ms" and recorded.get(number.key) is not None]
    tails = [number for number in wanted if number.statistic == "p99" and not number.among]
    means = [number for number in wanted if number.key in ("latency.all.mean", f"{MODEL}.mean")]
    return next(iter((*tails, *means)), None)


def all_of(numbers: Sequence[Number], evidence: Evidence, since_ns: int, until_ns: int) -> dict[str, float | None]:
    """Key -> value over [since, until)."""
    return {number.key: number.value(evidence, since_ns, until_ns) for number in numbers}
