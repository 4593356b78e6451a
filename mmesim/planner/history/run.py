"""The whole question: the past simulated with several seeds, its fidelity, and each change with the same seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmesim.errors import InputError, Problem
from mmesim.parallel import Workers
from mmesim.planner.compare.naming import names_of
from mmesim.planner.history.effects import effects, sentences
from mmesim.planner.history.fidelity import Numbers, Trust, agreements, courses, missing, over_time, trusted, verdict
from mmesim.planner.history.numbers import Number, asked_of
from mmesim.planner.history.past import Past
from mmesim.planner.history.replay import WARMUP, Replay, Window, kept, replay_of, settings_of, window_of
from mmesim.planner.runs.axes import split
from mmesim.planner.runs.contender import Contender
from mmesim.planner.runs.orders import Steps, carry_out
from mmesim.results.history import Change, WhatIf
from mmesim.scenario.load import load_scenario
from mmesim.scenario.schema import Scenario
from mmesim.units import NS_PER_S, format_duration
from mmesim.yamldoc import parse_value

SIMULATED = "the simulated past"
FIXED = ("seed", "name", "duration", "warmup", "workload", "workload.trace", "workload.arrivals", "output")
"""Settings that the past decides, or that change no number."""
SUFFIX = ".tar.gz"
"""Of a TargetModel, which names the archive; a scenario names the model."""


@dataclass(frozen=True)
class Question:
    """All that is asked."""

    scenario: str
    """A file or a packaged name."""
    past: Past
    """The slice."""
    changes: Sequence[str]
    """``path=value; path=value``, each one change."""
    cells: Path
    """Folder of stored runs."""
    overrides: Sequence[str] = ()
    seeds: int = 3
    confidence: float = 0.95
    trust: Trust = field(default_factory=Trust)
    expand: str = "uniform"
    """How the count of a minute becomes times."""
    workers: Workers = field(default_factory=Workers)
    name: str = "what-if"
    command: str = ""


@dataclass(frozen=True)
class Prepared:
    """Everything checked, nothing simulated."""

    question: Question
    past: Past
    window: Window
    contenders: Sequence[Contender]
    """The current configuration first."""
    numbers: Sequence[Number]
    by_piece: Sequence[Number]
    recorded: Numbers
    notes: Sequence[str]

    @property
    def seeds(self) -> list[int]:
        """The scenario's and those after it."""
        first = self.contenders[0].scenario.seed
        return list(range(first, first + self.question.seeds))

    def orders(self, contender: Contender) -> list[Replay]:
        """Its runs, by seed."""
        return [replay_of(contender, seed, self.question.cells, self.numbers, self.by_piece, self.window)
                for seed in self.seeds]


def prepare(question: Question) -> Prepared:
    """Check the past, the scenario and every change. Raises InputError with all problems of all of them."""
    written = load_scenario(question.scenario, question.overrides)
    past, renamed = _named_as(question.past, written)
    window = window_of(past, written)
    settings = [*question.overrides, *settings_of(past, window, written, question.cells, question.expand)]
    contenders = _contenders(question, settings)
    numbers = asked_of(past.evidence)
    recorded = kept(past.evidence, numbers, (), window)
    by_piece = over_time(numbers, recorded)
    notes = [*past.notes, *renamed, *_notes(question, past, window, written)]
    return Prepared(question, past, window, contenders, numbers, by_piece,
                    kept(past.evidence, numbers, by_piece, window), notes)


def what_if(prepared: Prepared, steps: Steps, say: Callable[[str], None],
            told: Callable[[WhatIf], None] = lambda _: None) -> WhatIf:
    """Simulate what is missing and answer. `told` gets the answer without its changes first: fidelity comes before
    anything else."""
    started_s = time.perf_counter()
    base, *changed = prepared.contenders
    workers = prepared.question.workers
    known = carry_out(prepared.orders(base), workers, SIMULATED, steps)
    fidelity = _fidelity(prepared, _cells(prepared, base))
    told(fidelity)
    orders = [order for contender in changed for order in prepared.orders(contender)]
    known += carry_out(orders, workers, "changes", steps)
    runs = len(prepared.contenders) * len(prepared.seeds)
    if known:
        say(f"{known} of {runs} runs were stored already")
    made = [_change(prepared, contender, fidelity) for contender in changed]
    return replace(fidelity, changes=made, timing={"wall_s": time.perf_counter() - started_s, "runs": runs,
                                                   "stored_before": known})


def _cells(prepared: Prepared, contender: Contender) -> list[dict[str, Any]]:
    cells = [order.load() for order in prepared.orders(contender)]
    assert all(cell is not None for cell in cells), "every run is stored"
    return [cell for cell in cells if cell is not None]


def _fidelity(prepared: Prepared, cells: Sequence[Numbers]) -> WhatIf:
    question, window = prepared.question, prepared.window
    found = agreements(prepared.numbers, prepared.recorded, cells, question.confidence, question.trust)
    return WhatIf(
        name=question.name, command=question.command, scenario=prepared.contenders[0].scenario.resolved(),
        past=_about(prepared), seeds=prepared.seeds, confidence=question.confidence, trust=question.trust.relative,
        trust_points=question.trust.points, agreements=found,
        courses=courses(prepared.by_piece, len(window.pieces), prepared.recorded, cells),
        piece_s=window.every_ns / NS_PER_S, trusted=trusted(found), verdict=verdict(found),
        not_recorded=missing(prepared.numbers, prepared.recorded, cells), changes=(), notes=prepared.notes)


def _about(prepared: Prepared) -> dict[str, Any]:
    past = prepared.past
    begins = None if past.begins_unix_ns is None else datetime.fromtimestamp(past.begins_unix_ns / 1e9, UTC).isoformat()
    return {"kind": past.kind, "where": past.where, "begins": begins, "length_s": past.end_ns / NS_PER_S,
            "warmup_s": prepared.window.warmup_ns / NS_PER_S, "models": len(past.models) or None,
            "requests": past.evidence.requests(0, past.end_ns)}


def _change(prepared: Prepared, contender: Contender, fidelity: WhatIf) -> Change:
    base = _cells(prepared, prepared.contenders[0])
    made = effects(prepared.numbers, base, _cells(prepared, contender), fidelity.agreements,
                   prepared.question.confidence, prepared.question.trust)
    return Change(contender.name, contender.settings, made,
                  list(sentences(prepared.numbers, prepared.recorded, made)))


# ---- checked


def _contenders(question: Question, settings: Sequence[str]) -> list[Contender]:
    """The current configuration, and each change of it; all problems together."""
    asked = [_settings(text) for text in question.changes]
    names = names_of([{path: parse_value(value, f"--change {path}={value}") for path, value in each.items()}
                      for each in asked])
    found: list[Contender] = []
    problems: list[Problem] = []
    for name, each in zip((SIMULATED, *names), ({}, *asked), strict=True):
        try:
            overrides = [*settings, *(f"{path}={value}" for path, value in each.items())]
            found.append(Contender(name, dict(each), load_scenario(question.scenario, overrides)))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(dict.fromkeys(problems))
    _check_different(found)
    return found


def _settings(text: str) -> dict[str, str]:
    """``path=value; path=value``. Raises InputError."""
    parts = [part.partition("=") for part in split(text, ";") if part.strip()]
    if not parts or not all(equals and path.strip() and value.strip() for path, equals, value in parts):
        raise InputError(Problem("is no change", file=f"--change {text}",
                                 hint='write --change path=value, or --change "path=value; path=value"'))
    settings = {path.strip(): value.strip() for path, _, value in parts}
    if fixed := [path for path in settings if path in FIXED]:
        hint = "change the endpoint, its policies or its models; more traffic is --change workload.scale=1.5"
        raise InputError(Problem(f"{fixed[0]} is given by the past", file=f"--change {text}", hint=hint))
    return settings


def _check_different(found: Sequence[Contender]) -> None:
    base = found[0].scenario.resolved()
    same = [each for each in found[1:] if each.scenario.resolved() == base]
    if same:
        written = "; ".join(f"{path}={value}" for path, value in same[0].settings.items())
        raise InputError(Problem("changes nothing: the scenario says the same", file=f"--change {written}",
                                 hint="name another value"))


def _named_as(past: Past, scenario: Scenario) -> tuple[Past, list[str]]:
    """The past with archives' names as the models' of the scenario, where that makes them known."""
    known = {name for group in scenario.models for name in group.names()}
    archives = [name for name in past.models if name not in known and name.removesuffix(SUFFIX) in known]
    if not archives:
        return past, []
    plain = {name: name.removesuffix(SUFFIX) for name in archives}
    model = past.rows.model.copy()
    for k, name in enumerate(model.tolist()):
        model[k] = plain.get(name, name)
    return replace(past, rows=replace(past.rows, model=model)), [
        f"{len(archives)} names of archives are taken for models: {archives[0]} for {plain[archives[0]]}"]


def _notes(question: Question, past: Past, window: Window, scenario: Scenario) -> list[str]:
    """What the answer rests on."""
    warmup = format_duration(window.warmup_ns / NS_PER_S)
    why = "as the scenario says" if window.warmup_ns == round(scenario.warmup * NS_PER_S) else \
        f"{WARMUP:.0%} of the slice: the scenario says none"
    told = [f"the first {warmup} are a warm-up and not compared ({why}): instances begin empty, and nobody recorded "
            "what they held"]
    if past.is_counts:
        told.append(f"requests come at times within their minute that are drawn ({question.expand})")
    if past.is_totals:
        told.append("which model each request was for is not recorded: drawn by " + (
            "the shares of its models" if past.shares else "the scenario's popularity and sessions"))
    else:
        names = {name for group in scenario.models for name in group.names()}
        if unasked := len(names - set(past.models)):
            told.append(f"{unasked} of {len(names)} models of the scenario were never asked for")
    if scenario.workload.retries.attempts > 1:
        told.append("no request is retried: what was recorded are all attempts already")
    if scenario.faults:
        told.append("the scenario's faults happen at their times from the beginning of the slice")
    return told
