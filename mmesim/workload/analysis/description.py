"""What a trace is like, in figures: the same for recorded and for generated requests.

How each is defined stands in :mod:`mmesim.workload.analysis.measures` and :mod:`mmesim.workload.analysis.locality`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmesim.units import NS_PER_S, seconds
from mmesim.workload.analysis.locality import (
    FIRST,
    Done,
    hit_ratios,
    independent_again,
    same_model_again,
    stack_distances,
)
from mmesim.workload.analysis.measures import (
    Ints,
    autocorrelation,
    cv_of_gaps,
    idc,
    model_cv_of_gaps,
    model_idc,
    per_interval,
    ranks_carrying,
    zipf_mle,
    zipf_ols,
)
from mmesim.workload.analysis.recorded import Recorded

MINUTE_NS, HOUR_NS = 60 * NS_PER_S, 3600 * NS_PER_S
DAY_H = 24
BLOCK = 1000
"""Requests in a block in which the models are counted."""
CURVE_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Cache sizes of the tables."""


@dataclass(frozen=True, slots=True)
class Description:
    """The figures of a trace; NaN where one cannot be told."""

    requests: int
    models: int
    span_s: float
    """From the first request to the last."""
    mean_rate_rps: float
    peak_minute_ratio: float
    """The busiest minute over the mean minute."""
    top1_share: float
    models_for_90_percent: int
    zipf_s: float
    """Maximum likelihood."""
    zipf_s_ols: float
    cv_of_gaps: float
    model_cv_of_gaps: float
    idc_per_minute: float
    model_idc_per_minute: float
    same_model_again: float
    """P(the next request is for the same model)."""
    independent_again: float
    """The same for independent draws from the popularity."""
    mean_run: float
    """Requests in a row for one model."""
    models_per_1000: float
    """Distinct models in a block of 1,000 requests."""
    first_requests: float
    """Share of the requests that no cache hits."""
    reuse_p50: float
    """Quantiles of the stack distance over the requests that have one: other models asked for in between."""
    reuse_p90: float
    reuse_p99: float
    autocorrelation_24h: float
    """Of the requests per hour, at a lag of a day; NaN below two days."""
    peak_hour: float
    """Hour of the trace's day with the most requests (0 begins at time 0); NaN below a day."""
    trough_hour: float
    hour_peak_to_trough: float
    half_seen_s: float
    """Time after the first request at which half of the models had been asked for; then nine tenths."""
    ninety_percent_seen_s: float
    exact_times: bool
    """False: the order and the gaps inside a minute are not real; what depends on them only is NaN."""
    lru_hit_ratio: tuple[float, ...]
    """Of LRU with room for 0, 1, … models."""

    def hit_ratio(self, size: int) -> float:
        """Of LRU with room for so many models."""
        return self.lru_hit_ratio[min(size, len(self.lru_hit_ratio) - 1)]

    def as_json(self) -> dict[str, Any]:
        """All figures by name; null where one cannot be told."""
        return {name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in asdict(self).items()}


def describe(requests: Recorded, done: Done | None = None) -> Description:
    """All figures of at least one request; `done` is told how many per cent of the work are."""
    assert len(requests), "a trace has at least one request"
    counts = requests.counts
    n_models = len(counts)
    watch = requests.begin_ns, requests.end_ns
    minutes = per_interval(requests.t_ns, *watch, MINUTE_NS)
    distances = stack_distances(requests.model, done)
    again = same_model_again(requests.model)
    exact = requests.exact_times
    asked = int((counts > 0).sum())
    return Description(
        requests=len(requests), models=asked, span_s=requests.span_s,
        mean_rate_rps=len(requests) / requests.span_s if requests.span_s else math.nan,
        peak_minute_ratio=float(minutes.max() / minutes.mean()),
        top1_share=float(counts.max() / len(requests)), models_for_90_percent=ranks_carrying(counts, 0.9),
        zipf_s=zipf_mle(counts) if asked > 1 else math.nan, zipf_s_ols=zipf_ols(counts),
        cv_of_gaps=cv_of_gaps(requests.t_ns) if exact else math.nan,
        model_cv_of_gaps=model_cv_of_gaps(requests.t_ns, requests.model, n_models),
        idc_per_minute=idc(minutes),
        model_idc_per_minute=model_idc(requests.t_ns, requests.model, n_models, *watch, MINUTE_NS),
        same_model_again=again, independent_again=independent_again(counts),
        mean_run=len(requests) / (1 + int((np.diff(requests.model) != 0).sum())),
        models_per_1000=_models_per_block(requests.model),
        first_requests=asked / len(requests),
        **dict(zip(("reuse_p50", "reuse_p90", "reuse_p99"), _quantiles(distances[distances != FIRST]), strict=True)),
        **_hours(requests), **_seen(requests), exact_times=exact,
        lru_hit_ratio=tuple(hit_ratios(distances, n_models).tolist()))


def hours_of_day(requests: Recorded) -> NDArray[np.float64]:
    """Mean requests per hour of the trace's day, hour 0 first."""
    hours = per_interval(requests.t_ns, requests.begin_ns, requests.end_ns, HOUR_NS)
    of_day = (np.arange(len(hours)) + requests.begin_ns // HOUR_NS) % DAY_H
    return np.bincount(of_day, hours, DAY_H) / np.maximum(np.bincount(of_day, minlength=DAY_H), 1)


def first_asked_s(requests: Recorded) -> NDArray[np.float64]:
    """When each model was first asked for, in order; from the first request."""
    _, first = np.unique(requests.model, return_index=True)
    return np.asarray(np.sort(requests.t_ns[first] - requests.t_ns[0]) / NS_PER_S)


def _quantiles(distances: Ints) -> list[float]:
    return np.quantile(distances, (0.5, 0.9, 0.99)).tolist() if len(distances) else [math.nan] * 3


def _models_per_block(model: NDArray[np.int32]) -> float:
    blocks = [model[at:at + BLOCK] for at in range(0, len(model) - BLOCK + 1, BLOCK)]
    return float(np.mean([len(np.unique(block)) for block in blocks])) if blocks else math.nan


def _hours(requests: Recorded) -> dict[str, float]:
    hours = per_interval(requests.t_ns, requests.begin_ns, requests.end_ns, HOUR_NS)
    if seconds(requests.end_ns - requests.begin_ns) < DAY_H * 3600 - 60:
        return dict.fromkeys(("autocorrelation_24h", "peak_hour", "trough_hour", "hour_peak_to_trough"), math.nan)
    day = hours_of_day(requests)
    return {"autocorrelation_24h": autocorrelation(hours, DAY_H), "peak_hour": float(day.argmax()),
            "trough_hour": float(day.argmin()),
            "hour_peak_to_trough": float(day.max() / day.min()) if day.min() else math.inf}


def _seen(requests: Recorded) -> dict[str, float]:
    first_s = first_asked_s(requests)
    return {name: float(first_s[math.ceil(share * len(first_s)) - 1])
            for name, share in (("half_seen_s", 0.5), ("ninety_percent_seen_s", 0.9))}
