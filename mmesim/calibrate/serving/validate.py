"""How well a fit predicts the points it has not seen, row by row.

Regimes follow the saturation point of operational analysis, N* = X_max · R_min (Denning and Buzen, "The operational
analysis of queueing network models", ACM Computing Surveys 1978): rows *below* the knee have a concurrency under
0.75 N*, rows *past* it one over 1.5 N*, the others are *at* it. X_max and R_min are measured: regimes sort results, no
fit sees them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmesim.calibrate.serving.fit import ServingFit
from mmesim.calibrate.serving.fitting import fit_model
from mmesim.calibrate.serving.groups import Group, setting
from mmesim.calibrate.serving.window import counted_part, counts_whole_requests_only
from mmesim.profile.points import OperatingPoint

BELOW, PAST = 0.75, 1.5
REGIMES = ("below", "at", "past")
FIGURES = ("throughput", "latency", "p95")


@dataclass(frozen=True, slots=True)
class Row:
    """One judged point: measured beside predicted."""

    group: str
    point: OperatingPoint
    regime: str
    throughput_per_s: float
    latency_s: float
    p95_s: float

    def error(self, figure: str) -> float | None:
        """Predicted over measured, less 1; None where it was not measured."""
        measured, predicted = {"throughput": (self.point.throughput_per_s, self.throughput_per_s),
                               "latency": (self.point.latency_s, self.latency_s),
                               "p95": (self.point.p95_s, self.p95_s)}[figure]
        return predicted / measured - 1 if measured else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON; latencies in ms."""
        p = self.point
        measured = {"throughput_inf_per_s": p.throughput_per_s, "latency_avg_ms": _ms(p.latency_s),
                    "p95_ms": _ms(p.p95_s)}
        predicted = {"throughput_inf_per_s": self.throughput_per_s, "latency_avg_ms": _ms(self.latency_s),
                     "p95_ms": _ms(self.p95_s)}
        return {"group": self.group, "concurrency": p.concurrency, "batch_size": p.batch_size, "grade": p.grade,
                "regime": self.regime, "measured": measured, "predicted": predicted,
                "error": {name: self.error(name) for name in FIGURES}, "source": p.source, "at": p.at}


@dataclass(frozen=True)
class Judged:
    """A group, its fit, and its rows."""

    group: Group
    fit: ServingFit
    rows: tuple[Row, ...]


def judge(group: Group) -> Judged:
    """Fit to what the group gives, and predict the rest."""
    fit = fit_model(group).fit
    assert fit is not None, group.name
    windowed = counts_whole_requests_only(group.seen)
    return Judged(group, fit, tuple(_row(group, fit, point, windowed) for point in group.judged))


def _row(group: Group, fit: ServingFit, point: OperatingPoint, windowed: bool) -> Row:
    assert point.concurrency
    seen = fit.at(point.concurrency, setting(point))
    counted = counted_part(seen.latency_s) if windowed else 1.0
    return Row(group.name, point, regime(group, point), seen.request_rps * point.batch_size * counted, seen.latency_s,
               seen.p95_s)


def regime(group: Group, point: OperatingPoint) -> str:
    """``below``, ``at`` or ``past`` the knee of the group's measured points."""
    assert point.concurrency
    peak_rps = max((p.throughput_per_s or 0.0) / p.batch_size for p in group.loaded)
    knee = peak_rps * min(p.latency_s for p in group.loaded if p.latency_s)
    return "below" if point.concurrency < BELOW * knee else "past" if point.concurrency > PAST * knee else "at"


def summary(rows: Iterable[Row]) -> dict[str, Any]:
    """Number of rows; median and 90th percentile of the absolute errors, and the median signed one, of each figure."""
    rows = list(rows)
    found: dict[str, Any] = {"rows": len(rows)}
    for name in FIGURES:
        errors = np.array([error for row in rows if (error := row.error(name)) is not None])
        found[name] = None if not len(errors) else {
            "rows": len(errors), "median": float(np.median(abs(errors))), "p90": float(np.quantile(abs(errors), 0.9)),
            "bias": float(np.median(errors))}
    return found


def by_regime(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """The summary of each regime that occurs."""
    rows = list(rows)
    found = {name: [row for row in rows if row.regime == name] for name in REGIMES}
    return {name: summary(some) for name, some in found.items() if some}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
