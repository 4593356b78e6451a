"""From what a journal tells to numbers that a simulation needs. All are means or medians of the journal's own times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace

import numpy as np
from numpy.typing import NDArray

from mmesim.calibrate.shadow.observed import Observed

FEW = 5
"""Times of one model from which its own are used; below, those of all models."""
AT_ONCE = (1, 2, 3, 4, 6, 8, 12, 16)
"""Requests that a copy may serve at once."""
USUAL_S = {"service": 0.01, "load": 1.0, "download": 0.5, "unload": 0.1, "start": 1.0}
"""Where the journal tells nothing at all (assumed)."""


@dataclass(frozen=True)
class Fitted:
    """Times in seconds."""

    service_s: Mapping[int, float]
    """Of one request alone, by model."""
    spread: Sequence[float]
    """Times of single requests over their model's, of all models."""
    at_once: int
    """Requests that a copy serves side by side; others wait."""
    first_s: float
    """What the first request after a load takes longer."""
    load_s: Mapping[int, float]
    load_cv: float
    download_fixed_s: float
    download_s_per_byte: float
    download_cv: float
    unload_s: float
    start_s: float
    """Of an instance."""


def fit(seen: Observed) -> Fitted:
    """Needs nothing: what the journal does not tell is assumed (`USUAL_S`)."""
    models = range(len(seen.specs))
    service_s, load_s = by_model(seen.alone_s, models, "service"), by_model(seen.load_s, models, "load")
    fixed_s, per_byte_s, cv = _download(seen)
    firsts = [max(0.0, s - service_s[model]) for model, times in seen.first_s.items() for s in times]
    return Fitted(
        service_s, _relative(seen.alone_s, service_s), _at_once(seen, service_s),
        float(np.median(firsts)) if firsts else 0.0, load_s, float(np.std(_relative(seen.load_s, load_s))),
        fixed_s, per_byte_s, cv, _mean(_all(seen.unload_s), "unload"), _mean(seen.start_s, "start"))


def by_model(times_s: Mapping[int, Sequence[float]], models: Iterable[int], kind: str) -> dict[int, float]:
    """The mean of each model, where it has a few times, else that of all."""
    usual_s = _mean(_all(times_s), kind)
    return {model: float(np.mean(times_s[model])) if len(times_s.get(model, ())) >= FEW else usual_s
            for model in models}


def _all(times_s: Mapping[int, Sequence[float]]) -> list[float]:
    return [s for times in times_s.values() for s in times]


def _mean(times_s: Sequence[float], kind: str) -> float:
    return float(np.mean(times_s)) if len(times_s) else USUAL_S[kind]


def _relative(times_s: Mapping[int, Sequence[float]], mean_s: Mapping[int, float]) -> list[float]:
    """Each time over its model's; [1] when there is none."""
    found = [s / mean_s[model] for model, times in times_s.items() if mean_s[model] > 0 for s in times]
    return found or [1.0]


def _download(seen: Observed) -> tuple[float, float, float]:
    """A fixed part, a part for each byte of the archive (neither below 0), and the spread of the rest."""
    rows = [(seen.specs[model].artifact_bytes, s) for model, times in seen.download_s.items() for s in times]
    if not rows:
        return USUAL_S["download"], 0.0, 0.0
    size, time_s = np.array(rows, float).T
    slope, fixed_s = np.polyfit(size, time_s, 1) if len(set(size)) > 1 else (0.0, float(time_s.mean()))
    if slope <= 0 or fixed_s <= 0:
        fixed_s, slope = (float(time_s.mean()), 0.0) if slope <= 0 else (1e-3, float(time_s.sum() / size.sum()))
    rest = time_s - size * slope - fixed_s
    return float(fixed_s), float(slope), float(np.std(rest) / fixed_s) if fixed_s > 1e-3 else 0.0


def _at_once(seen: Observed, service_s: Mapping[int, float]) -> int:
    """The number with which first come, first served, tells best how the time grows with the requests beside."""
    copies = [(round(service_s[model] * 1e9), sorted(times)) for (_, model), times in seen.served.items()]
    beside = [n for _, times in copies for n in _beside(times)]
    if not any(beside):
        return 1
    recorded = _by_company(beside, [over - released for _, times in copies for released, over in times])
    errors = []
    for at_once in AT_ONCE:
        foretold = [ns for service_ns, times in copies for ns in _fifo_ns(times, service_ns, at_once)]
        errors.append(float(np.abs(_by_company(beside, foretold) - recorded) @ np.bincount(beside)))
    return AT_ONCE[int(np.argmin(errors))]


def _beside(times: Sequence[tuple[int, int]]) -> Iterator[int]:
    """How many of the same copy were under way at each release."""
    under_way: list[int] = []
    for released_ns, over_ns in times:
        while under_way and under_way[0] <= released_ns:
            heappop(under_way)
        yield len(under_way)
        heappush(under_way, over_ns)


def _by_company(beside: Sequence[int], times_ns: Sequence[int]) -> NDArray[np.float64]:
    """Mean time by the number beside; 0 where there is none."""
    count = np.bincount(beside)
    return np.bincount(beside, weights=times_ns) / np.maximum(count, 1)


def _fifo_ns(times: Sequence[tuple[int, int]], service_ns: int, at_once: int) -> Iterator[int]:
    free_ns = [0] * at_once
    for released_ns, _ in times:
        end_ns = max(free_ns[0], released_ns) + service_ns
        heapreplace(free_ns, end_ns)
        yield end_ns - released_ns
