"""When requests come, fitted: a rate over time with gamma gaps, or a Markov-modulated Poisson process.

- *Rate over time*: mean rates of equal intervals, linear from middle to middle, as long as the trace (`whole`) or the
  mean day over and over (`day`). The CV of the gaps is the one with which generated requests have the trace's IDC per
  minute.
- *MMPP* for bursts that come at any time: levels and shares of time of three states by a Poisson mixture on the counts
  per minute (expectation maximisation); one time scale, so that IDC(10 min) / IDC(1 min) is the trace's (the
  variance-time curve, Heffes and Lucantoni 1986); then all levels are drawn apart from the mean so that IDC(1 min) is
  met.
- `auto` takes the rate over time when it explains at least half of the variance of the minutes that Poisson does not.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.units import NS_PER_S, seconds
from mmesim.workload.analysis.description import MINUTE_NS, hours_of_day
from mmesim.workload.analysis.measures import Floats, Ints, idc, per_interval
from mmesim.workload.analysis.recorded import Recorded, collected
from mmesim.workload.build import arrival_rate, build_arrivals
from mmesim.workload.types import ArrivalSpec, WorkloadModel, WorkloadSpec

KINDS = ("auto", "whole", "day", "mmpp", "poisson")
STATES, LONG = 3, 10
KNOTS = 24
"""Intervals of the rate over time of a trace of less than a day; a longer one has one an hour."""
LENGTHS_S = (10, 30, 60, 120, 300, 600, 900, 1800, 3600)
HALF = 0.5
SHORTEST_MINUTES = {"day": 1440, "mmpp": 60}
CV_LOW, CV_HIGH, CV_STEPS = 0.05, 20.0, 14
DIGITS = 4
SEED = 1


def fit_arrivals(requests: Recorded, kind: str = "auto", every_s: int = 0) -> ArrivalSpec:
    """The arrivals of a trace; `every_s` is the distance of the knots (0: by its length)."""
    per_minute = per_interval(requests.t_ns, requests.begin_ns, requests.end_ns, MINUTE_NS)
    _check(kind, per_minute)
    rate_rps = len(requests) / seconds(requests.end_ns - requests.begin_ns)
    whole = rate_over_time(requests, rate_rps, every_s or _every_s(requests))
    if kind == "auto":
        explained = _explained(whole, per_minute, requests.end_ns - requests.begin_ns) >= HALF
        kind = "whole" if explained or len(per_minute) < SHORTEST_MINUTES["mmpp"] else "mmpp"
    if kind == "poisson" or not _is_dispersed(per_minute):
        return ArrivalSpec("poisson", rate_rps=_rounded(rate_rps))
    if kind == "mmpp":
        return fit_mmpp(per_minute)
    return _with_cv(whole if kind == "whole" else mean_day(requests, rate_rps), requests, per_minute)


def rate_over_time(requests: Recorded, rate_rps: float, every_s: int) -> ArrivalSpec:
    """Linear between the middles of intervals, each with its mean rate."""
    counts = per_interval(requests.t_ns, requests.begin_ns, requests.end_ns, every_s * NS_PER_S)
    middle_s = (np.arange(len(counts)) + 0.5) * every_s
    return _profile(middle_s, counts / every_s / rate_rps, rate_rps, None)


def mean_day(requests: Recorded, rate_rps: float) -> ArrivalSpec:
    """The mean day, repeated; hour 0 begins at time 0 of the run, as it does in the trace."""
    factors = hours_of_day(requests)
    return _profile((np.arange(24) + 0.5) * 3600, factors / factors.mean(), rate_rps, 86_400.0)


def fit_mmpp(per_minute: Ints) -> ArrivalSpec:
    """States by their levels, one time scale by IDC(10 min) against IDC(1 min), then the spread by IDC(1 min)."""
    rates, shares = poisson_mixture(per_minute)
    mean = float(per_minute.mean())
    over_1 = (idc(per_minute) - 1) * mean
    whole = len(per_minute) // LONG * LONG
    over_10 = (idc(per_minute[:whole].reshape(-1, LONG).sum(axis=1)) - 1) * LONG * mean
    low, high = 0.1, 1e4
    for _ in range(60):
        scale = (low * high) ** 0.5
        ratio = integrated_covariance(rates, shares, scale, LONG) / integrated_covariance(rates, shares, scale, 1)
        low, high = (scale, high) if ratio < over_10 / over_1 else (low, scale)
    stretch = (over_1 / integrated_covariance(rates, shares, scale, 1)) ** 0.5
    levels = np.maximum(mean + stretch * (rates - rates @ shares), 0)
    return ArrivalSpec("mmpp", rates_rps=tuple(_rounded(rate / 60) for rate in levels),
                       mean_sojourn_s=tuple(_rounded(60 * scale * share) for share in shares))


def poisson_mixture(per_minute: Ints) -> tuple[Floats, Floats]:
    """Rates per minute and shares of time of a mixture of Poisson laws, by expectation maximisation."""
    rates = np.maximum(np.quantile(per_minute, 1 - 0.5 ** np.arange(1, 2 * STATES, 2)), 0.1) * 1.01 ** np.arange(STATES)
    shares = np.full(STATES, 1 / STATES)
    for _ in range(500):
        log_odds = np.log(shares) + per_minute[:, None] * np.log(rates) - rates
        member = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
        member /= member.sum(axis=1, keepdims=True)
        shares = np.maximum(member.mean(axis=0), 1e-9)
        rates = np.maximum(per_minute @ member / np.maximum(member.sum(axis=0), 1e-9), 1e-6)
    return rates, shares / shares.sum()


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


def _check(kind: str, per_minute: Ints) -> None:
    """Raises InputError when a trace cannot give what is asked for."""
    least = SHORTEST_MINUTES.get(kind, 0)
    if len(per_minute) < least:
        raise InputError(Problem(f"the trace has {len(per_minute)} minutes", path="--arrivals", hint=(
            f"{kind} needs at least {least}; take whole or poisson")))
    if kind == "mmpp" and idc(per_minute) <= 1:
        raise InputError(Problem(f"the trace is more even than Poisson (IDC per minute {idc(per_minute):.2f})",
                                 path="--arrivals", hint="take whole: its gaps may be even"))


def _every_s(requests: Recorded) -> int:
    length_s = seconds(requests.end_ns - requests.begin_ns)
    return max((length for length in LENGTHS_S if length * KNOTS <= length_s), default=LENGTHS_S[0])


def _profile(at_s: Floats, factors: Floats, rate_rps: float, period_s: float | None) -> ArrivalSpec:
    shape = tuple((float(t), float(f"{f:.{DIGITS}g}")) for t, f in zip(at_s, factors, strict=True))
    return ArrivalSpec("profile", rate_rps=_rounded(rate_rps), shape=shape, period_s=period_s)


def _is_dispersed(per_minute: Ints) -> bool:
    """Whether the counts of the minutes differ from Poisson's by more than chance (three standard errors)."""
    return abs(idc(per_minute) - 1) > 3 * (2 / max(1, len(per_minute) - 1)) ** 0.5


def _explained(spec: ArrivalSpec, per_minute: Ints, length_ns: int) -> float:
    """Share of the variance beyond Poisson's that the rate over time explains."""
    edges_s = np.minimum(np.arange(len(per_minute) + 1) * 60.0, seconds(length_ns))
    expected = np.diff(arrival_rate(spec, SEED, length_ns).expected_before(edges_s))
    beyond = float(per_minute.var() - per_minute.mean())
    return float(expected.var()) / beyond if beyond > 0 else 1.0


def _with_cv(spec: ArrivalSpec, requests: Recorded, per_minute: Ints) -> ArrivalSpec:
    """The CV of the gaps with which the IDC per minute is the trace's."""
    wanted, length_ns = idc(per_minute), requests.end_ns - requests.begin_ns
    low, high = CV_LOW, CV_HIGH
    for _ in range(CV_STEPS):
        cv = (low * high) ** 0.5
        source = build_arrivals(WorkloadSpec(replace(spec, cv=cv)), [WorkloadModel("any")], SEED, length_ns)
        made = collected(source, ["any"], length_ns)
        found = idc(per_interval(made.t_ns, 0, length_ns, MINUTE_NS)) if len(made) else np.inf
        low, high = (cv, high) if found < wanted else (low, cv)
    return replace(spec, cv=float(f"{cv:.2g}"))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
