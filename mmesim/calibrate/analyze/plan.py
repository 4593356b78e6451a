"""The plan: which steps measure what was asked for, how long each will take, and what cannot be measured here.

A step's key is a hash of all that its result depends on: the model's files, the settings it uses, the server. A result
whose key is another one is measured again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations_with_replacement
from typing import Any

from mmesim.calibrate.analyze import files, grid, loads, memory, sharing
from mmesim.calibrate.analyze.bench import Bench
from mmesim.calibrate.analyze.settings import AnalyzeSettings, digest

Measure = Callable[[Bench], dict[str, Any]]

ALWAYS = "model"
"""The kind of step that no --only leaves out: what the model is."""
START_S = 4.0
"""A server's start and end; for Model Analyzer each variant's."""
LOAD_S = 2.0
UNLOAD_S = 1.2
"""Guesses for a small model; the bar corrects the rest by what the steps before took."""
WINDOWS_PER_POINT = 3.8
"""Perf Analyzer wants three windows that agree, and starts before the first."""


@dataclass(frozen=True)
class Step:
    """One measurement: done as a whole, or not at all."""

    name: str
    """Also its file's name: ``load/resnet50/warm``."""
    kind: str
    digests: dict[str, str]
    """Model -> hash of its files, of the models it is about."""
    estimate_s: float
    key: str
    measure: Measure = field(compare=False)


@dataclass(frozen=True)
class Plan:
    """Steps in their order, and remarks on what they leave out."""

    settings: AnalyzeSettings
    steps: tuple[Step, ...]
    digests: dict[str, str]
    """Model -> hash of its files; empty for a server elsewhere."""
    remarks: tuple[str, ...]


def make_plan(settings: AnalyzeSettings) -> Plan:
    """The steps for these settings."""
    digests = {model: digest(settings.model_folder(model)) for model in settings.models} if settings.repository else {}
    maker = _Maker(settings, digests)
    steps = [step for model in settings.models for step in maker.of_model(model)]
    steps += [*maker.slowdowns(), *maker.pairs()]
    return Plan(settings, tuple(step for step in steps if step.kind in (ALWAYS, *settings.kinds)), digests,
                tuple(_remarks(settings)))


def _remarks(settings: AnalyzeSettings) -> Iterator[str]:
    if settings.url:
        yield ("a server that runs elsewhere is measured as it is: no cold page cache, no further copies, no loads in "
               "parallel, no CPU time, and the instance counts of its own configuration")
    if settings.url and settings.instance_counts:
        yield "--instances has no effect with --url"
    if "artifact" in settings.kinds and not settings.archives:
        yield "no download is measured: give --archive MODEL=s3://… or MODEL=https://…"


class _Maker:
    """Makes steps with their keys and estimates."""

    def __init__(self, settings: AnalyzeSettings, digests: dict[str, str]) -> None:
        self.s, self.digests = settings, digests
        self.round_s = settings.runs * (LOAD_S + UNLOAD_S)

    def step(self, kind: str, name: str, models: tuple[str, ...], estimate_s: float, measure: Measure,
             **depends: Any) -> Step:
        """A step whose result depends on its models' files, the server, and `depends`."""
        digests = {model: self.digests.get(model, "") for model in models}
        facts = {"models": digests, "url": self.s.url, "server": str(self.s.server_program or ""),
                 "shapes": sorted(self.s.shapes.items()), **depends}
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        return Step(f"{kind}/{name}", kind, digests, estimate_s, key, measure)

    def of_model(self, model: str) -> Iterator[Step]:
        """Steps that concern one model."""
        s, only = self.s, (model,)
        here = not s.url
        variants = 1 + len(s.instance_counts)
        grid_s = variants * START_S * 2 + grid.grid_points(s) * (1 + WINDOWS_PER_POINT * s.window_s)
        yield self.step(ALWAYS, model, only, LOAD_S + UNLOAD_S, partial(loads.read_model, model=model))
        yield self.step("grid", model, only, grid_s, partial(grid.measure_grid, model=model), batches=s.batch_sizes,
                        concurrencies=s.concurrencies, instances=s.instance_counts, window_s=s.window_s)
        if s.repository:
            yield self.step("artifact", f"{model}/files", only, 2, partial(files.measure_artifact, model=model),
                            runs=s.runs)
        if model in s.archives:
            yield self.step("artifact", f"{model}/download", only, 5.0 * s.runs,
                            partial(files.measure_download, model=model), runs=s.runs, url=s.archives[model])
        measure = memory.measure_memory if here else memory.measure_memory_remote
        yield self.step("memory", model, only, START_S + 3 * (LOAD_S + UNLOAD_S + 1), partial(measure, model=model))
        yield self.step("load", f"{model}/warm", only, self.round_s + LOAD_S + UNLOAD_S,
                        partial(loads.measure_warm, model=model), runs=s.runs)
        if here:
            yield from self._of_own_server(model)

    def _of_own_server(self, model: str) -> Iterator[Step]:
        """Steps that need files, copies or processes of the server."""
        s, only = self.s, (model,)
        yield self.step("load", f"{model}/cold", only, self.round_s, partial(loads.measure_cold, model=model),
                        runs=s.runs)
        for count in s.parallel:
            yield self.step("load", f"{model}/parallel-{count}", only, self.round_s * (1 + count / 4),
                            partial(loads.measure_parallel, model=model, count=count), runs=s.runs)
        yield self.step("work", model, only, LOAD_S + UNLOAD_S + 4 * s.window_s,
                        partial(sharing.measure_work, model=model), batches=s.batch_sizes, window_s=s.window_s)

    def slowdowns(self) -> Iterator[Step]:
        """Each model runs while the next one of the list loads."""
        s = self.s
        for n, running in enumerate(s.models):
            loading = s.models[(n + 1) % len(s.models)]
            name = loading if loading != running else loads.copy_name(loading, 1)
            if s.url and loading == running:
                continue  # a server elsewhere has no copies
            yield self.step("slowdown", f"{running}/during-load-of-{loading}", (running, loading),
                            2 * (self.round_s + s.runs * (s.window_s + sharing.LOAD_GAP_S)),
                            partial(sharing.measure_slowdown, running=running, loading=name), runs=s.runs,
                            window_s=s.window_s)

    def pairs(self) -> Iterator[Step]:
        """Each model with each other one, and with a copy of itself."""
        for first, second in combinations_with_replacement(self.s.models, 2):
            if self.s.url and first == second:
                continue
            yield self.step("interference", f"{first}+{second}", (first, second), 2 * (LOAD_S + UNLOAD_S) +
                            5 * (self.s.window_s + 0.5), partial(sharing.measure_pair, first=first, second=second),
                            window_s=self.s.window_s)
