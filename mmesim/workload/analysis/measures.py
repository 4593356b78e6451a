"""The measures by which workloads are compared: each definition, once.

- CV of gaps: standard deviation / mean of the times between requests; 1 for Poisson.
- IDC: variance / mean of the requests per interval (index of dispersion for counts, Cox and Lewis 1966); 1 for Poisson.
  Intervals are counted from time 0 of the trace; the last one counts as if it were whole.
- Zipf s, by maximum likelihood: the s for which shares proportional to rank^-s make the observed counts most likely. By
  least squares: slope of log count on log rank, over the ranks that carry 99 % of the requests. Both take the observed
  ranks; they agree only on a pure Zipf law.
- Figures of one model are means over the models with at least 20 requests, weighted by requests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmesim.units import NS_PER_S

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FEW_REQUESTS = 20
OLS_SHARE = 0.99


def zipf_mle(counts: Ints) -> float:
    """Maximum likelihood (s in 0 … 20).

    At the maximum the expected log rank equals the observed one; it falls with s, so bisection finds it.
    """
    ranked = np.sort(counts[counts > 0])[::-1]
    log_rank = np.log(np.arange(1, len(ranked) + 1))
    observed = float(ranked @ log_rank / ranked.sum())
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        weights = np.exp(-middle * log_rank)
        low, high = (middle, high) if weights @ log_rank / weights.sum() > observed else (low, middle)
    return low


def zipf_ols(counts: Ints) -> float:
    """Least squares; NaN for fewer than two ranks."""
    ranked = np.sort(counts[counts > 0])[::-1]
    used = ranks_carrying(counts, OLS_SHARE)
    if used < 2:
        return float("nan")
    return float(-np.polyfit(np.log(np.arange(1, used + 1)), np.log(ranked[:used]), 1)[0])


def ranks_carrying(counts: Ints, share: float) -> int:
    """How many of the most requested models make that share of the requests."""
    ranked = np.sort(counts)[::-1]
    return int(np.searchsorted(np.cumsum(ranked), share * ranked.sum()) + 1)


def cv_of_gaps(t_ns: Ints) -> float:
    """Of sorted times; NaN for fewer than two gaps."""
    gaps = np.diff(t_ns) / NS_PER_S
    return float(gaps.std() / gaps.mean()) if len(gaps) > 1 and gaps.any() else float("nan")


def idc(counts: Ints) -> float:
    """Of requests in equal intervals; NaN when there are none."""
    return float(counts.var() / counts.mean()) if counts.any() else float("nan")


def per_interval(t_ns: Ints, begin_ns: int, end_ns: int, length_ns: int) -> Ints:
    """Requests in each interval from `begin_ns` to the one that `end_ns` lies in."""
    return np.bincount((t_ns - begin_ns) // length_ns, minlength=-((begin_ns - end_ns) // length_ns))


def model_cv_of_gaps(t_ns: Ints, model: NDArray[np.int32], n_models: int) -> float:
    """CV of the gaps of one model."""
    order = np.argsort(model, kind="stable")
    times, owner = t_ns[order], model[order]
    same = owner[1:] == owner[:-1]
    gaps, of = np.diff(times)[same] / NS_PER_S, owner[1:][same]
    counts = np.bincount(model, minlength=n_models)
    n = np.maximum(counts - 1, 1)
    mean = np.bincount(of, gaps, n_models) / n
    variance = np.bincount(of, gaps**2, n_models) / n - mean**2
    return _weighted(np.sqrt(np.maximum(variance, 0)) / np.where(mean > 0, mean, np.nan), counts)


def model_idc(t_ns: Ints, model: NDArray[np.int32], n_models: int, begin_ns: int, end_ns: int,
              length_ns: int) -> float:
    """IDC of one model; only the intervals in which it was asked for are held."""
    n = -((begin_ns - end_ns) // length_ns)
    cells, counts = np.unique(model * n + (t_ns - begin_ns) // length_ns, return_counts=True)
    of = cells // n
    totals = np.bincount(of, counts, n_models)
    squares = np.bincount(of, counts.astype(float)**2, n_models)
    mean = totals / n
    return _weighted((squares / n - mean**2) / np.where(mean > 0, mean, np.nan), totals.astype(np.int64))


def autocorrelation(counts: Ints, lag: int) -> float:
    """Of a series at a lag; NaN when it is shorter than two lags."""
    if len(counts) < 2 * lag or not (counts[lag:].any() and counts[:-lag].any()):
        return float("nan")
    return float(np.corrcoef(counts[:-lag], counts[lag:])[0, 1])


def _weighted(values: Floats, counts: Ints) -> float:
    used = (counts >= FEW_REQUESTS) & np.isfinite(values)
    return float(np.average(values[used], weights=counts[used])) if used.any() else float("nan")
