"""A past: the requests that came, and what was recorded of them and of the endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.planner.history.evidence import Evidence
from mmesim.units import format_duration
from mmesim.workload.importing.importer import MINUTE_NS
from mmesim.workload.importing.rows import Counts, Requests

TOTAL = ""
"""Model of a count that is of the whole endpoint."""


@dataclass(frozen=True)
class Past:
    """What was recorded, from its time 0 on."""

    kind: str
    """``live journal``, ``run``, ``live run``, ``requests``, ``counts per minute``, ``totals per minute``."""
    where: str
    rows: Requests | Counts
    """What is simulated again; in order of time."""
    evidence: Evidence
    end_ns: int
    begins_unix_ns: int | None = None
    """The wall clock at time 0; None: nobody wrote it down."""
    shares: Mapping[str, float] | None = None
    """Of totals: the share of each model in the requests; None: unknown."""
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def is_counts(self) -> bool:
        """Nothing finer than a minute is known of when requests came."""
        return isinstance(self.rows, Counts)

    @property
    def is_totals(self) -> bool:
        """Which model a request was for is not known."""
        return isinstance(self.rows, Counts) and bool((self.rows.model == TOTAL).all())

    @property
    def models(self) -> list[str]:
        """Names that were asked for, sorted."""
        return sorted({str(name) for name in np.unique(self.rows.model.astype(str))} - {TOTAL})

    def cut(self, since_ns: int, until_ns: int) -> Past:
        """The part [since, until), which begins at 0. Raises InputError when no request is in it."""
        if self.is_counts:
            since_ns -= since_ns % MINUTE_NS
        rows = _moved(self.rows, since_ns, min(until_ns, self.end_ns))
        if not len(rows.t_ns):
            raise InputError(Problem(
                f"no request was recorded between {format_duration(since_ns / 1e9)} and "
                f"{format_duration(until_ns / 1e9)}", file=self.where,
                hint=f"the past goes from 0 to {format_duration(self.end_ns / 1e9)}: see --from, --to, --last"))
        begins = None if self.begins_unix_ns is None else self.begins_unix_ns + since_ns
        return replace(self, rows=rows, evidence=self.evidence.moved(-since_ns), begins_unix_ns=begins,
                       end_ns=min(until_ns, self.end_ns) - since_ns)

    def with_evidence(self, more: Evidence, *notes: str) -> Past:
        """Further tracks; what was there already stays."""
        tracks = {**more.tracks, **self.evidence.tracks}
        return replace(self, evidence=replace(self.evidence, tracks=tracks), notes=(*self.notes, *notes))


def _moved(rows: Requests | Counts, since_ns: int, until_ns: int) -> Requests | Counts:
    inside = (rows.t_ns >= since_ns) & (rows.t_ns < until_ns)
    t_ns, model = rows.t_ns[inside] - since_ns, rows.model[inside]
    if isinstance(rows, Counts):
        return Counts(t_ns, model, rows.count[inside])
    return Requests(t_ns, model, {name: column[inside] for name, column in rows.more.items()})
