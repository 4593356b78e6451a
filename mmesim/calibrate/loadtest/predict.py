"""The whole load test: calibrate on its beginning, simulate all of it, set predicted beside measured.

Nothing of the polls beyond the calibration is used but their times. The whole procedure is repeated with several seeds,
calibration included, and the predictions are averaged: their spread shows what the first polls leave open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmesim.calibrate.loadtest.endpoint import Latencies, LoadTest, endpoint
from mmesim.calibrate.loadtest.fit import Fitted, fit_timing, hypotheses, warming_up
from mmesim.calibrate.loadtest.locust import QUANTILES, percentiles_ms
from mmesim.calibrate.loadtest.memory import Memory, calibrate_memory
from mmesim.calibrate.loadtest.tables import Measured, Poll
from mmesim.catalog import load_catalog
from mmesim.errors import InputError, Problem
from mmesim.parallel import side_by_side
from mmesim.units import ns
from mmesim.workload.clients import staged_users
from mmesim.workload.types import StageSpec

SETUP_S = 0.08
"""CPU time of one user's start: a boto3 session and client take 55 to 100 ms (measured, boto3 on Python 3.11)."""
STAGES = tuple(StageSpec(until_s, users, rate) for until_s, users, rate in (
    (30, 10, 5), (60, 20, 1), (90, 40, 2), (120, 60, 2), (150, 80, 2), (180, 100, 2), (210, 120, 2), (240, 140, 2),
    (270, 160, 2), (300, 180, 2), (340, 200, 2)))
"""locust_benchmark_sm.py of aws-samples/sagemaker-mme-gpu-benchmarking @ebcfe11."""
WAIT_S = (0.05, 0.5)
"""Its wait_time = between(0.05, 0.5)."""
FIGURES = ("rps", "mean_ms", *(f"p{round(100 * q)}_ms" for q in QUANTILES), "max_ms", "failures")
LEAST_POLLS, LEAST_STEPS = 2, 2


@dataclass(frozen=True, slots=True)
class Settings:
    """How a load test was made, and how much of it may be used."""

    stages: tuple[StageSpec, ...] = STAGES
    wait_s: tuple[float, float] = WAIT_S
    instance_type: str | None = None
    processes: int | None = None
    calibrate_polls: int = 4
    calibrate_steps: int = 5
    seed: int = 1
    seeds: int = 3
    """Calibrations, each with a simulation of the whole ramp; the prediction is their mean."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One poll, figures as Locust reports them: cumulative."""

    poll: Poll
    users: int
    used: bool
    """For the calibration."""
    measured: dict[str, float]
    predicted: dict[str, float]
    spread: dict[str, float]
    """Standard deviation of the prediction between calibrations."""

    def error(self, figure: str) -> float | None:
        """Predicted over measured, less one; None where nothing was measured."""
        return self.predicted[figure] / self.measured[figure] - 1 if self.measured[figure] else None


@dataclass(frozen=True, slots=True)
class Result:
    """One model's load test."""

    measured: Measured
    instance_type: str
    memory: Memory
    fitted: tuple[Fitted, ...]
    """One a seed."""
    tried: tuple[tuple[Fitted, ...], ...]
    """What it was chosen from, before it was searched on."""
    warming_up: tuple[int, ...]
    """Calibration polls that were left out: something was not warm yet."""
    polls: tuple[Comparison, ...]

    def errors(self, figure: str) -> list[float]:
        """Relative errors at the polls that the calibration has not seen."""
        return [error for row in self.polls if not row.used and (error := row.error(figure)) is not None]


Tick = Callable[[int, int], None]
"""Told how many steps are done, of how many."""


def load_test(measured: Sequence[Measured], settings: Settings, tick: Tick = lambda done, total: None) -> list[Result]:
    """Calibrate and predict each model. Raises InputError."""
    tests = [_test(each, settings) for each in measured]
    tried = hypotheses(settings.processes)
    known = [(test, each.polls[:settings.calibrate_polls]) for each, test in zip(measured, tests, strict=True)]
    cases = [(*case, settings.seed + n) for case in known for n in range(settings.seeds)]
    steps = len(cases) * (len(tried) + 1)
    fits = side_by_side(_search, [(test, polls, hypothesis, seed) for test, polls, seed in cases
                                  for hypothesis in tried],
                        done=lambda done: tick(done, steps))
    groups = [tuple(fits[n:n + len(tried)]) for n in range(0, len(fits), len(tried))]
    firsts = [min(group, key=lambda fitted: fitted.cost) for group in groups]
    bests = side_by_side(_search, [(test, polls, first.hypothesis, seed, first.timing)
                                   for (test, polls, seed), first in zip(cases, firsts, strict=True)],
                         done=lambda done: tick(len(fits) + done, steps))
    return [_predicted(each, test, settings, bests[n:n + settings.seeds], groups[n:n + settings.seeds])
            for n, each, test in zip(range(0, len(cases), settings.seeds), measured, tests, strict=True)]


def _search(arguments: tuple[Any, ...]) -> Fitted:
    return fit_timing(*arguments)


def _test(measured: Measured, settings: Settings) -> LoadTest:
    """What is known beforehand. Raises InputError when there is too little to calibrate on, or to judge by."""
    kind = load_catalog()[settings.instance_type or measured.instance_type]
    if kind.gpu is None:
        raise InputError(Problem(f"{kind.name} has no GPU", hint="name the measured type with --instance-type"))
    known = {"polls": (settings.calibrate_polls, LEAST_POLLS, len(measured.polls) - 1),
             "memory steps": (settings.calibrate_steps, LEAST_STEPS, len(measured.memory_pct))}
    for what, (wanted, least, most) in known.items():
        if not least <= wanted <= most:
            raise InputError(Problem(f"{measured.name}: {wanted} {what} to calibrate on",
                                     hint=f"{least} to {most} are possible: what is left is judged"))
    return LoadTest(kind.name, kind.gpu, measured.copies, settings.stages, settings.wait_s, 1, SETUP_S)


def _predicted(measured: Measured, test: LoadTest, settings: Settings, fitted: Sequence[Fitted],
               tried: Sequence[tuple[Fitted, ...]]) -> Result:
    runs = [_run(replace(test, processes=each.hypothesis.processes), each, measured.polls[-1].time_s, settings.seed + n)
            for n, each in enumerate(fitted)]
    memory = calibrate_memory(measured.memory_pct[:settings.calibrate_steps], measured.engine,
                              load_catalog()[test.instance_type])
    used = measured.polls[:settings.calibrate_polls]
    return Result(measured, test.instance_type, memory, tuple(fitted), tuple(tried), tuple(warming_up(used)),
                  tuple(_compared(poll, n < len(used), settings, runs) for n, poll in enumerate(measured.polls)))


def _run(test: LoadTest, fitted: Fitted, until_s: float, seed: int) -> Latencies:
    with endpoint(test, until_s) as simulated:
        return simulated.run(fitted.timing, seed)


def _compared(poll: Poll, used: bool, settings: Settings, runs: Sequence[Latencies]) -> Comparison:
    figures = np.array([_figures(run, poll.time_s) for run in runs])
    measured = (poll.rps, poll.mean_ms, *poll.quantiles_ms, poll.max_ms, poll.failures)
    start_ns, stop_ns = staged_users(settings.stages)
    now = ns(poll.time_s)
    return Comparison(poll, int(((start_ns <= now) & (stop_ns > now)).sum()), used,
                      dict(zip(FIGURES, map(float, measured), strict=True)),
                      dict(zip(FIGURES, figures.mean(axis=0).tolist(), strict=True)),
                      dict(zip(FIGURES, figures.std(axis=0).tolist(), strict=True)))


def _figures(run: Latencies, until_s: float) -> list[float]:
    """As Locust's statistics would show them then."""
    here = run.end_s <= until_s
    latency_ms = run.latency_ms[here]
    if not len(latency_ms):
        return [0.0] * len(FIGURES)
    return [len(latency_ms) / until_s, latency_ms.mean(), *percentiles_ms(latency_ms), latency_ms.max(),
            run.failed[here].sum()]


def as_rows(result: Result) -> list[dict[str, Any]]:
    """The comparison as plain data, poll by poll."""
    return [{"poll": row.poll.number, "time_s": round(row.poll.time_s, 1), "users": row.users, "calibration": row.used,
             **{figure: {"predicted": round(row.predicted[figure], 3), "measured": row.measured[figure],
                         "error": _rounded(row.error(figure)), "between_seeds": round(row.spread[figure], 3)}
                for figure in FIGURES}} for row in result.polls]


def summary(result: Result) -> dict[str, dict[str, float]]:
    """Worst and median error of each figure, over the polls that the calibration has not seen."""
    found = {figure: result.errors(figure) for figure in FIGURES}
    return {figure: {"worst": round(max(errors, key=abs), 4), "median": round(float(np.median(np.abs(errors))), 4)}
            for figure, errors in found.items() if errors}


def _rounded(error: float | None) -> float | None:
    return None if error is None else round(error, 4)
