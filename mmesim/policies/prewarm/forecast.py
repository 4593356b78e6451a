"""Pre-warming by a forecast of each model's requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import EndpointView, Prewarm, PrewarmPolicy
from mmesim.policies.checks import above_zero, at_least
from mmesim.policies.room import Room, need_bytes
from mmesim.units import ns

Floats = NDArray[np.float64]


@dataclass
class ForecastPrewarm(PrewarmPolicy):
    """Models that are likely to be asked for soon are loaded, those first that save most waiting per byte.

    Requests of each model are counted in bins. The number expected in the next `lead` is the larger of *seasonal
    naive*, what the same time of the last `season` had, and *level plus trend* (Holt 1957, exponential smoothing of
    the counts over `level` and `trend`). Requests taken as Poisson, P = 1 - exp(-expected) is the probability that one
    comes. Models with P of at least `probability` and no copy are loaded, by P · (load from S3) / (memory) from the
    highest, into free memory. With `displace` those are loaded whose memory, taken in that order over all models, fits
    into the instances' together: the set worth having, whatever must leave for it. Nothing is unloaded.

    The idea is IceBreaker's (ASPLOS '22): forecast each function's series, and warm by expected benefit over cost. It
    forecasts by Fourier terms and also chooses between kinds of nodes; seasonal naive is the plainest member of that
    family: one period, known beforehand.

    *Helps* with `displace` where the time of day tells who comes next (hit ratio 0.94, LRU alone 0.82); *hurts* with it
    where there are only rates to be forecast (0.835 instead of 0.841). Figures: docs/policies-built-in.
    """

    name: ClassVar[str] = "forecast"

    lead_s: float = 300.0
    """How far ahead requests are expected."""
    probability_fraction: float = 0.5
    """Least probability of a request that is worth a load."""
    season_s: float = 86400.0
    """After which requests repeat; 0: they do not."""
    bin_s: float = 300.0
    """Width of a count."""
    level_s: float = 1800.0
    """Time constant of the smoothed counts."""
    trend_s: float = 7200.0
    """Time constant of their trend."""
    displace: bool = False
    """true: load also where other models must leave for it; false: into free memory only."""
    period_s: float = 60.0
    """How often it looks."""
    _uses: NDArray[np.int64] | None = field(init=False, repr=False, compare=False, default=None)
    """Requests of each model at the start of the present bin."""
    _bin: int = field(init=False, repr=False, compare=False, default=0)
    """Number of the present bin since time 0."""
    _first: int = field(init=False, repr=False, compare=False, default=0)
    """Number of the first whole bin."""
    _season: NDArray[np.float32] = field(init=False, repr=False, compare=False)
    """(bins of a season, models) counts, at the bin's number modulo the season."""
    _level: Floats = field(init=False, repr=False, compare=False)
    _trend: Floats = field(init=False, repr=False, compare=False)
    """Requests in a bin, and their change from bin to bin."""
    _bytes: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    """Of a copy of each model."""
    _saving: Floats = field(init=False, repr=False, compare=False)
    """Seconds to load each model from S3, per byte of memory."""

    def __post_init__(self) -> None:
        above_zero(lead=self.lead_s, bin=self.bin_s, level=self.level_s, trend=self.trend_s, period=self.period_s)
        at_least(0, season=self.season_s, probability_fraction=self.probability_fraction)
        if self.season_s and self.season_s < self.lead_s + self.bin_s:
            raise ValueError(f"season is {self.season_s:g}; it must be longer than lead and bin together")
        if self.probability_fraction > 1:
            raise ValueError(f"probability_fraction is {self.probability_fraction:g}; the most is 1")

    def plan(self, endpoint: EndpointView, now_ns: int) -> Iterable[Prewarm]:
        """Loads, the most worthwhile first."""
        if self._uses is None:
            self._begin(endpoint, now_ns)
        self._count(endpoint.model_uses, now_ns)
        probability: Floats = -np.expm1(-self.expected(now_ns))
        return list(self._loads(endpoint, probability))

    def expected(self, now_ns: int) -> Floats:
        """Requests of each model in the next `lead_s`."""
        ahead = self.lead_s / self.bin_s
        steady: Floats = np.maximum(0.0, self._level + np.maximum(0.0, self._trend * ahead)) * ahead
        season = len(self._season)
        start = now_ns / ns(self.bin_s) - season
        if not season or start < self._first:
            return steady
        bins = np.arange(int(start), ceil(start + ahead))
        part = np.minimum(bins + 1, start + ahead) - np.maximum(bins, start)
        expected: Floats = np.maximum(steady, part @ self._season[bins % season])
        return expected

    def _begin(self, endpoint: EndpointView, now_ns: int) -> None:
        models = len(endpoint.models)
        self._uses, self._bin = endpoint.model_uses, now_ns // ns(self.bin_s)
        self._first = self._bin + bool(now_ns % ns(self.bin_s))
        self._season = np.zeros((round(self.season_s / self.bin_s), models), np.float32)
        self._level, self._trend = np.zeros(models), np.zeros(models)
        self._bytes = np.array([need_bytes(model) for model in endpoint.models], np.int64)
        reload_s = np.array([model.spec.reload_s3_s for model in endpoint.models], np.float64)
        self._saving = reload_s / np.maximum(1, self._bytes)

    def _count(self, uses: NDArray[np.int64], now_ns: int) -> None:
        """Close the bins that are over; their requests go to the first of them."""
        assert self._uses is not None
        for number in range(self._bin, now_ns // ns(self.bin_s)):
            counts = (uses - self._uses).astype(np.float64)
            if len(self._season):
                self._season[number % len(self._season)] = counts
            before, faster, slower = self._level, *(1 - np.exp(-self.bin_s / s) for s in (self.level_s, self.trend_s))
            self._level = before + self._trend + faster * (counts - before - self._trend)
            self._trend = self._trend + slower * (self._level - before - self._trend)
            self._uses, self._bin = uses, number + 1

    def _loads(self, endpoint: EndpointView, probability: Floats) -> Iterator[Prewarm]:
        """The missing ones among the likely models, as far as there is room."""
        likely = np.flatnonzero((probability >= self.probability_fraction) & (probability > 0))
        likely = likely[np.argsort(-probability[likely] * self._saving[likely], kind="stable")]
        room = Room(endpoint.models, endpoint.instances)
        memory = sum(one.memory_bytes for one in endpoint.instances)
        fits = np.cumsum(self._bytes[likely]) <= memory if self.displace else np.zeros(len(likely), bool)
        for number, worth_it in zip(likely.tolist(), fits.tolist(), strict=True):
            model = endpoint.models[number]
            if not model.n_copies and (room.take(need_bytes(model)) or worth_it):
                yield Prewarm(None, number)
