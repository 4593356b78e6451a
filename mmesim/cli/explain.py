"""`mmesim explain`: why a request was slow, a model was evicted, the fleet scaled."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmesim.cli.output import note, print_json
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.report.explain.history import History, Wanted
    from mmesim.report.explain.words import Instances

SHOWN = 5
"""Slowest requests of the overview."""


def explain(
    run: Annotated[Path, typer.Argument(
        help="A result folder, e.g. reports/quickstart; or the journal of a live endpoint: its folder.")],
    request: Annotated[str | None, typer.Option(
        metavar="ID|slowest[:N]", help="Why was it slow: a request's number, or the N slowest.")] = None,
    eviction: Annotated[str | None, typer.Option(
        metavar="MODEL[@TIME]", help="Why was the model evicted (nearest to TIME), and was it a mistake?")] = None,
    evictions: Annotated[bool, typer.Option("--evictions", help="List evictions.")] = False,
    scaling: Annotated[bool, typer.Option("--scaling", help="Why did the fleet scale?")] = False,
    model: Annotated[str | None, typer.Option(help="Only requests or evictions of this model.")] = None,
    instance: Annotated[int | None, typer.Option(help="Only on the instance of this number.")] = None,
    at: Annotated[str | None, typer.Option(
        metavar="TIME", help="In flight then (requests), nearest to it (evictions, scaling); e.g. 1h2m.")] = None,
    rerun: Annotated[bool, typer.Option(
        "--rerun", help="Simulate again first, into a temporary folder, recording what explanations need.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; times in seconds from the start.")] = False,
) -> None:
    """Explain a finished run from its journal: what was slow, evicted, scaled, and why.

    Without options: an overview, with the command that looks closer at each thing. Single requests need a run with
    output.requests=true; runs are deterministic, so --rerun can supply what was not recorded.

    Examples:

      mmesim explain reports/quickstart

      mmesim explain reports/quickstart --request slowest:3 --model bert-005

      mmesim explain reports/quickstart --eviction bert-005@1h2m --json

      mmesim explain reports/quickstart --scaling --at 12m --rerun

      mmesim explain live-state/journal --evictions
    """
    if sum(map(bool, (request, eviction, evictions, scaling))) > 1:
        raise InputError(Problem("explain one thing at a time", hint="--request, --eviction, --evictions or --scaling"))
    from mmesim.report.explain.words import in_seconds
    case = _Case(run, rerun, model, instance, at)
    told, text = (case.request(request) if request else case.eviction(eviction) if eviction else
                  case.evictions() if evictions else case.scaling() if scaling else case.overview())
    if as_json:
        print_json(in_seconds(told))
    else:
        for line in text:
            print(line)


Told = tuple[Any, Iterable[str]]
"""The explanation as a value, and its text."""


@dataclass
class _Case:
    """A run and what to look at in it."""

    run: Path
    rerun: bool
    model: str | None
    instance: int | None
    at: str | None

    def __post_init__(self) -> None:
        from mmesim.report.explain.words import Instances, parse_time
        self.details = _details(self.run, self.rerun)
        self.run = _again(self.run, self.details) if self.rerun else self.run
        self.instances: Instances = Instances(self.details["fleet"])
        self.at_ns = None if self.at is None else parse_time(self.at)
        self.slot = None if self.instance is None else self.instances.slot(self.instance)

    def history(self, wanted: Wanted | None = None) -> History:
        """The journal, with a progress bar."""
        from mmesim.cli.progress import simulated_time
        from mmesim.report.explain.history import read_history
        from mmesim.units import ns, parse_duration_s
        duration_ns = ns(parse_duration_s(self.details["scenario"]["duration"]))
        with simulated_time("reading the journal", duration_ns, wanted=True) as tick:
            return read_history(self.run, wanted, tick)

    def models(self) -> list[str]:
        """Names of the models."""
        from mmesim.journal import open_journal
        from mmesim.report.explain.history import journal_of
        if "models" in self.details:
            found: list[str] = self.details["models"]
            return found
        with open_journal(journal_of(self.run)) as journal:
            names: list[str] = journal.header["models"]
        return names

    def request(self, which: str) -> Told:
        """`--request`."""
        if "models" in self.details:
            raise InputError(Problem("single requests of a live endpoint cannot be explained", path="--request",
                                     hint="what a client saw is recorded by mmesim live load; here: --evictions"))
        from mmesim.report.explain import request as explain_request
        from mmesim.report.explain import requests as explain_requests
        names = self.models()
        rows = self._rows(which, names)
        history = self.history(explain_request.wanted_for(rows, names))
        told = [explain_request.explain_request(row, explain_requests.around(self.run, row), history, self.instances)
                for row in rows]
        blocks = ["\n".join(explain_request.request_text(each)) for each in told]
        return told, ["\n\n\n".join(blocks)] if blocks else ["No such request."]

    def _rows(self, which: str, names: list[str]) -> list[dict[str, Any]]:
        from mmesim.report.explain.requests import Filter, by_serial, slowest
        from mmesim.report.explain.words import model_number
        if which.isdigit():
            return [by_serial(self.run, int(which))]
        if not (found := re.fullmatch(r"slowest(?::([1-9]\d*))?", which)):
            raise InputError(Problem(f"{which!r} is no request", path="--request",
                                     hint="a request's number, slowest, or slowest:5"))
        if self.model is not None:
            model_number(names, self.model)
        return slowest(self.run, int(found[1] or 1), Filter(self.model, self.slot, self.at_ns), self._since_ns())

    def _since_ns(self) -> int:
        """The end of the warm-up, unless a time was asked for."""
        from mmesim.units import ns, parse_duration_s
        return 0 if self.at_ns is not None else ns(parse_duration_s(self.details["scenario"]["warmup"]))

    def eviction(self, which: str) -> Told:
        """`--eviction`."""
        from mmesim.report.explain import eviction as explain_eviction
        from mmesim.report.explain.words import model_number, parse_time
        name, _, time = which.partition("@")
        victim = model_number(self.models(), name)
        at_ns = parse_time(time, "--eviction") if time else self.at_ns
        history = self.history(explain_eviction.wanted_of(victim, self.slot))
        one = explain_eviction.one_eviction(history, victim, self.slot, at_ns)
        told = explain_eviction.explain_eviction(one, history, self.run, self.instances)
        return told, explain_eviction.eviction_text(told)

    def evictions(self) -> Told:
        """`--evictions`."""
        from mmesim.report.explain import eviction as explain_eviction
        from mmesim.report.explain.words import model_number
        victim = None if self.model is None else model_number(self.models(), self.model)
        history = self.history()
        found = explain_eviction.evictions_of(history, victim, self.slot, self.at_ns)
        told = explain_eviction.evictions_list(history, found, self.instances)
        return told, explain_eviction.evictions_text(told, str(self.run))

    def scaling(self) -> Told:
        """`--scaling`."""
        from mmesim.report.explain.scaling import explain_scaling, scaling_text
        told = explain_scaling(self.history(), self.instances, self.at_ns)
        return told, scaling_text(told)

    def overview(self) -> Told:
        """No option: everything, shortly."""
        from mmesim.report.explain.overview import overview, overview_text
        from mmesim.report.explain.requests import Filter, has_requests, slowest
        from mmesim.report.explain.words import model_number
        history = self.history()
        if self.model is not None:
            model_number(history.models, self.model)
        rows = slowest(self.run, SHOWN, Filter(self.model, self.slot, self.at_ns), self._since_ns()) \
            if has_requests(self.run) else None
        told = overview(history, rows, self.instances, self._since_ns())
        return told, overview_text(told, str(self.run))


def _details(folder: Path, rerun: bool) -> Any:
    """Of a run, or of a live endpoint's journal."""
    from mmesim.journal.parts import is_live_journal
    from mmesim.report.explain.live import live_details
    if not is_live_journal(folder):
        return _read_json(folder, "details.json")
    if rerun:
        raise InputError(Problem("a live endpoint cannot be run again", path="--rerun",
                                 hint="mmesim replay decides again on its journal, mmesim live shadow otherwise"))
    return live_details(folder)


def _read_json(folder: Path, name: str) -> Any:
    import json

    from mmesim.results.output import MARKER
    if not (folder / MARKER).is_file():
        raise InputError(Problem(f"{folder} is not a result of mmesim: it has no {MARKER}",
                                 hint="give a folder that `mmesim run` wrote, e.g. reports/quickstart"))
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(Problem(f"{folder / name} cannot be read: {error}", hint="run it again")) from error


def _again(folder: Path, details: dict[str, Any]) -> Path:
    """The same run, simulated again with everything recorded; its folder. Raises InputError when its files are gone."""
    from mmesim.cli.run import simulate_to
    from mmesim.scenario.schema import Scenario
    data = details["scenario"]
    recorded = {"requests": True, "journal": True, "decisions": True, "report": False, "trace": False}
    scenario = Scenario.model_validate({**data, "output": {**data["output"], **recorded}})
    scenario._source_file = _source(folder)
    note(f"simulating {scenario.name} again, with requests and decisions recorded ...")
    try:
        _, again = simulate_to(scenario, Path(mkdtemp(prefix="mmesim-explain-")), note, bar=True, report=False)
    except InputError as error:
        gone = Problem("the scenario cannot be simulated again: what it names is no longer there, or has changed",
                       hint="explain it in the folder where it was run, or run it with --set output.requests=true")
        raise InputError([gone, *error.problems]) from error
    if _read_json(again, "summary.json")["requests"] != _read_json(folder, "summary.json")["requests"]:
        note("its requests are not those of the first run: mmesim or a file has changed; this is of the second run")
    note(f"recorded in {again}\n")
    return again


def _source(folder: Path) -> Path:
    """The scenario's file, as the run's command named it: files in the scenario stand relative to it."""
    from mmesim.scenario.load import scenario_file
    for word in _read_json(folder, "run_info.json")["command"][1:]:
        try:
            if (path := scenario_file(word)).is_file():
                return path
        except InputError:
            continue
    return Path("scenario.yaml")
