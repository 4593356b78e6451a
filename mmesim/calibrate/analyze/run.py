"""Does the steps of a plan that are not done yet, and writes each result as soon as it is there.

A run folder holds ``raw/KIND/…json``, one file for each step, written atomically: whatever kills a run, the same
command goes on with the step that was interrupted.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mmesim.calibrate.analyze.bench import Bench
from mmesim.calibrate.analyze.device import cpu_name, gpus
from mmesim.calibrate.analyze.plan import Plan, Step
from mmesim.errors import InputError, Problem
from mmesim.triton.client import TritonError
from mmesim.triton.tools import installed_version


@dataclass(frozen=True)
class Progress:
    """Where a run is; times in seconds."""

    done: int
    total: int
    step: str
    """The step that begins now; empty at the end."""
    spent_s: float
    left_s: float
    """By the estimates, corrected with what the steps so far took."""


@dataclass(frozen=True)
class Machine:
    """What a result was measured on."""

    gpu: str
    driver: str
    cpu: str
    triton: str
    analyzer: str
    date: str


def raw_path(folder: Path, step: Step) -> Path:
    """The file of a step's result."""
    return folder / "raw" / f"{step.name}.json"


def result_of(folder: Path, step: Step) -> dict[str, Any] | None:
    """What is stored for this very step: {step, key, seconds, machine, result}; None when it is to be measured."""
    stored = stored_result(folder, step)
    return stored if stored is not None and stored["key"] == step.key else None


def stored_result(folder: Path, step: Step) -> dict[str, Any] | None:
    """What the step's file holds, from whatever files and settings; None without a whole file."""
    try:
        stored: dict[str, Any] = json.loads(raw_path(folder, step).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return stored


def changed_steps(plan: Plan) -> list[str]:
    """Names of the steps that were measured with other model files or settings."""
    folder = plan.settings.folder
    return [step.name for step in plan.steps if stored_result(folder, step) and not result_of(folder, step)]


def run_plan(plan: Plan, tell: Callable[[Progress], None]) -> None:
    """Does all steps that are not done; `tell` is called before each of them and at the end.

    Raises InputError when a tool is missing or a model refuses, naming the step.
    """
    folder = plan.settings.folder
    left = [step for step in plan.steps if result_of(folder, step) is None]
    folder.mkdir(parents=True, exist_ok=True)
    pace = _Pace(len(plan.steps) - len(left), len(plan.steps))
    with Bench(plan.settings) as bench:
        if any(step.kind == "grid" for step in left):
            assert bench.tools  # what is missing is told before hours of work, not after
        for number, step in enumerate(left):
            tell(pace.progress(step.name, left[number:]))
            pace.did(step, _do(bench, step))
        tell(pace.progress("", []))


class _Pace:
    """Estimates against reality."""

    def __init__(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        self.estimated_s = self.spent_s = 0.0

    def did(self, step: Step, took_s: float) -> None:
        self.done += 1
        self.estimated_s += step.estimate_s
        self.spent_s += took_s

    def progress(self, step: str, left: list[Step]) -> Progress:
        factor = self.spent_s / self.estimated_s if self.estimated_s else 1.0
        return Progress(self.done, self.total, step, self.spent_s, factor * sum(one.estimate_s for one in left))


def _do(bench: Bench, step: Step) -> float:
    """Measures, stores, and gives the seconds that took."""
    started_s = time.perf_counter()
    try:
        result = step.measure(bench)
        machine = asdict(_machine(bench))
    except TritonError as error:
        log = bench.settings.folder / "server.log"
        raise InputError(Problem(str(error), path=step.name, hint=f"the server's log: {log}; the same command "
                                 "continues here")) from error
    took_s = time.perf_counter() - started_s
    _write(raw_path(bench.settings.folder, step),
           {"step": step.name, "key": step.key, "digests": step.digests, "seconds": round(took_s, 3),
            "machine": machine, "result": result})
    return took_s


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def _machine(bench: Bench) -> Machine:
    hardware = ("", "", "") if bench.settings.url else _hardware()
    return Machine(*hardware, triton=bench.triton_version, analyzer=installed_version("triton-model-analyzer"),
                   date=datetime.datetime.now(datetime.UTC).date().isoformat())


@cache
def _hardware() -> tuple[str, str, str]:
    """(GPU, driver, CPU)."""
    found = gpus()
    names = (found[0].name, found[0].driver) if found else ("", "")
    return *names, f"{cpu_name() or platform.processor()}, {os.cpu_count()} CPUs"

