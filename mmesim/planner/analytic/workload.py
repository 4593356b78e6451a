"""What a workload asks for, whatever it runs on: rates by model, the busiest time, sessions, bursts.

Expected values (:mod:`mmesim.workload.stats`) for generated requests, counts for a trace. Closed-loop clients have no
rate: what stands here is the most that they can ask for, users over wait plus the time of a request that never waits.

Sessions are the DAR process of :mod:`mmesim.workload.popularity`. A trace's `repeat` and `reach` are those with which
its requests come back to their model as they do: P(no request for the model of this one among the T before it),
counted, is nearest to h(T) sum_i p_i (1 - p_i)^H(T) of :mod:`mmesim.planner.analytic.cache`, over T = 1, 2, 4 ….
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmesim.planner.analytic.cache import Sessions
from mmesim.scenario.references import resolve
from mmesim.scenario.schema import Scenario
from mmesim.scenario.work import bare_s
from mmesim.scenario.workload_spec import duration_s, workload_models, workload_spec
from mmesim.units import NS_PER_S, ns
from mmesim.workload.analysis.locality import FIRST, previous
from mmesim.workload.build import arrival_rate, matching, surge_rate, wanted
from mmesim.workload.combine import cut
from mmesim.workload.popularity import base_shares, epochs
from mmesim.workload.rates import PiecewiseRate, mean_rate
from mmesim.workload.stats import expected_rates
from mmesim.workload.trace import trace_requests
from mmesim.workload.types import WORK_ONE, WorkloadModel, WorkloadSpec

Floats = NDArray[np.float64]
Series = tuple[Floats, Floats]
"""(edges in s, one more than pieces; requests per second in each piece)."""

PIECES = 300
"""Of the load over time."""
FINE_PIECES = 4000
FINE_S = 1.0
"""Shortest piece of the fine series."""
MAX_TABLE = 3e7
"""Models times pieces counted of a trace."""
PATHS = 20
"""So many runs' length of an MMPP stand for all."""
CORRELATED = 200_000
"""Requests of a trace whose models are compared."""
REPEATS = np.arange(0.0, 0.97, 0.02)
REACHES = 2.0 ** np.arange(0, 9, 0.5)
CLOSE_TOGETHER = 1 << 14
"""Longest way back to the last request for the same model that is looked at."""
MAX_STATES = 200
"""Of an MMPP; above, its bursts count by their rates alone."""


@dataclass(frozen=True)
class Demand:
    """What the workload asks for in the measured time; with closed-loop clients the most that they can."""

    rates_rps: Floats
    """(models,) mean over the measured time."""
    busiest_start_s: float
    busiest_rps: Floats
    """(models,) mean over the busiest `busiest_window_s`."""
    busiest_window_s: float
    repeat: float
    reach: float
    """Sessions, as in the scenario's settings."""
    load_over_time: Series
    """Of the measured time, in at most 300 pieces."""
    moments: Series
    """The same in at most 4,000; of a random rate (MMPP) a path that stands for many runs."""
    warmup_s: float
    work: Floats
    """(models,) items times relative work of a request, mean."""
    items: Floats
    """(models,) items of a request, mean."""
    work_cv: float
    """Largest coefficient of variation of that work within one model."""
    dispersion: float
    """Variance over mean of the number of requests in a long time; 1: Poisson, 0: known exactly."""
    gap_cv2: float
    """Squared coefficient of variation of the gaps, in a time in which the rate stands still; 1: Poisson."""
    users: float
    """Closed-loop clients at most; 0: none."""
    is_steady: bool
    """Every request's model is drawn from the same shares, or an earlier one's: nobody can know a fresh one before."""
    ranks: Literal["known", "shuffled", "unknown"]
    """Which model has which share: the same with every seed; the same shares in an order of each seed's own; other
    shares with each seed."""
    least_part: float
    """Part of these rates that is asked for whatever the seed: of an MMPP its lowest rate over its mean."""

    @property
    def measured_s(self) -> float:
        """Length of the measured time."""
        return float(self.load_over_time[0][-1] - self.load_over_time[0][0])

    def times(self, factor: float) -> Demand:
        """So many times the rates."""
        (edges, rps), (fine_edges, fine_rps) = self.load_over_time, self.moments
        return replace(self, rates_rps=self.rates_rps * factor, busiest_rps=self.busiest_rps * factor,
                       load_over_time=(edges, rps * factor), moments=(fine_edges, fine_rps * factor))

    @property
    def shares(self) -> Floats:
        """(models,) part of the requests."""
        total = self.rates_rps.sum()
        return self.rates_rps / total if total else self.rates_rps


def demand(scenario: Scenario, window_s: float = 3600.0) -> Demand:
    """What the scenario's workload asks for; the busiest time is `window_s` long. Reads the trace once."""
    spec, models = workload_spec(scenario), workload_models(scenario)
    if spec.trace is not None:
        return _of_trace(scenario, spec, models, window_s)
    if spec.clients is not None:
        return _of_clients(scenario, spec, models, window_s)
    return _of_arrivals(scenario, spec, models, window_s)


# ---- generated arrivals


def _of_arrivals(scenario: Scenario, spec: WorkloadSpec, models: list[WorkloadModel], window_s: float) -> Demand:
    end_s = duration_s(scenario)
    edges = _edges(scenario, PIECES)
    rps = _mean_in(list(_rates(spec, models, scenario.seed, end_s, is_mean=True)), edges + spec.start_s)
    begin_s, window_s = _busiest(edges, rps, window_s)

    def between(start_s: float, length_s: float) -> Floats:
        part = replace(spec, start_s=spec.start_s + start_s)
        return expected_rates(part, models, scenario.seed, ns(length_s))

    rates = between(scenario.warmup, end_s - scenario.warmup)
    part = rates.sum() / max(1e-300, rps @ np.diff(edges) / (end_s - scenario.warmup))  # `only` leaves some out
    there = all(model.available_from_ns == 0 and model.available_until_ns is None for model in models)
    laws = [model.service_law for model in models]
    return Demand(
        rates_rps=rates, busiest_start_s=begin_s, busiest_rps=between(begin_s, window_s), busiest_window_s=window_s,
        repeat=spec.session_repeat, reach=spec.session_reach, load_over_time=(edges, rps * part),
        moments=_moments(scenario, spec, models, part), warmup_s=scenario.warmup,
        work=np.full(len(models), float(spec.items)), items=np.full(len(models), float(spec.items)),
        work_cv=max(law.cv or 0.0 for law in laws), dispersion=_dispersion(spec),
        gap_cv2=spec.arrivals.cv**2 if spec.arrivals.use in ("gamma", "profile") else 1.0, users=0.0,
        is_steady=there and not spec.surges and spec.only is None and spec.popularity.use != "drifting",
        ranks=_ranks(spec, models), least_part=_least_part(spec))


def _ranks(spec: WorkloadSpec, models: list[WorkloadModel]) -> Literal["known", "shuffled", "unknown"]:
    popularity = spec.popularity
    if popularity.use in ("uniform", "explicit") or (popularity.use == "zipf" and not popularity.shuffle):
        return "known"
    are_alike = len({(model.group_weight, model.available_from_ns, model.available_until_ns) for model in models}) == 1
    return "shuffled" if popularity.use == "zipf" and are_alike and not spec.surges else "unknown"


def _least_part(spec: WorkloadSpec) -> float:
    """With ranks that every seed shuffles, nobody knows how much goes to some of the models."""
    least = 1.0
    if spec.arrivals.use == "mmpp":
        mean_rps = float(np.average(spec.arrivals.rates_rps, weights=spec.arrivals.mean_sojourn_s))
        least = min(spec.arrivals.rates_rps) / mean_rps if mean_rps else 1.0
    if spec.popularity.use in ("uniform", "explicit"):
        return least
    if spec.only is not None:
        return 0.0
    return least / (1 + sum(surge.factor - 1 for surge in spec.surges if surge.models != "*"))


def _edges(scenario: Scenario, pieces: int) -> Floats:
    return np.linspace(scenario.warmup, duration_s(scenario), pieces + 1)


def _rates(spec: WorkloadSpec, models: list[WorkloadModel], seed: int, end_s: float,
           is_mean: bool) -> Iterator[PiecewiseRate]:
    """The rate of the arrivals, and those of the surges, in the workload's own time."""
    end_ns = ns(spec.start_s + end_s)
    is_random = spec.arrivals.use == "mmpp"
    base = mean_rate(spec.arrivals, end_ns / NS_PER_S) if is_mean and is_random else \
        arrival_rate(spec.arrivals, seed, end_ns)
    yield base
    for surge in spec.surges:
        yield surge_rate(surge, base, epochs(spec.popularity, models, seed, end_ns), matching(surge.models, models))


def _mean_in(rates: list[PiecewiseRate], edges: Floats) -> Floats:
    """Mean of the sum of rates in each piece."""
    return np.asarray(sum(np.diff(rate.expected_before(edges)) for rate in rates) / np.diff(edges))


def _moments(scenario: Scenario, spec: WorkloadSpec, models: list[WorkloadModel], part: float) -> Series:
    length_s = duration_s(scenario) - scenario.warmup
    times = PATHS if spec.arrivals.use == "mmpp" else 1
    pieces = int(np.clip(times * length_s / FINE_S, 1, FINE_PIECES))
    edges = scenario.warmup + np.linspace(0.0, times * length_s, pieces + 1)
    rates = list(_rates(spec, models, scenario.seed, float(edges[-1]), is_mean=False))
    return edges, _mean_in(rates, edges + spec.start_s) * part


def _dispersion(spec: WorkloadSpec) -> float:
    """Limit of the variance over the mean of counts: gamma gaps cv^2; an MMPP's by its deviation matrix."""
    arrivals = spec.arrivals
    if arrivals.use in ("gamma", "profile"):
        return arrivals.cv**2
    if arrivals.use != "mmpp" or not 1 < len(arrivals.rates_rps) <= MAX_STATES:
        return 1.0
    rates, stay = np.array(arrivals.rates_rps), np.array(arrivals.mean_sojourn_s)
    share = stay / stay.sum()
    leave = np.full((len(rates),) * 2, 1.0) / (stay[:, None] * (len(rates) - 1))
    np.fill_diagonal(leave, -1 / stay)
    deviation = np.linalg.inv(share[None, :] - leave) - share[None, :]
    mean = float(share @ rates)
    return 1 + 2 * float((share * rates) @ deviation @ rates) / mean if mean else 1.0


def _busiest(edges: Floats, rps: Floats, window_s: float) -> tuple[float, float]:
    """(start, length) of the stretch of whole pieces, about as long as asked, in which most is asked for."""
    pieces = min(len(rps), max(1, round(window_s / (edges[1] - edges[0]))))
    sums = np.cumsum(np.concatenate(([0.0], rps)))
    at = int(np.argmax(sums[pieces:] - sums[:-pieces]))
    return float(edges[at]), float(edges[at + pieces] - edges[at])


# ---- closed loop


def _of_clients(scenario: Scenario, spec: WorkloadSpec, models: list[WorkloadModel], window_s: float) -> Demand:
    assert spec.clients is not None
    shares = base_shares(spec.popularity, models, scenario.seed) * wanted(spec, models)
    shares = shares / max(1e-300, shares.sum())
    users = max([spec.clients.users, *(stage.users for stage in spec.clients.stages)])
    alone_s = [bare_s(scenario, group) for group in resolve(scenario).groups for _ in range(group.settings.count)]
    turn_s = spec.clients.wait.mean + float(shares @ np.array(alone_s))
    rates = shares * users / max(turn_s, 1e-9)
    edges = _edges(scenario, 1)
    series = (edges, np.array([rates.sum()]))
    items = np.full(len(models), float(spec.items))
    return Demand(rates_rps=rates, busiest_start_s=float(edges[0]), busiest_rps=rates,
                  busiest_window_s=min(window_s, float(edges[-1] - edges[0])), repeat=spec.session_repeat,
                  reach=float(max(1, users)), load_over_time=series, moments=series, warmup_s=scenario.warmup,
                  work=items, items=items, work_cv=max(model.service_law.cv or 0.0 for model in models),
                  dispersion=1.0, gap_cv2=1.0, users=float(users), is_steady=False, ranks="unknown", least_part=0.0)


# ---- traces


def _of_trace(scenario: Scenario, spec: WorkloadSpec, models: list[WorkloadModel], window_s: float) -> Demand:
    assert spec.trace is not None
    counted = _Counted(scenario, spec, models)
    edges = counted.edges
    thin, length = spec.trace.thin, np.diff(edges)
    per_piece = counted.counts * thin
    begin_s, window_s = _busiest(edges, per_piece.sum(axis=0) / length, window_s)
    inside = (edges[:-1] >= begin_s - 1e-6) & (edges[1:] <= begin_s + window_s + 1e-6)
    requests = np.maximum(1, counted.counts.sum(axis=1))
    repeat, reach = sessions_of(counted.sequence)
    return Demand(
        rates_rps=per_piece.sum(axis=1) / length.sum(), busiest_start_s=begin_s,
        busiest_rps=per_piece[:, inside].sum(axis=1) / window_s, busiest_window_s=window_s, repeat=repeat, reach=reach,
        load_over_time=(edges, per_piece.sum(axis=0) / length), moments=(counted.fine_edges, counted.fine * thin /
                                                                          np.diff(counted.fine_edges)),
        warmup_s=scenario.warmup, work=counted.work / requests, items=counted.items / requests,
        work_cv=counted.work_cv, dispersion=1 - thin, gap_cv2=counted.gap_cv2 * thin + 1 - thin,
        users=0.0, is_steady=False, ranks="known", least_part=1.0)


class _Counted:
    """One reading of the trace: requests by model and piece, work, the sequence of models."""

    def __init__(self, scenario: Scenario, spec: WorkloadSpec, models: list[WorkloadModel]) -> None:
        assert spec.trace is not None
        n, begin_ns = len(models), ns(spec.start_s)
        pieces = max(1, min(PIECES, int(MAX_TABLE / n)))
        length_s = duration_s(scenario) - scenario.warmup
        fine = int(np.clip(length_s / FINE_S, 1, FINE_PIECES))
        self.edges, self.fine_edges = _edges(scenario, pieces), _edges(scenario, fine)
        self.counts, self.fine = np.zeros((n, pieces)), np.zeros(fine)
        self.work, self.items, squares = np.zeros(n), np.zeros(n), np.zeros(n)
        sequence: list[NDArray[np.int32]] = []
        some, laws = wanted(spec, models), np.array([model.service_law.cv or 0.0 for model in models])
        for whole in cut(trace_requests(spec.trace, models, spec.items, scenario.seed), begin_ns,
                         begin_ns + ns(duration_s(scenario))):
            chunk = whole[some[whole.model] & (whole.t_ns >= ns(scenario.warmup))]
            at_s = chunk.t_ns / NS_PER_S - scenario.warmup
            model, piece = chunk.model.astype(np.int64), np.minimum(at_s * pieces / length_s, pieces - 1).astype(int)
            self.counts += np.bincount(model * pieces + piece, minlength=n * pieces).reshape(n, pieces)
            self.fine += np.bincount(np.minimum(at_s * fine / length_s, fine - 1).astype(int), minlength=fine)
            relative = np.where(chunk.work_q16 > 0, chunk.work_q16 / WORK_ONE, 1.0)
            work = chunk.items * relative
            self.work += np.bincount(model, work, n)
            self.items += np.bincount(model, chunk.items, n)
            squares += np.bincount(model, work**2, n)
            if sum(map(len, sequence)) < CORRELATED:
                sequence.append(chunk.model)
        self.gap_cv2 = _local_dispersion(self.fine)
        self.sequence = np.concatenate(sequence or [np.zeros(0, np.int32)])[:CORRELATED]
        requests = np.maximum(1, self.counts.sum(axis=1))
        mean = np.where(self.work > 0, self.work / requests, 1.0)  # a model that nobody asks for has no spread
        recorded = np.sqrt(np.maximum(0.0, squares / requests / mean**2 - 1)).max(initial=0.0)
        self.work_cv = float(max(recorded, laws.max(initial=0.0)))


def _local_dispersion(counts: Floats) -> float:
    """Variance over mean of counts, by the differences of neighbours, so that slow changes of the rate do not count."""
    mean = float(counts.mean())
    return float((np.diff(counts) ** 2).mean()) / (2 * mean) if mean and len(counts) > 1 else 1.0


def sessions_of(sequence: NDArray[np.int32]) -> tuple[float, float]:
    """(repeat, reach) with which requests come back as they do in a sequence of models."""
    if len(sequence) < 2:
        return 0.0, 1.0
    counts = np.bincount(sequence)
    shares = counts[counts > 0] / len(sequence)
    ways = 2.0 ** np.arange(int(np.log2(min(CLOSE_TOGETHER, len(sequence)))))
    before = previous(sequence)
    back = np.where(before == FIRST, np.inf, np.arange(len(sequence)) - before)
    found = np.array([(back > way).mean() for way in ways])
    clusters = np.concatenate(([0.0], np.geomspace(0.1, ways[-1], 200)))
    absent = np.array([shares @ (1 - shares) ** number for number in clusters])  # exact, where one model has much

    def error(repeat: float, reach: float) -> float:
        sessions = Sessions(repeat, reach)
        away = sessions.heads(ways) * np.interp(sessions.clusters_in(ways), clusters, absent)
        return float(((away - found) ** 2).sum())

    best = min((error(repeat, reach), repeat, reach) for repeat in REPEATS for reach in REACHES)
    return float(best[1]), float(best[2]) if best[1] else 1.0
