"""Sorts operating points into groups, each one model on one server configuration, and each group into given and judged.

A group is (model, backend, precision, GPU) and what the requests hold. Points with one request in flight (`alone`) give
S(b); of the points under load the two of lowest concurrency are given as well, since they alone show the network and
the front end, and the others are judged. Groups without points taken alone can be split by a fraction instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mmesim.calibrate.serving.timing import Setting
from mmesim.profile.points import OperatingPoint

GIVEN = 2
"""Loaded points of lowest concurrency that a fit may see."""


@dataclass(frozen=True)
class Group:
    """Points of one model on one server."""

    model: str
    backend: str
    precision: str
    gpu: str
    input: str
    alone: tuple[OperatingPoint, ...]
    """One request in flight, by batch size."""
    loaded: tuple[OperatingPoint, ...]
    """Closed loop with throughput and mean latency, by concurrency."""
    given: int = GIVEN
    """So many of `loaded` may be seen by a fit."""
    configuration: str = ""
    """What tells the group from others of the same model, where a model was measured in several."""

    @property
    def name(self) -> str:
        parts = (self.model, self.backend, self.precision, self.gpu, self.input, self.configuration)
        return "/".join(filter(None, parts))

    @property
    def seen(self) -> tuple[OperatingPoint, ...]:
        return self.loaded[:self.given]

    @property
    def judged(self) -> tuple[OperatingPoint, ...]:
        return self.loaded[self.given:]

    @property
    def whole_latency(self) -> bool:
        """S(b) is known as latency at the client only, network and client in it."""
        return any(point.compute_infer_s is None for point in self.alone)


def setting(point: OperatingPoint) -> Setting:
    """How the server of this point was configured; what is not stated is Triton's default."""
    batching = point.dynamic_batching is not False and bool(point.max_batch_size)
    return Setting(point.batch_size, point.instance_count or 1,
                   max(point.max_batch_size or 0, point.batch_size) if batching else point.batch_size,
                   point.preferred_batch_sizes)


def by_model(points: Iterable[OperatingPoint]) -> dict[tuple[str, ...], list[OperatingPoint]]:
    """(model, backend, precision, GPU, input) -> its points, in order of appearance."""
    found: dict[tuple[str, ...], list[OperatingPoint]] = {}
    for point in points:
        found.setdefault((*point.group, point.input), []).append(point)
    return found


def groups(points: Iterable[OperatingPoint], *, fit_fraction: float | None = None) -> list[Group]:
    """All groups that can be judged, in order of appearance.

    `fit_fraction`: groups without offline points are taken too; that part of their concurrencies, the lowest, is given.
    """
    found = by_model(points)
    made = [_group(key, rows) for key, rows in found.items()]
    kept = [group for group in made if group.alone and group.judged]
    if fit_fraction is not None:
        for key, rows in found.items():
            if not any(row.scenario == "offline" for row in rows):
                kept += _by_fraction(key, rows, fit_fraction)
    return kept


def _group(key: Sequence[str], rows: Sequence[OperatingPoint]) -> Group:
    alone = [row for row in rows if row.scenario == "offline" and (row.compute_s or row.latency_s)]
    loaded = [row for row in rows if row.scenario == "online" and is_closed_loop(row)]
    return Group(*key, alone=tuple(sorted(alone, key=_batch)), loaded=tuple(sorted(loaded, key=_concurrency)))


def _by_fraction(key: Sequence[str], rows: Sequence[OperatingPoint], fraction: float) -> list[Group]:
    """One group for each configuration and batch size: its lowest concurrencies are given.

    S(b) is of the points with one request in flight, of all batch sizes of the configuration (each is the lowest of its
    own group), or else of the lowest point.
    """
    settings: dict[tuple[str, Setting, str], list[OperatingPoint]] = {}
    for row in rows:
        if is_closed_loop(row):
            settings.setdefault((row.variant, setting(row), row.scenario), []).append(row)
    made = []
    for (variant, at, _), same in settings.items():
        same.sort(key=_concurrency)
        given = max(1, math.floor(fraction * len(same)))
        if given < len(same) and _concurrency(same[0]) < _concurrency(same[-1]):
            text = ", ".join(filter(None, (variant, f"instances={at.instance_count}", f"max batch={at.max_batch_size}",
                                           f"batch={at.items}")))
            alone = [row for (_, there, _), some in settings.items() for row in some if row.concurrency == 1
                     and (there.instance_count, there.max_batch_size) == (at.instance_count, at.max_batch_size)]
            made.append(Group(*key, alone=tuple(sorted(alone or same[:1], key=_batch)), loaded=tuple(same), given=given,
                              configuration=text))
    return made


def is_closed_loop(row: OperatingPoint) -> bool:
    """Whether the row tells throughput and mean latency of one model, alone, at a concurrency."""
    return bool(row.concurrency and row.throughput_per_s and row.latency_s) and not row.co_located


def _batch(row: OperatingPoint) -> int:
    return row.batch_size


def _concurrency(row: OperatingPoint) -> int:
    return row.concurrency or 0
