"""Keep-alive and pre-warming by each model's own histogram of idle times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import EndpointView, Prewarm, PrewarmPolicy
from mmesim.policies.checks import above_zero, at_least
from mmesim.policies.prewarm.idle_times import BIN_NS, IdleTimes
from mmesim.policies.room import Room, need_bytes
from mmesim.units import ns

Times = NDArray[np.int64]
FORECAST_MARGIN = 0.15
"""Before and after a forecast idle time (ATC '20)."""
FAASCACHE_KEEPS_S = 7200.0
"""How long FaasCache keeps what it cannot predict."""


@dataclass
class HybridHistogram(PrewarmPolicy):
    """Models leave right after use and come back just before the next, as their idle times so far suggest.

    Shahrad et al., "Serverless in the Wild" (ATC '20): a histogram of idle times per model, in bins of a minute over
    `range`, and a count of longer ones. A *representative* histogram sets a window: from its 5th percentile (lower edge
    of the bin, less 10 %) to its 99th (upper edge, plus 10 %) after the last use. Outside of it idle copies are
    unloaded, and at its start, less the time of a load and one `period`, the model is loaded, once each idle time.
    With more than half of the idle times out of range the paper forecasts by ARIMA; here a mean of the last idle times
    (weight 1/4 for the newest) stands in for it, with the paper's 15 % before and after. Otherwise, or with fewer than
    `least_idle_times`, a model stays for the whole range after its last use.

    `reading`: representative is *bin_counts*, as in the paper, when the coefficient of variation of the bins' counts is
    over `cov` (an even histogram says nothing); or *interarrival*, as FaasCache (ASPLOS '21) has it, when that of the
    idle times themselves is at most `cov`; it then keeps models for 2 h otherwise, and never forecasts.

    Requests are seen each `period` only: of several in one, all but the first count as bin 0, and the first as a share
    of the period before the last. Time in service counts as idle. Made for memory that grows: it loads only into free
    memory (`displace`: also where others must leave), and what the eviction policy took away in the window stays away.

    *Helps* models with a rhythm in tight memory (hit ratio 0.97, LRU alone 0.29); *hurts* in ample memory with nothing
    to learn (0.995 instead of 1). Figures: docs/policies-built-in.
    """

    name: ClassVar[str] = "hybrid_histogram"

    reading: Literal["bin_counts", "interarrival"] = "bin_counts"
    """What makes a histogram representative."""
    range_s: float = 14400.0
    """Longest idle time with a bin."""
    head_fraction: float = 0.05
    """Quantile of the idle times where the window begins."""
    tail_fraction: float = 0.99
    """Quantile where it ends."""
    margin_fraction: float = 0.1
    """The window is longer by so much of its start and end."""
    cov: float = 2.0
    """Coefficient of variation that makes a histogram representative."""
    least_idle_times: int = 5
    """A histogram with fewer says nothing yet (assumed)."""
    displace: bool = False
    """true: load also where other models must leave for it; false: into free memory only."""
    period_s: float = 60.0
    """How often it looks."""
    _idle: IdleTimes | None = field(init=False, repr=False, compare=False, default=None)
    _ahead_ns: Times = field(init=False, repr=False, compare=False)
    """How long before the window's start each model is loaded."""
    _head_ns: Times = field(init=False, repr=False, compare=False)
    """From the last use to the window's start; 0: the model stays."""
    _tail_ns: Times = field(init=False, repr=False, compare=False)
    """From the last use to its end."""
    _loaded_for_ns: Times = field(init=False, repr=False, compare=False)
    """Last use before the idle time whose load has been dealt with."""
    _gone_since_ns: Times = field(init=False, repr=False, compare=False)
    """Last use before the idle time in which the model was seen without a copy outside of its window."""

    def __post_init__(self) -> None:
        above_zero(cov=self.cov, period=self.period_s)
        at_least(60, range=self.range_s)
        at_least(1, least_idle_times=self.least_idle_times)
        at_least(0, head_fraction=self.head_fraction, margin_fraction=self.margin_fraction)
        if not self.head_fraction < self.tail_fraction <= 1:
            raise ValueError(f"tail_fraction is {self.tail_fraction:g}; it must lie above head_fraction, up to 1")

    def plan(self, endpoint: EndpointView, now_ns: int) -> Iterable[Prewarm]:
        """What leaves, then what is loaded, the earliest window first."""
        uses, last_ns = endpoint.model_uses, endpoint.model_last_use_ns
        if self._idle is None:
            self._begin(endpoint, uses, last_ns, now_ns)
        assert self._idle is not None
        changed = self._idle.learn(uses, last_ns, now_ns)
        if len(changed):
            self._set_windows(changed)
        begin_ns = last_ns + self._head_ns - self._ahead_ns
        stays = (self._head_ns == 0) | (begin_ns <= last_ns)
        inside = (stays | (now_ns >= begin_ns)) & (now_ns < last_ns + self._tail_ns)
        leaving = np.flatnonzero((uses > 0) & ~inside & (self._gone_since_ns != last_ns))
        coming = np.flatnonzero((uses > 0) & inside & ~stays & (self._loaded_for_ns != last_ns))
        coming = coming[np.argsort(begin_ns[coming], kind="stable")]
        return [*self._unloads(endpoint, leaving, last_ns), *self._loads(endpoint, coming, last_ns)]

    def _begin(self, endpoint: EndpointView, uses: Times, last_ns: Times, now_ns: int) -> None:
        n = len(uses)
        self._idle = IdleTimes.begin(uses, last_ns, now_ns, round(ns(self.range_s) / BIN_NS))
        self._ahead_ns = np.array([ns(one.spec.reload_s3_s + self.period_s) for one in endpoint.models], np.int64)
        self._head_ns, self._tail_ns = np.zeros(n, np.int64), np.full(n, ns(self._otherwise_s))
        self._loaded_for_ns, self._gone_since_ns = np.full(n, -1), np.full(n, -1)

    @property
    def _otherwise_s(self) -> float:
        """How long models stay whose histogram says nothing."""
        return self.range_s if self.reading == "bin_counts" else FAASCACHE_KEEPS_S

    def _set_windows(self, models: Times) -> None:
        """New windows for models with new idle times."""
        idle = self._idle
        assert idle is not None
        head, tail = (bins * float(BIN_NS) for bins in idle.quantile_bins(models, self.head_fraction,
                                                                         self.tail_fraction))
        head_ns, tail_ns = head * (1 - self.margin_fraction), (tail + BIN_NS) * (1 + self.margin_fraction)
        known = idle.inside[models] + idle.outside[models]
        by_bins = self.reading == "bin_counts"
        says = idle.bin_cov(models) > self.cov if by_bins else idle.gap_cov(models) <= self.cov
        says &= (known >= self.least_idle_times) & (idle.inside[models] > 0)
        self._head_ns[models] = np.where(says, head_ns, 0)
        self._tail_ns[models] = np.where(says, tail_ns, ns(self._otherwise_s))
        if by_bins:
            long = models[(2 * idle.outside[models] > known) & (known >= self.least_idle_times)]
            self._head_ns[long] = idle.recent_s[long] * (1 - FORECAST_MARGIN) * 1e9
            self._tail_ns[long] = idle.recent_s[long] * (1 + FORECAST_MARGIN) * 1e9

    def _unloads(self, endpoint: EndpointView, models: Times, last_ns: Times) -> Iterator[Prewarm]:
        """Idle copies outside of their window; the busy ones are looked at again."""
        for model in (endpoint.models[m] for m in models.tolist()):
            if not model.n_copies:
                self._gone_since_ns[model.index] = last_ns[model.index]
            elif not model.outstanding:
                yield from (Prewarm(instance, model.index, load=False) for instance in model.copies)

    def _loads(self, endpoint: EndpointView, models: Times, last_ns: Times) -> Iterator[Prewarm]:
        """Models whose window begins, unless they are there; without room they are looked at again."""
        if not len(models) or not endpoint.instances:
            return
        room = Room(endpoint.models, endpoint.instances)
        for model in (endpoint.models[m] for m in models.tolist()):
            if not (model.n_copies or room.take(need_bytes(model)) or self.displace):
                continue
            self._loaded_for_ns[model.index], self._gone_since_ns[model.index] = last_ns[model.index], -1
            if not model.n_copies:
                yield Prewarm(None, model.index)
