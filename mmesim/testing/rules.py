"""The rules a policy keeps, one function a rule: returns what it saw, or raises a `Verdict`.

The first four look at the class, the others ask the policy about random situations (:mod:`mmesim.testing.turns`).
"""

from __future__ import annotations

import ast
import inspect
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from mmesim.core.policy import ClairvoyantEviction, Policy, parts
from mmesim.core.streams import stream
from mmesim.policies.registry import BASES, kind_of, parameters, unlike
from mmesim.testing.compiled import NotCompilable, compiled
from mmesim.testing.elsewhere import fingerprint, fingerprint_elsewhere
from mmesim.testing.report import Status
from mmesim.testing.turns import Scale, future, turns
from mmesim.testing.views import FakeMetrics

SEED = 7
TURNS = 60
COMPILED_INPUTS = 1000
SLOW_S = 1e-3
"""A decision above this is worth a warning."""
METHODS = {"routing": "score", "admission": "admit"}
"""What the kernel compiles."""
NO_CLOCK = ("time", "datetime", "random", "secrets", "uuid", "asyncio", "threading", "multiprocessing", "subprocess",
            "socket", "requests", "urllib", "http", "simpy", "boto3")
"""Modules that bring a clock, chance of their own, or the world."""
OWN = ("mmesim.core", "mmesim.policies", "mmesim.units", "mmesim.errors", "mmesim.testing")
"""What a policy's file may import of this package."""


class Verdict(Exception):
    """A check that does not simply pass."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@dataclass
class Subject:
    """The policy under examination."""

    policy: Policy
    """Never asked: every check takes a fresh copy."""
    kind: str

    @property
    def cls(self) -> type[Policy]:
        """Its class."""
        return type(self.policy)

    def fresh(self) -> Policy:
        """A copy with its own random stream from the start."""
        policy = deepcopy(self.policy)
        waiting = [policy]
        while waiting:
            one = waiting.pop()
            one.rng = stream(SEED, "policy")
            if isinstance(one, ClairvoyantEviction):
                one.future = future(SEED, TURNS)
            waiting += [inner for _, inner in parts(one)]
        return policy


def is_policy(cls: type, kind: str | None) -> str:
    """It derives from one base class, the one that is wanted, and defines its method."""
    found = kind_of(cls)
    bases = ", ".join(base.__name__ for base in BASES.values())
    if found is None:
        raise Verdict(Status.FAIL, f"derives from none of {bases}")
    if kind is not None and kind != found:
        raise Verdict(Status.FAIL, f"is a policy for {found}, not for {kind}")
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise Verdict(Status.FAIL, f"does not define {', '.join(missing)}")
    if told := unlike(found, cls):
        raise Verdict(Status.FAIL, told)
    return found


def parameters_are_fields(cls: type) -> None:
    """A dataclass whose public fields are the parameters; private state is no parameter."""
    if not is_dataclass(cls) or "__dataclass_fields__" not in vars(cls):
        raise Verdict(Status.FAIL, "is no dataclass: write @dataclass above the class")
    public = [own.name for own in fields(cls) if own.init and own.name.startswith("_")]
    if public:
        raise Verdict(Status.FAIL, f"{public[0]} is private state and a parameter: write field(init=False, …)")
    if cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise Verdict(Status.FAIL, "is frozen: the endpoint could not give it its random stream")


def parameters_are_told(cls: type) -> str:
    """The registry understands the parameters, and each says what it is."""
    found = parameters(cls)
    undocumented = [p.name for p in found if not p.doc]
    if undocumented:
        raise Verdict(Status.WARN, f"without a docstring under the field: {', '.join(undocumented)}")
    return ", ".join(f"{p.name} ({p.default_text})" for p in found) or "none"


def imports(cls: type) -> str:
    """A policy knows no clock, no chance of its own and no world; that is why it can go live."""
    try:
        tree = ast.parse(Path(inspect.getfile(cls)).read_text(encoding="utf-8"))
    except (OSError, TypeError, SyntaxError):
        raise Verdict(Status.SKIP, "its source is not in a file") from None
    names = list(_imported(tree))
    if world := [name for name in names if name.split(".")[0] in NO_CLOCK]:
        raise Verdict(Status.FAIL, f"imports {', '.join(world)}: time comes as now_ns, chance as self.rng")
    own = tuple(f"{package}." for package in OWN)
    if above := [name for name in names if name.split(".")[0] == "mmesim" and not f"{name}.".startswith(own)]:
        raise Verdict(Status.FAIL, f"imports {', '.join(above)}; of mmesim a policy needs mmesim.core only")
    others = [n for n in names if n.split(".")[0] not in ({"mmesim", "numpy"} | sys.stdlib_module_names)]
    if others:
        raise Verdict(Status.WARN, f"imports {', '.join(others)}: must be there wherever it runs")
    return ""


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def answers(subject: Subject) -> str:
    """Valid answers, nothing shown is changed, nothing unknown is asked for, and every answer ends."""
    policy = subject.fresh()
    stateless = subject.kind in METHODS
    for turn in turns(subject.kind, SEED, TURNS):
        before = _state(policy) if stateless else ""
        if problem := turn.problem(turn.ask(policy)):
            raise Verdict(Status.FAIL, problem)
        if stateless and _state(policy) != before:
            raise Verdict(Status.FAIL, f"{METHODS[subject.kind]} changes the policy: the compiled one cannot")
    return f"{TURNS} situations"


def _state(policy: Policy) -> str:
    return repr((vars(policy), policy.rng.bit_generator.state))


def repeatable(subject: Subject) -> str:
    """Same views and same random stream, same decisions."""
    first, second = (fingerprint(subject.fresh(), subject.kind, SEED, TURNS) for _ in range(2))
    if first != second:
        raise Verdict(Status.FAIL, "decides differently when asked the same again: use self.rng for chance, keep no "
                                   "state outside the object")
    return ""


def any_process(subject: Subject) -> str:
    """Same decisions in another process, with other hashes of strings."""
    policy = subject.fresh()
    try:
        pickle.dumps(policy)
    except Exception as error:
        raise Verdict(Status.SKIP, f"cannot be sent to another process: {error}") from None
    try:
        there = fingerprint_elsewhere(policy, subject.kind, SEED, TURNS)
    except RuntimeError as error:
        raise Verdict(Status.SKIP, f"does not run in another process: {error}") from None
    if there != fingerprint(policy, subject.kind, SEED, TURNS):
        raise Verdict(Status.FAIL, "decides differently in another process: use neither hash() nor id() nor the order "
                                   "of a set")
    return ""


def copies(subject: Subject) -> str:
    """A copy of a policy in mid-run goes on like the original."""
    policy, situations = subject.fresh(), turns(subject.kind, SEED, TURNS)
    for turn in situations[:TURNS // 2]:
        turn.ask(policy)
    copies = [deepcopy(policy)]
    try:
        pickle.dumps(subject.cls)
    except Exception:
        importable = False
    else:
        importable = True
        copies.append(pickle.loads(pickle.dumps(policy)))
    goes_on, *others = [[turn.ask(one) for turn in situations[TURNS // 2:]] for one in (policy, *copies)]
    if any(repr(other) != repr(goes_on) for other in others):
        raise Verdict(Status.FAIL, "a copy in mid-run decides differently: keep all state in the object")
    if not importable:
        raise Verdict(Status.WARN, "can be copied but not pickled: put the class at the top level of a module")
    return ""


def agrees_compiled(subject: Subject) -> str:
    """The kernel's version and Python's agree."""
    policy, method = subject.fresh(), METHODS[subject.kind]
    situations: list[Any] = turns(subject.kind, SEED + 1, COMPILED_INPUTS)
    if subject.kind == "admission" and type(policy).always:  # type: ignore[attr-defined]
        return "never asked"
    try:
        function = compiled(policy, situations[0].arguments)
    except NotCompilable as reason:
        raise Verdict(Status.WARN, f"works, but each choice runs in Python: {reason}") from None
    for turn in situations:
        here, there = _outcome(getattr(policy, method), turn.arguments), _outcome(function, turn.arguments)
        if here != there:
            raise Verdict(Status.FAIL, f"{method}{turn.arguments} is {here} in Python and {there} compiled")
    return f"{COMPILED_INPUTS} inputs agree"


def _outcome(function: Callable[..., Any], arguments: tuple[int, ...]) -> Any:
    try:
        return function(*arguments)
    except ArithmeticError as error:
        return type(error).__name__


def no_data(subject: Subject) -> str:
    """Without any datapoint a policy that follows a metric has no opinion."""
    empty, missing = FakeMetrics(), FakeMetrics({"*": (None,) * 60})
    said = [Scale(metrics, 10**12).ask(subject.fresh())[1] for metrics in (empty, missing)]
    if said == [None, None]:
        return "no opinion"
    return f"says {said[0]} before the first datapoint, {said[1]} without data"


def places(subject: Subject) -> str:
    """It places something at all."""
    policy = subject.fresh()
    placed = sum(turn.ask(policy) is not None for turn in turns(subject.kind, SEED, TURNS))
    if not placed:
        raise Verdict(Status.FAIL, "places nothing anywhere: no model would ever be loaded")
    return f"{placed} of {TURNS} placed"


def speed(subject: Subject) -> str:
    """Processor time of a decision, as asked here: how busy the machine is makes no difference."""
    policy = subject.fresh()
    situations = turns(subject.kind, SEED, TURNS)
    start = time.process_time()
    for turn in situations:
        turn.ask(policy)
    each_s = (time.process_time() - start) / TURNS
    text = f"{each_s * 1e6:.0f} µs a decision"
    if each_s > SLOW_S:
        raise Verdict(Status.WARN, f"{text}: a run makes thousands")
    return text


Rule = Callable[[Subject], str | None]
FIRST: dict[str, Rule] = {"answers": answers, "repeatable": repeatable}
"""Without these the others make no sense."""
ALWAYS: dict[str, Rule] = {"any process": any_process, "copies": copies, "speed": speed}
OF_KIND: dict[str, dict[str, Rule]] = {
    "routing": {"compiled": agrees_compiled}, "admission": {"compiled": agrees_compiled},
    "placement": {"places": places}, "autoscaling": {"no data": no_data}}
