"""How many copies fit: from the first memory steps to a number.

The run that was measured loads copies one after another and stops as soon as one more copy *of the average size so
far* (base included) would reach the threshold (cv-benchmark.ipynb of aws-samples/sagemaker-mme-gpu-benchmarking, "Load
PyTorch Models into Endpoint"). The same is done here with the simulator's own ledger, filled with calibrated sizes.

Sizes: the first copy brings the idle server and the framework along, each further one the mean growth of the steps
that are known. PyTorch takes device memory for tensors of 1 to 10 MB in segments of 20 MiB that its models share
(c10/cuda/CUDACachingAllocator.cpp: kLargeBuffer), so memory grows by a segment more at some copies than at others.
Where m known steps show no such jump, the mean growth lacks a part that no step has shown yet: a copy needs u of a
further segment, u is anywhere in [0, 20 MiB), and no jump in m steps has the probability 1 - m·u/20 MiB; the mean of u
is then 20 MiB / 3m. With a jump among the steps their mean is right as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmesim.catalog import InstanceType
from mmesim.core.ledger import Ledger
from mmesim.scenario.endpoint import Server

MIB = 1 << 20
SEGMENT_BYTES = 20 * MIB
TORCH = ("pt", "torch", "pytorch", "torchscript", "libtorch")
"""Engines that share PyTorch's segments."""
MOST_COPIES = 100_000
"""Beyond this something is wrong with the sizes."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Calibrated sizes, and what follows from them."""

    first_bytes: int
    """Idle server, framework and the first copy."""
    copy_bytes: int
    """Each further copy."""
    unseen_bytes: int
    """Of `copy_bytes`: segments that the known steps do not show yet."""
    spread_bytes: float
    """Standard error of `copy_bytes`."""
    copies: int
    """Where the run's own rule stops."""
    copies_below_threshold: int
    """What the ledger holds below the threshold."""


def calibrate_memory(memory_pct: Sequence[float], engine: str, kind: InstanceType) -> Memory:
    """From memory in per cent after 1, 2, … copies (at least 2), on this instance type with a GPU."""
    used = np.asarray(memory_pct) / 100 * kind.gpu_bytes
    growth = np.diff(used)
    unseen = SEGMENT_BYTES / (3 * len(growth)) if engine.lower() in TORCH and not _has_jump(growth) else 0.0
    first, copy = round(used[0]), round(growth.mean() + unseen)
    spread = float(np.hypot(growth.std(ddof=1) / np.sqrt(len(growth)) if len(growth) > 1 else 0.0, unseen))
    capacity = int(Server().gpu_memory_threshold * kind.gpu_bytes)
    return Memory(first, copy, round(unseen), spread, _copies(first, copy, capacity, average=True),
                  _copies(first, copy, capacity, average=False))


def _has_jump(growth: np.ndarray) -> bool:
    """Whether a step grew by a whole segment (give or take 2 MiB, what 0.01 % of a device and its pages leave open)."""
    return bool((growth - growth.min() > SEGMENT_BYTES - 3 * MIB).any())


def _copies(first_bytes: int, copy_bytes: int, capacity_bytes: int, *, average: bool) -> int:
    """Copies loaded when another one, of the average size so far or of its own, would not fit."""
    ledger = Ledger(capacity_bytes)
    if first_bytes > capacity_bytes:
        return 0
    ledger.reserve(1, first_bytes)
    for n in range(1, MOST_COPIES):
        expected = ledger.used_bytes // n if average else copy_bytes
        if ledger.free_bytes <= expected or ledger.free_bytes < copy_bytes:
            return n
        ledger.reserve(n + 1, copy_bytes)
    return MOST_COPIES
