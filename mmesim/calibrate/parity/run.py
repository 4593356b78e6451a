"""Parity of a scenario: measure this machine in one live run, then run the scenario live and simulated with what was
measured, and replay the live journal.

A run is judged by what the run before it has told, which had another seed: never by what it tells itself. A machine
that is shared with others changes from one minute to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mmesim.calibrate.parity.archives import write_archives
from mmesim.calibrate.parity.measured import Measured, as_settings, measure
from mmesim.calibrate.parity.side_by_side import Figure, figures
from mmesim.calibrate.parity.world import Served, s3_server, serving
from mmesim.journal import open_journal
from mmesim.live.load.bodies import Bodies
from mmesim.live.load.http import Address
from mmesim.live.load.run import load_test
from mmesim.live.load.targets import API_SAGEMAKER, Caller, HttpTarget
from mmesim.live.replay import Outcome, replay, setup_of
from mmesim.live.timings import Timings, timings_of
from mmesim.results.output import OutputWriter
from mmesim.results.run import Run
from mmesim.scenario.build import Build, build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate
from mmesim.triton.example import ITEM_VALUES
from mmesim.units import ns

MEASURING_SEED = 1000
"""Added to the scenario's for the run that is measured."""
MEASURING_S = 90.0
"""The run that is measured is no longer than that, its warm-up not counted."""
INPUT = {"max_batch_size": 1, "input": [{"name": "INPUT", "data_type": "TYPE_FP32", "dims": [ITEM_VALUES]}]}
"""What a generated model takes."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Lived:
    """One live run."""

    run: Run
    timings: Timings
    """Of what was begun after the warm-up."""
    journal: Path
    requests: pd.DataFrame
    replayed: Outcome


@dataclass(frozen=True)
class Try:
    """One comparison."""

    seed: int
    measured: Measured
    """In the run before."""
    figures: list[Figure]
    replayed: Outcome
    live: Run
    simulated: Run

    @property
    def met(self) -> bool:
        """Every aim, and every action equal in the replay."""
        return self.replayed.is_equal and all(figure.met is not False for figure in self.figures)


@dataclass(frozen=True)
class Parity:
    """All tries of one scenario."""

    name: str
    tries: list[Try]


def parity(scenario: str, overrides: Sequence[str], out: Path, tries: int, say: Say) -> Parity:
    """Raises InputError when something that is needed is missing."""
    seed = load_scenario(scenario, overrides).seed
    first = _built(scenario, [*overrides, *_shortened(scenario, overrides)], seed + MEASURING_SEED)
    out.mkdir(parents=True, exist_ok=True)
    say(f"writing {len(first.models)} archives ...")
    archives = write_archives(first.models, out / "archives")
    with s3_server(archives, out) as s3_url:
        say(f"measuring: {_about(first)} live ...")
        measured = _measured(first, live_run(first, s3_url, out, "measured"))
        done = []
        for n in range(tries):
            built = _built(scenario, overrides, seed + n)
            say(f"try {n + 1}: {_about(built)} live ...")
            lived = live_run(built, s3_url, out, f"live-{n + 1}")
            done.append(_compared(scenario, overrides, built, lived, measured, out, f"simulated-{n + 1}"))
            measured = _measured(built, lived)
    return Parity(first.scenario.name, done)


def _measured(built: Build, lived: Lived) -> Measured:
    return measure(built, _timings(lived.journal, 0), lived.requests)


def _compared(scenario: str, overrides: Sequence[str], built: Build, lived: Lived, measured: Measured, out: Path,
              name: str) -> Try:
    simulated = _simulated(scenario, [*overrides, *as_settings(measured)], built.seed, out, name)
    rows = figures(lived.run.summary, simulated.summary, lived.timings)
    return Try(built.seed, measured, rows, lived.replayed, lived.run, simulated)


def _built(scenario: str, overrides: Sequence[str], seed: int) -> Build:
    return build(load_scenario(scenario, [*overrides, f"seed={seed}", "output.requests=true"]))


def _shortened(scenario: str, overrides: Sequence[str]) -> list[str]:
    """The run that is measured need not be as long as the scenario."""
    built = _built(scenario, overrides, 0)
    longest_ns = built.warmup_ns + ns(MEASURING_S)
    return [f"duration={longest_ns / 1e9:g}s"] if built.duration_ns > longest_ns else []


def _timings(journal: Path, since_ns: int) -> Timings:
    with open_journal(journal) as reader:
        return timings_of(reader.entries(), since_ns)


def _about(built: Build) -> str:
    return f"{built.duration_ns / 1e9:.0f} s, seed {built.seed}"


def live_run(built: Build, s3_url: str, out: Path, name: str) -> Lived:
    """The workload of a scenario on real servers, and its journal replayed; results go to ``out/name``."""
    with serving(built, s3_url, out / f"{name}-world") as served:
        run = _loaded(built, served, out / name)
    with open_journal(served.journal) as journal:
        replayed = replay(journal, setup_of(journal))
    timings = _timings(served.journal, built.warmup_ns)
    return Lived(run, timings, served.journal, pd.read_parquet(out / name / "requests.parquet"), replayed)


def _loaded(built: Build, served: Served, folder: Path) -> Run:
    """The workload against the endpoint; its results as a simulated run's."""
    names = [model.spec.name for model in built.models]
    bodies = Bodies(dict.fromkeys(names, INPUT))
    caller = Caller(names, bodies, built.plane.timeout_ns / 1e9 + 10, endpoint=served.name)
    address = Address.of(served.url)
    writer = OutputWriter(folder)
    try:
        run = load_test(built, lambda: HttpTarget(address, API_SAGEMAKER, caller), {"target": "mmesim live serve"},
                        out=writer)
        run.write(writer)
        writer.commit()
    except BaseException:
        writer.discard()
        raise
    return run


def _simulated(scenario: str, overrides: Sequence[str], seed: int, out: Path, name: str) -> Run:
    writer = OutputWriter(out / name)
    try:
        run = simulate(_built(scenario, overrides, seed), out=writer)
        run.write(writer)
        writer.commit()
    except BaseException:
        writer.discard()
        raise
    return run
