"""The past simulated: the scenario with the recorded requests in place of its workload, and what is kept of a run.

What was recorded are all attempts of all clients, so nothing is retried. Requests come when they came. The first part
is a warm-up, for nobody recorded what the instances held at the beginning.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mmesim.planner.history.answers import read_requests
from mmesim.planner.history.evidence import Evidence
from mmesim.planner.history.from_run import REQUESTS_FILE, tracks_of
from mmesim.planner.history.numbers import Number, all_of
from mmesim.planner.history.past import Past
from mmesim.planner.runs.cells import load_numbers, save_numbers
from mmesim.planner.runs.contender import Contender
from mmesim.planner.runs.orders import Order
from mmesim.results.output import OutputWriter
from mmesim.scenario.build import build
from mmesim.scenario.schema import Scenario
from mmesim.sim.blame import policies_to_blame
from mmesim.sim.run import simulate
from mmesim.units import NS_PER_S, ns
from mmesim.workload.importing.importer import MINUTE_NS
from mmesim.workload.importing.rows import Counts
from mmesim.workload.importing.writing import write_trace

WARMUP = 0.1
"""Of the slice, where the scenario says none."""
EVERY_S = (10, 30, 60, 300, 600, 900, 1800, 3600)
"""Pieces of the slice that are compared one by one: the longest of which there are at least `PIECES`."""
PIECES = 12
MOST_ROWS = 10_000
"""Of a run's series."""


@dataclass(frozen=True)
class Window:
    """What is compared."""

    warmup_ns: int
    end_ns: int
    every_ns: int

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """Whole ones, from the warm-up's end on."""
        edges = range(self.warmup_ns, self.end_ns + 1, self.every_ns)
        return list(pairwise(edges))

    @property
    def interval_s(self) -> float:
        """Of the simulation's series: it divides the pieces."""
        longest_s = self.every_ns / NS_PER_S
        return next((s for s in EVERY_S if s <= longest_s and self.end_ns / NS_PER_S / s <= MOST_ROWS), longest_s)


def window_of(past: Past, scenario: Scenario) -> Window:
    """The slice without its warm-up: the scenario's, where it has one that leaves something, else `WARMUP` of it."""
    written_ns = ns(scenario.warmup)
    warmup_ns = written_ns if 0 < written_ns < past.end_ns else round(WARMUP * past.end_ns / NS_PER_S) * NS_PER_S
    length_s = (past.end_ns - warmup_ns) / NS_PER_S
    every_s = next((s for s in reversed(EVERY_S) if length_s / s >= PIECES), EVERY_S[0])
    return Window(warmup_ns, past.end_ns, every_s * NS_PER_S)


# ---- the scenario with the past's requests


def settings_of(past: Past, window: Window, scenario: Scenario, folder: Path, expand: str) -> list[str]:
    """What is set in the scenario so that it simulates the past; the requests are written to `folder`."""
    workload = _workload(past, scenario, _written(past, folder), expand)
    given = {"workload": workload, "duration": f"{past.end_ns / NS_PER_S:.9f}s",
             "warmup": f"{window.warmup_ns / NS_PER_S:.9f}s", "checks.intended_overload": True,
             "output.interval": f"{window.interval_s}s"}
    return [f"{path}={json.dumps(value)}" for path, value in given.items()]


def _workload(past: Past, scenario: Scenario, file: Path, expand: str) -> dict[str, Any]:
    own = scenario.resolved()["workload"]
    if not past.is_totals:
        options = {"map": "name", **({"expand": expand} if past.is_counts else {})}
        return {"trace": str(file), "trace_options": options, "items": own["items"]}
    shares = {name: share for name, share in (past.shares or {}).items() if share > 0}
    chosen = {"popularity": {"use": "explicit", "weights": shares}} if shares else \
        {"popularity": own["popularity"], "sessions": own["sessions"]}
    return {"arrivals": {"use": "minute_counts", "file": str(file), "expand": expand}, "items": own["items"], **chosen}


def _written(past: Past, folder: Path) -> Path:
    """The requests as a trace; the same past gives the same bytes."""
    file = (folder / f"past-{'counts' if past.is_counts else 'requests'}.parquet").absolute()
    if isinstance(past.rows, Counts) and past.is_totals:
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_totals(past.rows, file)
    else:
        write_trace(past.rows, file)
    return file


def _write_totals(rows: Counts, file: Path) -> None:
    """Every minute from 0 on, silent ones too."""
    import pyarrow as pa
    from pyarrow import parquet

    count = np.bincount(rows.t_ns // MINUTE_NS, rows.count).astype(np.int64)
    parquet.write_table(pa.table({"minute": np.arange(len(count)), "count": count}), file)


# ---- a run, and what is kept of it


@dataclass(frozen=True)
class Replay(Order):
    """One run of the past, of which the asked numbers are kept: over the window, and over each of its pieces."""

    numbers: tuple[Number, ...] = ()
    by_piece: tuple[Number, ...] = field(default=(), repr=False)
    window: Window = Window(0, 0, 1)

    def load(self) -> dict[str, Any] | None:
        """Key -> value; ``key@3`` in the third piece. None: not there."""
        return load_numbers(self.file)

    def make(self) -> dict[str, float | None]:
        """See `Order`."""
        built = build(self.scenario)
        with TemporaryDirectory(prefix="mmesim-past-") as folder:
            out = OutputWriter(Path(folder) / "run")
            with policies_to_blame(built.policies):
                run = simulate(built, out=out)
            if run.partial:
                raise KeyboardInterrupt
            answers, _, _ = read_requests(out.path(REQUESTS_FILE))
            return kept(Evidence(answers, tracks_of(run.metrics)), self.numbers, self.by_piece, self.window)

    def store(self, made: dict[str, float | None]) -> None:
        """See `Order`."""
        save_numbers(self.file, made)


def kept(evidence: Evidence, numbers: Sequence[Number], by_piece: Sequence[Number],
         window: Window) -> dict[str, float | None]:
    """What is kept of a past, recorded or simulated."""
    found = all_of(numbers, evidence, window.warmup_ns, window.end_ns)
    for k, (since_ns, until_ns) in enumerate(window.pieces):
        found.update({f"{key}@{k}": value for key, value in all_of(by_piece, evidence, since_ns, until_ns).items()})
    return found


def replay_of(contender: Contender, seed: int, folder: Path, numbers: Sequence[Number], by_piece: Sequence[Number],
              window: Window) -> Replay:
    """The run of the past with a seed."""
    output = contender.scenario.output.model_copy(update={"requests": True, "journal": False, "trace": False})
    scenario = contender.scenario.model_copy(update={"seed": seed, "output": output})
    what = f"{contender.digest} {seed} {numbers} {by_piece} {window} {_sources()}"
    file = folder / f"{sha256(what.encode()).hexdigest()[:32]}.npz"
    return Replay(contender.name, scenario, file, numbers=tuple(numbers), by_piece=tuple(by_piece), window=window)


@cache
def _sources() -> str:
    """This package's own: how numbers are made of runs."""
    return sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()
