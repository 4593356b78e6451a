"""What a reader gives: the points of one file (or of files that belong together), and remarks about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mmesim.profile.points import OperatingPoint


@dataclass(frozen=True, slots=True)
class Reading:
    """The points of one source. Two readings may hold the same measurement, one reading never holds it twice."""

    path: Path
    kind: str
    """``Model Analyzer CSV``, ``Model Analyzer checkpoint``, ..."""
    points: list[OperatingPoint]
    remarks: list[str] = field(default_factory=list)
    batch_known: bool = True
    """False: the file does not tell the batch size of a request, and 1 is a guess."""


def source_name(path: Path) -> str:
    """A file as a point names it: with its folder, since tools call them all alike."""
    return "/".join(part for part in path.parts[-2:] if part != path.anchor)


@dataclass(frozen=True, slots=True)
class GpuUse:
    """What was measured of one GPU."""

    uuid: str
    used_bytes: int | None = None
    utilization: float | None = None


def fullest(uses: list[GpuUse]) -> GpuUse:
    """The GPU that stands for a run on several: the one with most memory in use."""
    return max(uses, key=lambda use: use.used_bytes or 0, default=GpuUse(""))
