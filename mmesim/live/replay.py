"""A live journal through a fresh machine: the same inputs must give the same outputs, line by line.

The outputs of the new machine are written as the journal writes them, and compared as text: nothing can be equal that
is not. After the first difference the two go different ways, so it ends the replay; the rest is only counted.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmesim.core import actions as act
from mmesim.core.policy import Policies
from mmesim.errors import InputError, Problem, alternatives
from mmesim.journal.entries import Arrived, Departed, Entry, Lost, Refused, Sent, Step
from mmesim.journal.read import JournalReader
from mmesim.journal.text import DECISIONS, Lines
from mmesim.live.machine import DERIVED, Machine, Sink
from mmesim.live.ports import Ticket
from mmesim.live.setup import Setup
from mmesim.scenario.endpoint import Endpoint
from mmesim.scenario.overrides import apply_overrides
from mmesim.yamldoc import Document, validate

CONTEXT = 6
"""Lines shown before a difference."""
EVICTED = "evicted for "
POLICIES = tuple(f"endpoint.{kind}" for kind in ("routing", "placement", "eviction", "prewarm", "admission",
                                                 "autoscaling"))
"""What may be another one in a replay."""
_DERIVED = tuple(f'"event":{{"{kind.__name__}"' for kind in DERIVED)


@dataclass
class Difference:
    """The first place where recorded and new outputs part. Lines as the journal has them; "": there is none."""

    now_ns: int
    line: int
    """Of the recorded one, from 1, the header included."""
    recorded: str
    replayed: str
    before: list[str]
    """The last recorded lines before it."""
    error: str = ""
    """Why the new machine could not go on."""


@dataclass
class Outcome:
    """What a replay has shown."""

    counts: Counter[str] = field(default_factory=Counter)
    """Of the recorded lines: requests, sent, refused, steps, actions, evictions, loads, unloads, downloads."""
    equal: Counter[str] = field(default_factory=Counter)
    """Of those, what came out the same; only steps, actions, sent and refused."""
    difference: Difference | None = None
    cut_off: bool = False
    """The journal has no end: its writer was killed, or still writes."""
    ended_ns: int = 0
    wall_s: float = 0.0

    @property
    def is_equal(self) -> bool:
        """100 % of the outputs."""
        return self.difference is None


def setup_of(journal: JournalReader, overrides: Sequence[str] = ()) -> Setup:
    """What the endpoint was made of, with ``endpoint.… = value`` overrides of its policies. Raises InputError when the
    journal is not of a live endpoint."""
    if not journal.is_live:
        raise InputError(Problem(f"{journal.name} is the journal of a simulated run: it holds no requests",
                                 hint="`mmesim live serve` and `mmesim live parity` write journals that can be "
                                 "replayed; a run can simply be run again"))
    try:
        setup = Setup.from_json(journal.header["live"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(Problem(f"the header of {journal.name} is damaged: {error}", line=1)) from error
    return with_overrides(setup, overrides)


def with_overrides(setup: Setup, overrides: Sequence[str]) -> Setup:
    """The same endpoint with other policies. Raises InputError for settings that are none, or are no policies."""
    wrong = [Problem("is no policy of an endpoint", file=f"--set {text}", hint=alternatives(text, POLICIES))
             for text in overrides if not text.startswith(POLICIES)]
    if wrong:
        raise InputError(wrong)
    plain = setup.settings.model_dump(mode="json", by_alias=True)
    changed = apply_overrides(Document({"endpoint": plain}, "--set"), overrides)
    places = {path.removeprefix("endpoint."): place for path, place in changed.places.items()}
    return replace(setup, settings=validate(Endpoint, Document(changed.data["endpoint"], "--set", places)))


class Replay:
    """Feeds the inputs of a journal to a fresh machine and compares what comes out."""

    def __init__(self, setup: Setup, policies: Policies, also: Sink | None = None) -> None:
        """`also` is told what comes out, too."""
        self.outcome = Outcome()
        self._names = [model.name for model in setup.models]
        self._out: deque[str] = deque()
        self._before: deque[str] = deque(maxlen=CONTEXT)
        sink = Lines(self._out.append)
        self.machine = Machine(setup, policies, sink if also is None else Both(sink, also), _nothing, _nothing)

    def take(self, line: str, parse: Callable[[str], Entry], number: int = 0) -> bool:
        """One line of the journal; False: there is a difference now. `parse` reads it. Raises InputError when the line
        says nothing."""
        entry = parse(line)
        told = line.find(DECISIONS)
        line = line if told < 0 else f"{line[:told]}}}"
        if _is_input(line) and not self._fed(entry, line, number):
            return False
        _count(self.outcome.counts, entry)
        return self._equal(line, number, entry)

    def _fed(self, entry: Entry, line: str, number: int) -> bool:
        """Hand an input to the machine; all that came out before must have been compared."""
        if self._out:
            return self._differs(line, self._out[0], number, entry)
        try:
            self._feed(entry)
        except Exception as error:  # a policy's, or a journal that cannot be: both are told
            return self._differs(line, "", number, entry, f"{type(error).__name__}: {error}")
        return True

    def _feed(self, entry: Entry) -> None:
        machine = self.machine
        if isinstance(entry, Arrived):
            name = self._names[entry.model]
            machine.arrive(Ticket(entry.serial, entry.model, name, entry.now_ns), entry.now_ns)
        elif isinstance(entry, Departed):
            machine.depart(machine.in_flight[entry.serial], entry.failure, entry.now_ns)
        elif isinstance(entry, Lost):
            machine.lose(entry.instance, entry.reason, entry.now_ns)
        elif isinstance(entry, Step):
            machine.post(entry.event, entry.now_ns)

    def _equal(self, line: str, number: int, entry: Entry) -> bool:
        replayed = self._out.popleft() if self._out else ""
        if replayed != line:
            return self._differs(line, replayed, number, entry)
        _count(self.outcome.equal, entry)
        self._before.append(line)
        self.outcome.ended_ns = self.machine.now_ns
        return True

    def _differs(self, recorded: str, replayed: str, number: int, entry: Entry, error: str = "") -> bool:
        now_ns = getattr(entry, "now_ns", self.machine.now_ns)
        self.outcome.difference = Difference(now_ns, number, recorded, replayed, list(self._before), error)
        return False

    def finish(self, cut_off: bool, number: int) -> Outcome:
        """The last line was read; what the last input gave may be lacking when the journal is cut off."""
        outcome = self.outcome
        outcome.cut_off = cut_off
        if outcome.is_equal:
            if self._out and not cut_off:
                outcome.difference = Difference(self.machine.now_ns, number, "", self._out[0], list(self._before))
            self.machine.check()
        return outcome


class Both:
    """Two sinks in place of one."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def __getattr__(self, name: str) -> Callable[..., None]:
        methods = [getattr(sink, name) for sink in self._sinks]

        def both(*args: Any) -> None:
            for method in methods:
                method(*args)

        self.__dict__[name] = both
        return both


def replay(journal: JournalReader, setup: Setup, *, also: Sink | None = None,
           progress: Callable[[int], None] | None = None) -> Outcome:
    """A whole journal through a machine made of `setup`. `progress` gets the journal's time in ns now and then."""
    started_s = time.perf_counter()
    run = Replay(setup, setup.policies(), also)
    number = 1
    for number, line in enumerate(journal.lines(), start=2):
        if run.outcome.is_equal:
            run.take(line, journal.entry, number)
        else:
            _count(run.outcome.counts, journal.entry(line))
        if progress is not None and number % 4096 == 0:
            progress(run.machine.now_ns)
    outcome = run.finish(journal.cut_off, number)
    outcome.wall_s = time.perf_counter() - started_s
    return outcome


def _is_input(line: str) -> bool:
    """Whether it came from outside the machine."""
    kind = line[line.index(",") + 1:]
    return kind.startswith(('"arrive"', '"depart"', '"lost"')) or (
        kind.startswith('"event"') and not kind.startswith(_DERIVED))


def _count(counts: Counter[str], entry: Entry) -> None:
    if isinstance(entry, Step):
        counts["steps"] += 1
        counts["actions"] += len(entry.actions)
        for action in entry.actions:
            if (name := _ACTIONS.get(type(action))) is not None:
                counts[name] += 1
            counts["evictions"] += isinstance(action, act.UnloadModel) and action.reason.startswith(EVICTED)
    elif isinstance(entry, Arrived | Sent | Refused):
        counts[_LINES[type(entry)]] += 1


_ACTIONS = {act.LoadModel: "loads", act.UnloadModel: "unloads", act.StartDownload: "downloads"}
_LINES = {Arrived: "requests", Sent: "sent", Refused: "refused"}


def _nothing(_: object) -> None:
    """The world has done it already, at its time."""
