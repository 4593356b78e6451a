"""How a policy came to its decision: kept when somebody wants to explain a run (the journal), else not made at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

ROWS = 6
"""Candidates kept of one decision: the victims, then those that the policy's own keys put next. (More would cost more
than the decision itself.)"""


@dataclass(frozen=True, slots=True)
class EvictionDecision:
    """Victims were named, or too few of them."""

    instance: int
    on_disk: bool
    """True: files on the disk; False: copies in memory."""
    wanted_by: int
    """The model that lacks room."""
    need_bytes: int
    offered: int
    """Candidates there were; the columns hold at most `ROWS` of them."""
    victims: tuple[int, ...]
    held_back: tuple[int, ...]
    """READY copies that were no candidates: busy or pinned. (For the disk: not kept.)"""
    columns: Mapping[str, Sequence[float]]
    """Of each candidate kept: what the policy told (`Candidates.tell`), ``model``, ``last_use_ns`` and ``uses``."""


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """Autoscaling policies had opinions."""

    wishes: Mapping[str, int | None]
    """Instances wanted, by policy (``0 target_tracking``); None: no opinion."""
    desired: int
    """Before."""
    wanted: int
    """After the bounds."""


Decision: TypeAlias = EvictionDecision | ScalingDecision
