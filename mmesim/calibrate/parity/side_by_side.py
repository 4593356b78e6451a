"""A live run and a simulated one of the same scenario, figure by figure, against what parity asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mmesim.live.timings import Timings

POINTS, RELATIVE = "points", "relative"
FEW = 20
"""A percentile of fewer requests is shown, and not judged."""


@dataclass(frozen=True)
class Figure:
    """One row: live and simulated; `within` is the aim (None: shown only), met or not."""

    name: str
    unit: str
    live: float | None
    simulated: float | None
    aim: float | None = None
    kind: str = RELATIVE

    @property
    def difference(self) -> float | None:
        """Simulated against live: percentage points, or a share of the live value."""
        if self.live is None or self.simulated is None:
            return None
        if self.kind == POINTS:
            return self.simulated - self.live
        return (self.simulated - self.live) / self.live if self.live else (0.0 if not self.simulated else None)

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None: there is none, or nothing to judge."""
        if self.aim is None or (self.live is None and self.simulated is None):
            return None
        return self.difference is not None and abs(self.difference) <= self.aim

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "difference": self.difference, "met": self.met}


def figures(live: Mapping[str, Any], simulated: Mapping[str, Any], done: Timings) -> list[Figure]:
    """Summaries of both runs, and what the live endpoint did."""
    residency = simulated["residency"]
    rows = [
        Figure("requests", "", live["requests"]["invocations"], simulated["requests"]["invocations"]),
        Figure("throughput", "/s", _rate(live), _rate(simulated)),
        Figure("errors", "%", 100 * live["requests"]["error_rate"], 100 * simulated["requests"]["error_rate"],
               kind=POINTS),
        Figure("hit ratio", "%", _percent(live), _percent(simulated), aim=1.0, kind=POINTS),
        Figure("loads", "", done.loads, residency["loads"], aim=0.03),
        Figure("evictions", "", done.evictions, residency["evictions"]),
        Figure("downloads", "", done.downloads, residency["downloads"])]
    for part, aims in (("all", {"p50": 0.05, "p99": 0.10}), ("warm", {}), ("cold", {})):
        enough = min(live["latency"][part]["count"], simulated["latency"][part]["count"]) >= FEW
        rows += [Figure(f"{part} {name}", "ms", live["latency"][part][name], simulated["latency"][part][name],
                        aim=aims.get(name) if enough else None) for name in ("p50", "p90", "p99")]
    return rows


def _rate(summary: Mapping[str, Any]) -> float:
    completions: int = summary["requests"]["completions"]
    return completions / summary["run"]["measured_s"]


def _percent(summary: Mapping[str, Any]) -> float | None:
    ratio = summary["cache"]["hit_ratio"]
    return None if ratio is None else 100 * ratio
