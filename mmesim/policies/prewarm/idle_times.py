"""Histograms of the models' idle times, learnt from how often and when last each was used.

All models at once, in arrays over models: what is asked every minute of thousands of models must be a matter of
milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmesim.units import ns

BIN_NS = ns(60)
"""Width of a bin (ATC '20: a minute)."""
NEWEST_WEIGHT = 0.25
"""Of the newest idle time in the mean of the last ones."""
Times = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass
class IdleTimes:
    """What is known of the idle times of each model."""

    uses: Times
    """Requests when last looked at."""
    last_ns: Times
    """Last request then."""
    looked_ns: int
    bins: NDArray[np.int32]
    """(models, bins) idle times by length."""
    inside: Times
    """Idle times with a bin."""
    outside: Times
    """Longer ones."""
    squares: Times
    """Sum of the squared counts of the bins."""
    total_s: Floats
    """Sum of all idle times."""
    squares_s2: Floats
    """Sum of their squares."""
    recent_s: Floats
    """Mean of the last ones."""

    @classmethod
    def begin(cls, uses: Times, last_ns: Times, now_ns: int, n_bins: int) -> IdleTimes:
        """Nothing is known but these requests."""
        n = len(uses)
        whole, real = (np.zeros((3, n), kind) for kind in (np.int64, np.float64))
        return cls(uses, last_ns, now_ns, np.zeros((n, n_bins), np.int32), *whole, *real)

    def learn(self, uses: Times, last_ns: Times, now_ns: int) -> Times:
        """Take in the requests since it last looked; returns the models that have new idle times.

        Of several requests of a model the first came after an equal share of the time since the last look, and the
        others are idle times of less than a minute each.
        """
        models = np.flatnonzero((uses > self.uses) & (self.uses > 0))
        more = (uses - self.uses)[models]
        first_ns = np.where(more == 1, last_ns[models], self.looked_ns + (last_ns[models] - self.looked_ns) // more)
        self._add(models, np.maximum(0, first_ns - self.last_ns[models]), np.ones_like(more))
        several = more > 1
        if several.any():
            gap_ns = (last_ns[models] - first_ns)[several] // (more[several] - 1)
            self._add(models[several], gap_ns, more[several] - 1)
        self.uses, self.last_ns, self.looked_ns = uses, last_ns, now_ns
        return models

    def _add(self, models: Times, gap_ns: Times, times: Times) -> None:
        """So many idle times of this length for each of these models."""
        gap_s = gap_ns / 1e9
        self.total_s[models] += times * gap_s
        self.squares_s2[models] += times * gap_s ** 2
        kept = (1 - NEWEST_WEIGHT) ** times
        fresh = self.inside[models] + self.outside[models] == 0
        self.recent_s[models] = np.where(fresh, gap_s, kept * self.recent_s[models] + (1 - kept) * gap_s)
        at = gap_ns // BIN_NS
        fits = at < self.bins.shape[1]
        self.outside[models[~fits]] += times[~fits]
        models, at, times = models[fits], at[fits], times[fits]
        before = self.bins[models, at].astype(np.int64)
        self.bins[models, at] += times.astype(np.int32)
        self.inside[models] += times
        self.squares[models] += times * (2 * before + times)

    def bin_cov(self, models: Times) -> Floats:
        """Coefficient of variation of the bins' counts; 0 without any."""
        n_bins = self.bins.shape[1]
        return _cov(self.inside[models] / n_bins, self.squares[models] / n_bins)

    def gap_cov(self, models: Times) -> Floats:
        """Coefficient of variation of the idle times; 0 without any."""
        known = np.maximum(1, self.inside[models] + self.outside[models])
        return _cov(self.total_s[models] / known, self.squares_s2[models] / known)

    def quantile_bins(self, models: Times, *fractions: float) -> list[Times]:
        """For each fraction the number of the bin with that quantile of the idle times that have one."""
        cumulated = self.bins[models].cumsum(axis=1, dtype=np.int32)
        ranks = [np.maximum(1, np.ceil(fraction * self.inside[models] - 1e-9)).astype(np.int32)
                 for fraction in fractions]
        return [(cumulated < rank[:, None]).sum(axis=1) for rank in ranks]


def _cov(mean: Floats, mean_square: Floats) -> Floats:
    """Standard deviation over mean; 0 where the mean is."""
    deviation = np.sqrt(np.maximum(0.0, mean_square - mean ** 2))
    return np.asarray(deviation / np.where(mean > 0, mean, np.inf), np.float64)
