"""A synthetic workload of 160 models that stands for a real day: the numbers of ``scenarios/quickstart.yaml``.

Run: ``python benchmarks/fit_azure_day.py azure_functions_2019_1350f_24h_counts.csv.gz``

The day: requests per minute of 1,350 functions, 24 h, of Microsoft's Azure Functions trace 2019 (CC BY 4.0; Shahrad
et al., "Serverless in the Wild", ATC '20), in the sample of github.com/vhive-serverless/invitro, commit b12de00.
A model is one function: the 160 busiest, which make 81 % of the requests (752,673; 8.71/s).

Method
- Rate and burstiness: a Markov-modulated Poisson process of three states. Levels and shares of time by a Poisson
  mixture on the counts per minute (expectation maximisation); one time scale, so that IDC(10 min) / IDC(1 min) is the
  day's (the variance-time curve, Heffes and Lucantoni 1986); then all levels are drawn apart from the mean so that
  IDC(1 min) itself is met.
- Popularity: Zipf, maximum likelihood on the ranks.
- Sessions: P(same model again) such that models come back after more than five idle minutes as often per request as
  in the trace, which is what a keep-alive or an LRU pays for. Order inside a minute is not in the data.

Result: rates 7.10, 12.60, 31.45 /s with mean sojourns 1973, 418, 68 s; s = 0.80; repeat = 0.30. Generated figures are
means over five days.

| | real | no sessions | fitted |
|---|---|---|---|
| mean rate (1/s) | 8.71 | 8.76 | 8.76 |
| IDC per 1 / 10 / 60 min | 109 / 492 / 859 | 116 / 519 / 992 | as before |
| p10, p50, p90, p99 of a minute / mean | 0.76, 0.88, 1.34, 2.78 | 0.77, 0.82, 1.46, 3.35 | as before |
| busiest minute / mean | 7.5 | 3.8 | as before |
| share of the first / first ten models | 7.7 % / 39 % | 10.6 % / 38 % | as before |
| models in a minute / in ten minutes | 131 / 143 | 127 / 160 | 112 / 160 |
| returns after > 5 idle minutes, per 1000 requests | 0.95 | 0.22 | 0.97 |
| IDC per minute of one model (mean over requests) | 111 | 3.9 | 4.7 |

What the fit misses
- A model's own bursts: on the real day a burst is a few functions', here it is everybody's. The IDC of a model is 24
  times too small.
- Functions that sleep: over any ten minutes 17 real ones are silent, none here. Sessions make up for their returns,
  and make a minute's models 15 % fewer in exchange.
- The extreme minute; the first two minutes of each hour (timers, 1.26 times the mean); the hours (peak / trough 1.7).
- A generated day has about 35 spells of each state, so its IDC per minute varies by 20 % (standard deviation over 20
  seeds; their mean is 110).
- At k times the rate with the same levels / mean, the IDC grows k-fold: k-fold traffic of the same users, not of
  independent ones.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmesim.units import ns
from mmesim.workload.build import build_arrivals
from mmesim.workload.stats import idc, zipf_mle
from mmesim.workload.trace import trace_facts
from mmesim.workload.types import (
    ArrivalSource,
    ArrivalSpec,
    PopularitySpec,
    TraceSpec,
    WorkloadModel,
    WorkloadSpec,
)

MODELS, STATES, MINUTES, LONG = 160, 3, 1440, 10
SEEDS = range(5)
REPEATS = np.arange(0.0, 0.55, 0.05)
IDLE_MINUTES = 5
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def day_of(path: Path) -> Counts:
    """Requests per minute (rows) of the 160 busiest functions (columns, busiest first)."""
    names = list(trace_facts(path).counts)
    source = build_arrivals(WorkloadSpec(trace=TraceSpec(path)), [WorkloadModel(n) for n in names], 1, ns(86_400))
    return tally(source, len(names))[:, :MODELS]


def synthetic_day(spec: WorkloadSpec, seed: int) -> Counts:
    """The same table of one generated day."""
    return tally(build_arrivals(spec, [WorkloadModel(str(i)) for i in range(MODELS)], seed, ns(86_400)), MODELS)


def tally(source: ArrivalSource, n_models: int) -> Counts:
    """Requests per minute and model of a source."""
    counts = np.zeros(MINUTES * n_models, np.int64)
    while (chunk := source.next_chunk()) is not None:
        counts += np.bincount(chunk.t_ns // ns(60) * n_models + chunk.model, minlength=len(counts))
    return counts.reshape(MINUTES, n_models)


def poisson_mixture(counts: Counts, states: int) -> tuple[Floats, Floats]:
    """Rates per minute and shares of time of a mixture of Poisson laws, by expectation maximisation."""
    rates = np.quantile(counts, 1 - 0.5 ** np.arange(1, 2 * states, 2))
    shares = np.full(states, 1 / states)
    for _ in range(500):
        log_odds = np.log(shares) + counts[:, None] * np.log(rates) - rates
        member = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
        member /= member.sum(axis=1, keepdims=True)
        shares, rates = member.mean(axis=0), counts @ member / member.sum(axis=0)
    return rates, shares


def integrated_covariance(rates: Floats, shares: Floats, scale: float, minutes: float) -> float:
    """Variance of the expected count of an interval, for sojourns `scale` times `shares`."""
    sojourns = scale * shares
    generator = (1 - np.eye(len(rates))) / (len(rates) - 1) / sojourns[:, None]
    generator -= np.diag(generator.sum(axis=1))
    decay, vectors = np.linalg.eig(generator)
    centred = rates - rates @ shares
    weights = ((shares * centred) @ vectors) * (np.linalg.solve(vectors, centred))
    live = np.abs(decay) > 1e-9
    q, w = -decay[live].real, weights[live].real
    return float((2 * w * (minutes - (1 - np.exp(-q * minutes)) / q) / q).sum())


def fit_mmpp(per_minute: Counts, states: int) -> ArrivalSpec:
    """States by their levels, one time scale by IDC(10 min) against IDC(1 min), then the spread by IDC(1 min)."""
    rates, shares = poisson_mixture(per_minute, states)
    mean = float(per_minute.mean())
    over_1 = (idc(per_minute) - 1) * mean
    over_10 = (idc(per_minute.reshape(-1, LONG).sum(axis=1)) - 1) * LONG * mean
    low, high = 0.1, 1e4
    for _ in range(60):
        scale = (low * high) ** 0.5
        ratio = integrated_covariance(rates, shares, scale, LONG) / integrated_covariance(rates, shares, scale, 1)
        low, high = (scale, high) if ratio < over_10 / over_1 else (low, scale)
    stretch = (over_1 / integrated_covariance(rates, shares, scale, 1)) ** 0.5
    rates = mean + stretch * (rates - rates @ shares)
    return ArrivalSpec("mmpp", rates_rps=tuple(rates / 60), mean_sojourn_s=tuple(60 * scale * shares))


def figures(day: Counts) -> dict[str, float]:
    """What is compared between the real and the generated day."""
    total, by_model = day.sum(axis=1), np.sort(day.sum(axis=0))[::-1]
    level = np.quantile(total / total.mean(), [0.1, 0.5, 0.9, 0.99, 1.0])
    return {
        "mean_rps": total.mean() / 60, "idc_1min": idc(total), "idc_10min": idc(total.reshape(-1, LONG).sum(axis=1)),
        "idc_60min": idc(total.reshape(-1, 60).sum(axis=1)),
        **dict(zip(("p10/mean", "p50/mean", "p90/mean", "p99/mean", "max/mean"), level, strict=True)),
        "top1_share": by_model[0] / by_model.sum(), "top10_share": by_model[:10].sum() / by_model.sum(),
        "zipf_s": zipf_mle(by_model), "models_in_a_minute": (day > 0).sum(axis=1).mean(),
        "models_in_10_minutes": (day.reshape(-1, LONG, MODELS).sum(axis=1) > 0).sum(axis=1).mean(),
        "after_5_idle_minutes_per_1000": 1000 * idle_starts(day),
        "idc_1min_of_a_model": np.average([idc(column) for column in day.T], weights=day.sum(axis=0)),
    }


def idle_starts(day: Counts) -> float:
    """Returns of a model after more than `IDLE_MINUTES` silent minutes, per request."""
    gaps = [np.diff(np.flatnonzero(column)) for column in day.T]
    return sum(int((gap > IDLE_MINUTES + 1).sum()) for gap in gaps) / day.sum()


def averaged(spec: WorkloadSpec) -> dict[str, float]:
    """Figures of the generated days, averaged over seeds."""
    days = [figures(synthetic_day(spec, seed)) for seed in SEEDS]
    return {name: float(np.mean([day[name] for day in days])) for name in days[0]}


def fit_repeat(spec: WorkloadSpec, wanted: float) -> float:
    """The session probability whose idle returns come nearest to the real ones."""
    found = [np.mean([idle_starts(synthetic_day(replace(spec, session_repeat=r), seed)) for seed in SEEDS])
             for r in REPEATS]
    return float(REPEATS[np.argmin(np.abs(np.array(found) - wanted))])


def main(path: Path) -> None:
    """Prints the settings and the comparison."""
    day = day_of(path)
    arrivals = fit_mmpp(day.sum(axis=1), STATES)
    plain = WorkloadSpec(arrivals, popularity=PopularitySpec("zipf", s=round(zipf_mle(day.sum(axis=0)), 2)))
    fitted = replace(plain, session_repeat=fit_repeat(plain, idle_starts(day)))
    print(f"rates_rps {np.round(arrivals.rates_rps, 2)}  mean_sojourn_s {np.round(arrivals.mean_sojourn_s)}")
    print(f"zipf s {plain.popularity.s}  repeat {fitted.session_repeat:.2f}\n")
    columns = figures(day), averaged(plain), averaged(fitted)
    print(f"{'':30}      real  no sessions    fitted")
    for name in columns[0]:
        print(f"{name:30}" + "".join(f"{column[name]:11.3f}" for column in columns))
    hourly = day.sum(axis=1).reshape(24, 60).mean(axis=1)
    print(f"\nhourly rate / mean {(hourly / hourly.mean()).round(2).tolist()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
