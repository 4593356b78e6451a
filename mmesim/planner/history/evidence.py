"""What is known of a stretch of time, recorded or simulated: requests one by one, and numbers of pieces of the time.

A *track* is one number over time, in pieces: CloudWatch's points, the rows of a run's series, loads of a journal. How
pieces become one number depends on what they are:

* ``sum``: added up, a piece that lies partly outside in proportion;
* ``mean``: by the time of each piece;
* ``by requests``: by the requests that came within each piece (averages and ratios of requests);
* ``each``: quantiles cannot be put together; their number is the plain mean over the pieces that lie inside. What it is
  compared to is made in the same way, of the same pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from mmesim.planner.history.answers import Answers, Floats, Ints

Kind = Literal["sum", "mean", "by requests", "each"]
REQUESTS = "requests"
"""The track that counts them, where they are not known one by one."""


@dataclass(frozen=True)
class Track:
    """One number over time; nothing unknown in it."""

    kind: Kind
    start_ns: Ints
    end_ns: Ints
    """Of each piece; equal to its start: an instant."""
    value: Floats

    @classmethod
    def of(cls, kind: Kind, start_ns: Ints, end_ns: Ints, value: Floats) -> Track:
        """The pieces whose value is known, in order of time."""
        order = np.argsort(start_ns, kind="stable")
        order = order[~np.isnan(value[order])]
        return cls(kind, start_ns[order], end_ns[order], value[order])

    @property
    def period_ns(self) -> int:
        """How long its pieces are; the median, where they differ."""
        return int(np.median(self.end_ns - self.start_ns)) if len(self.value) else 0

    def moved(self, by_ns: int) -> Track:
        """The same, so much later."""
        return replace(self, start_ns=self.start_ns + by_ns, end_ns=self.end_ns + by_ns)

    def overlap_ns(self, since_ns: int, until_ns: int) -> Floats:
        """How much of each piece lies in [since, until)."""
        return np.clip(np.minimum(self.end_ns, until_ns) - np.maximum(self.start_ns, since_ns), 0, None).astype(float)

    def total(self, since_ns: int, until_ns: int) -> float:
        """The sum over [since, until)."""
        length = self.end_ns - self.start_ns
        instant = (length == 0) & (self.start_ns >= since_ns) & (self.start_ns < until_ns)
        share = np.where(instant, 1.0, self.overlap_ns(since_ns, until_ns) / np.maximum(length, 1))
        return float(self.value @ share)

    def inside(self, since_ns: int, until_ns: int) -> Track:
        """The pieces that lie wholly in [since, until)."""
        rows = (self.start_ns >= since_ns) & (self.end_ns <= until_ns)
        return Track(self.kind, self.start_ns[rows], self.end_ns[rows], self.value[rows])


@dataclass(frozen=True)
class Evidence:
    """All that is known."""

    answers: Answers | None = None
    """None: requests are not known one by one."""
    tracks: Mapping[str, Track] = field(default_factory=dict)
    """By the name of the number (:mod:`mmesim.planner.history.numbers`)."""

    def moved(self, by_ns: int) -> Evidence:
        """The same, so much later."""
        return Evidence(self.answers and self.answers.moved(by_ns),
                        {name: track.moved(by_ns) for name, track in self.tracks.items()})

    def requests(self, since_ns: int, until_ns: int) -> float | None:
        """How many came in [since, until); None: nobody counted."""
        if self.answers is not None:
            return float(np.diff(np.searchsorted(self.answers.t_ns, (since_ns, until_ns)))[0])
        return self.tracks[REQUESTS].total(since_ns, until_ns) if REQUESTS in self.tracks else None

    def of_track(self, name: str, since_ns: int, until_ns: int) -> float | None:
        """A track's number over [since, until); None: nothing is known of that time."""
        track = self.tracks.get(name)
        if track is None:
            return None
        if track.kind == "each":
            values = track.inside(since_ns, until_ns).value
            return float(values.mean()) if len(values) else None
        overlap_ns = track.overlap_ns(since_ns, until_ns)
        if track.kind == "sum":
            return track.total(since_ns, until_ns)
        weight = overlap_ns if track.kind == "mean" else self._requests_in(track, since_ns, until_ns)
        return float(track.value @ weight / weight.sum()) if weight.sum() > 0 else None

    def _requests_in(self, track: Track, since_ns: int, until_ns: int) -> Floats:
        """How many came within each piece of a track and [since, until)."""
        begin, end = np.clip(track.start_ns, since_ns, until_ns), np.clip(track.end_ns, since_ns, until_ns)
        return np.maximum(0.0, self._came_until(end) - self._came_until(begin))

    def _came_until(self, t_ns: Ints) -> Floats:
        if self.answers is not None:
            return np.searchsorted(self.answers.t_ns, t_ns).astype(float)
        counts = self.tracks[REQUESTS]
        times = np.concatenate([counts.start_ns[:1], counts.end_ns])
        return np.interp(t_ns, times, np.concatenate([[0.0], np.cumsum(counts.value)]))
