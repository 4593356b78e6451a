"""One scale for values of a target before and after: in its own unit, or over the limit where targets differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mmesim.report.figures import latency_scale
from mmesim.report.plan.words import amount, target_title, unit_of
from mmesim.report.theme import colour, shorten
from mmesim.report.wording import number
from mmesim.results.plan import Plan

LOG_FROM = 6.0
"""Largest over smallest value from which on latencies stand on a logarithmic scale."""


@dataclass(frozen=True)
class Scale:
    """How values of some targets are put on one axis."""

    plan: Plan
    target: str
    """The one that all rows have; empty: they differ, and values are multiples of their limits."""

    @classmethod
    def of(cls, plan: Plan, targets: Iterable[str]) -> Scale:
        """For rows with these targets."""
        different = set(targets)
        return cls(plan, different.pop() if len(different) == 1 else "")

    def at(self, target: str, value: float | None) -> float | None:
        """Where a value stands; None: nowhere."""
        if value is None or self.target:
            return value
        limit = limit_of(self.plan, target)
        return value / limit if limit else None

    @property
    def limit(self) -> float | None:
        """Where the limit stands."""
        return limit_of(self.plan, self.target) if self.target else 1.0

    def text(self, value: float) -> str:
        """A position as text."""
        return amount(value, unit_of(self.target)) if self.target else f"{number(value)} ×"

    @property
    def title(self) -> str:
        """Of the axis."""
        return target_title(self.target) if self.target else "multiple of the limit"

    def finish(self, axes: Any, values: Sequence[float | None], room: float) -> None:
        """Limits, marks, title and the line of the objective; `room`: free at the right, as part of the width."""
        known = [value for value in (*values, self.limit) if value is not None] or [1.0]
        low, high = min(known), max(known)
        logarithmic = low > 0 and high > LOG_FROM * low
        if logarithmic:
            axes.set_xlim(low / (high / low) ** 0.06, high * (high / low) ** room)
            self._by_factors(axes)
        else:
            span = (high - low) or abs(high) or 1.0
            axes.set_xlim(low - 0.06 * span, high + room * span)
            axes.locator_params(axis="x", nbins=6)
            axes.xaxis.set_major_formatter(lambda value, _: self.text(value) if value > -1e-12 else "")
        axes.set_xlabel(shorten(self.title, 70))
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        if self.limit is not None:
            self._limit_line(axes)

    def _by_factors(self, axes: Any) -> None:
        latency_scale(axes.xaxis, axes)
        if unit_of(self.target) != "ms" or not self.target:
            axes.xaxis.set_major_formatter(lambda value, _: self.text(value))

    def _limit_line(self, axes: Any) -> None:
        axes.axvline(self.limit, color=colour("ink"), lw=1.1, ls=(0, (5, 3)), zorder=2)
        text = f"limit {self.text(self.limit or 0.0)}" if self.target else "limit"
        axes.annotate(text, (self.limit, 1), (0, 4), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
                      ha="center", fontsize=8, color=colour("ink"), annotation_clip=False)


def limit_of(plan: Plan, target: str) -> float | None:
    """The objective's limit on a target, or on the same target in a run with a loss."""
    if target in plan.objective:
        return plan.objective[target]
    return next((each.limit for each in plan.survival if each.name == target), None)
