"""Cells made from given numbers, and a scenario that runs in a second: for tests of `mmesim compare`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mmesim.dataplane.counters import N_TIERS, SKETCH_BUCKETS
from mmesim.planner.runs.cells import Cell
from mmesim.results.comparison import METRICS

EMPTY = np.zeros((N_TIERS, SKETCH_BUCKETS), np.int64)
P99, COST = "latency.all.p99", "cost.per_hour"

TINY = """
name: tiny
seed: 3
duration: 4m
warmup: 30s
endpoint: {instance_type: ml.g4dn.2xlarge, instances: 1}
models:
  - {profile: resnet50-pytorch-t4, count: 56, name: "resnet-{i:02}"}
workload:
  arrivals: {use: poisson, rate_rps: 8}
  popularity: {use: zipf, s: 0.8}
"""

POLICIES = '''
from dataclasses import dataclass, replace
import numpy as np
from mmesim.core.policy import EvictionPolicy


@dataclass
class Mine(EvictionPolicy):
    """The least recently used, as lru does."""

    def victims(self, candidates, need_bytes, now_ns):
        yield from candidates.ordered(np.maximum(candidates.last_use_ns, candidates.since_ns))


@dataclass
class Raises(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        raise KeyError("oh")


@dataclass
class Loops(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        while True:
            pass
        yield candidates[0]


@dataclass
class Wrong(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        absent = next(model for model in range(len(candidates.specs)) if model not in candidates.model)
        yield replace(candidates[0], model=absent)


@dataclass
class Worst(EvictionPolicy):
    """What is asked for most leaves."""

    def victims(self, candidates, need_bytes, now_ns):
        yield from candidates.ordered(-candidates.rate_rps)
'''


def tiny(folder: Path, more: str = "") -> str:
    """A file with the scenario, policies beside it."""
    (folder / "mine.py").write_text(POLICIES)
    (folder / "tiny.yaml").write_text(TINY + more)
    return str(folder / "tiny.yaml")


def cell(**numbers: float) -> Cell:
    """A cell with these numbers; ``p99=``, ``cost=`` and dotted keys with ``__``."""
    names = {"p99": P99, "cost": COST}
    given = {names.get(name, name.replace("__", ".")): value for name, value in numbers.items()}
    return Cell({metric.key: given.get(metric.key) for metric in METRICS}, 1, 0, 0.0, 0, EMPTY, {}, {})


def cells_of(values: Iterable[float], costs: Sequence[float] = ()) -> list[Cell]:
    """One cell a seed with this p99 and perhaps this cost."""
    return [cell(p99=value, **({"cost": costs[k]} if costs else {})) for k, value in enumerate(values)]
