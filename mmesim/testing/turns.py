"""Random situations that a policy is asked about, one after the other, and what a valid answer to each is.

A turn can be asked again and again: it never changes. `turns` draws them from a seed, the awkward ones included: no
candidates at all, everything equal, one instance only, metrics without data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError, dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

from mmesim.core.choice import Choice
from mmesim.core.foresight import Future
from mmesim.core.policy import REFUSE, Candidate, Candidates, EvictionPolicy, Prewarm
from mmesim.core.streams import stream
from mmesim.core.types import NEVER_NS
from mmesim.testing.views import (
    FakeEndpoint,
    FakeInstance,
    FakeMetrics,
    FakeModel,
    candidate,
    candidates,
    model_spec,
)
from mmesim.units import GIB, MIB, NS_PER_S

HOUR_NS = 3600 * NS_PER_S
INT64 = range(-(1 << 63), 1 << 63)


class Turn(Protocol):
    """One situation."""

    def ask(self, policy: Any) -> Any:
        """The policy's answer, as a value that can be compared and printed."""

    def problem(self, answer: Any) -> str:
        """What is wrong with the answer; empty when nothing is."""


def turns(kind: str, seed: int, n: int) -> list[Turn]:
    """`n` situations of a kind of policy, in the order of time; the same for the same seed."""
    rng = stream(seed, "turns", kind)
    now_ns = np.cumsum(rng.integers(NS_PER_S, 100 * NS_PER_S, n)) + HOUR_NS
    return [_DRAW[kind](rng, int(time_ns), number) for number, time_ns in enumerate(now_ns)]


def future(seed: int, n: int) -> Future:
    """Requests to come for a policy that knows them, about as far as `n` turns go."""
    rng = stream(seed, "turns", "future")
    t_ns = np.sort(rng.integers(0, HOUR_NS + n * 50 * NS_PER_S, 10 * n))
    return Future(t_ns, rng.integers(0, 60, 10 * n))


@dataclass(frozen=True)
class Evict:
    """What leaves an instance; before that one model has come and another has gone."""

    candidates: Candidates
    need_bytes: int
    now_ns: int
    came: int
    gone: int

    def ask(self, policy: Any) -> tuple[list[Any], Any]:
        """Its victims, and when to ask again where it holds some back (None where it does not)."""
        policy.loaded(self.candidates.instance, self.came, self.now_ns)
        policy.removed(self.candidates.instance, self.gone, self.now_ns)
        columns = dict(vars(self.candidates))
        answer: list[Any] = list(islice(policy.victims(self.candidates, self.need_bytes, self.now_ns),
                                        len(self.candidates) + 1))
        if any(value is not columns.get(name) for name, value in vars(self.candidates).items() if name != "order"):
            raise FrozenInstanceError("cannot assign to a column of the candidates")
        if len(answer) < len(self.candidates) and type(policy).when_short is not EvictionPolicy.when_short:
            return answer, policy.when_short(self.candidates, self.now_ns)
        return answer, None

    def problem(self, given: tuple[list[Any], Any]) -> str:
        """Victims are candidates, each once, and enough where there is enough, unless `when_short` has an answer."""
        answer, again_ns = given
        if again_ns is not None and (type(again_ns) is not int or REFUSE != again_ns <= self.now_ns):
            return f"when_short returns {again_ns!r}, which is neither REFUSE nor later than now ({self.now_ns})"
        offered = {one.model: one for one in self.candidates}
        models = [victim.model for victim in answer if isinstance(victim, Candidate)]
        if strangers := [v for v in answer if not isinstance(v, Candidate) or offered.get(v.model) != v]:
            return f"yields {strangers[0]!r}, which is none of the candidates"
        if len(set(models)) < len(models):
            return f"yields model {next(m for m in models if models.count(m) > 1)} twice (or never ends)"
        freed, free = sum(victim.size_bytes for victim in answer), sum(one.size_bytes for one in self.candidates)
        if freed < min(self.need_bytes, free) and again_ns is None:
            return f"yields {freed} bytes where {self.need_bytes} are needed and {free} could be had"
        return ""


@dataclass(frozen=True)
class Place:
    """Where a cold model goes."""

    model: FakeModel
    instances: tuple[FakeInstance, ...]
    now_ns: int

    def ask(self, policy: Any) -> Any:
        return policy.place(self.model, self.instances, self.now_ns)

    def problem(self, answer: Any) -> str:
        offered = [instance.index for instance in self.instances]
        if answer is None or (type(answer) is int and answer in offered):
            return ""
        return f"returns {answer!r} ({type(answer).__name__}); possible are None and the int numbers {offered}"


@dataclass(frozen=True)
class Score:
    """Arguments of one call of `score`."""

    arguments: tuple[Choice, int]

    def ask(self, policy: Any) -> Any:
        return policy.score(*self.arguments)

    def problem(self, answer: Any) -> str:
        if not isinstance(answer, int | np.integer) or isinstance(answer, bool):
            return f"returns {answer!r} ({type(answer).__name__}); a score is an int"
        return "" if int(answer) in INT64 else f"returns {answer}, which does not fit into 64 bits"


@dataclass(frozen=True)
class Admit:
    """Arguments of one call of `admit`."""

    arguments: tuple[int, ...]

    def ask(self, policy: Any) -> Any:
        return policy.admit(*self.arguments)

    def problem(self, answer: Any) -> str:
        return "" if isinstance(answer, bool) else f"returns {answer!r} ({type(answer).__name__}), not True or False"


@dataclass(frozen=True)
class Plan:
    """What to load before it is asked for."""

    endpoint: FakeEndpoint
    now_ns: int

    def ask(self, policy: Any) -> list[Any]:
        most = len(self.endpoint.models) * len(self.endpoint.instances)
        return list(islice(policy.plan(self.endpoint, self.now_ns), most + 1))

    def problem(self, answer: list[Any]) -> str:
        """Decisions name serving instances and known models, each pair once."""
        serving = [instance.index for instance in self.endpoint.instances]
        seen: list[tuple[int | None, int]] = []
        for decision in answer:
            if not isinstance(decision, Prewarm):
                return f"yields {decision!r}, which is no Prewarm"
            if decision.instance is None and not decision.load:
                return f"yields {decision!r}: an unload says where"
            if decision.instance not in (*serving, None) or decision.model not in range(len(self.endpoint.models)):
                return f"yields {decision!r}; instances are {serving}, models 0 to {len(self.endpoint.models) - 1}"
            if (decision.instance, decision.model) in seen:
                return f"decides twice about model {decision.model} on instance {decision.instance} (or never ends)"
            seen.append((decision.instance, decision.model))
        return ""


@dataclass(frozen=True)
class Scale:
    """How many instances."""

    metrics: FakeMetrics
    now_ns: int

    def ask(self, policy: Any) -> Any:
        return policy.bounds(self.now_ns), policy.desired(self.metrics, self.now_ns)

    def problem(self, answer: Any) -> str:
        """The answer is a whole number of instances, or no opinion."""
        bounds, desired = answer
        if not (desired is None or type(desired) is int) or (desired is not None and desired < 0):
            return f"desired returns {desired!r} ({type(desired).__name__}), not None or an int of at least 0"
        if not isinstance(bounds, tuple) or len(bounds) != 2 or not all(b is None or type(b) is int for b in bounds):
            return f"bounds returns {bounds!r}, not a pair of int or None"
        if None not in bounds and not 0 <= bounds[0] <= bounds[1]:
            return f"bounds returns {bounds!r}: the least is above the most, or negative"
        return ""


def _evict(rng: np.random.Generator, now_ns: int, number: int) -> Turn:
    n = int(rng.integers(0, 30)) if number else 0
    models = np.sort(rng.choice(60, n, replace=False)).tolist()
    alike = number % 5 == 1
    rows = []
    for model in models:
        last, since = (now_ns // 2,) * 2 if alike else rng.integers(0, now_ns, 2).tolist()
        size = 100 * MIB if alike else int(rng.integers(1, 4000)) * MIB
        uses = 1 if alike else int(rng.integers(0, 50))
        rows.append(candidate(model, size, last_use_ns=last, since_ns=since, uses=uses,
                              rate_rps=float(rng.exponential()), reload_s=float(rng.uniform(0.5, 60))))
    total = sum(row.size_bytes for row in rows)
    need_bytes = int(rng.integers(1, max(2, 5 * total // 4)))
    return Evict(candidates(rows), need_bytes, now_ns, *rng.integers(0, 60, 2).tolist())


def _instances(rng: np.random.Generator, n: int, n_models: int) -> tuple[FakeInstance, ...]:
    numbers = np.sort(rng.choice(2 * n, n, replace=False)).tolist()
    return tuple(_instance(rng, index, n_models) for index in numbers)


def _instance(rng: np.random.Generator, index: int, n_models: int) -> FakeInstance:
    on_disk = np.flatnonzero(rng.random(n_models) < 0.5).tolist()
    ready = [model for model in on_disk if rng.random() < 0.4]
    free = int(rng.choice([0, 100, 500, 2000, 14000])) * MIB
    cold = rng.choice([model for model in range(n_models) if model not in ready], int(rng.integers(0, 4)), False)
    return FakeInstance(index, index % 3, 14 * GIB, min(free, 14 * GIB), int(rng.integers(0, 200)) * GIB,
                        int(rng.integers(0, 20)), 0, int(rng.integers(0, HOUR_NS)) if ready else NEVER_NS,
                        float(rng.exponential(5)), tuple(cold.tolist()), tuple(ready), tuple(on_disk))


def _models(rng: np.random.Generator, instances: Sequence[FakeInstance], n: int) -> tuple[FakeModel, ...]:
    def one(index: int) -> FakeModel:
        spec = model_spec(f"model-{index}", int(rng.integers(1, 4000)) * MIB, pinned=bool(rng.random() < 0.3))
        copies = tuple(instance.index for instance in instances if instance.is_ready(index))
        cold = sum(instance.is_cold(index) for instance in instances)
        return FakeModel(index, spec, copies, int(rng.integers(0, 30)), float(rng.exponential()),
                         int(rng.integers(0, 1000)), int(rng.integers(0, HOUR_NS)), cold)

    return tuple(one(index) for index in range(n))


def _place(rng: np.random.Generator, now_ns: int, number: int) -> Turn:
    instances = _instances(rng, int(rng.integers(1, 8)) if number else 1, 12)
    model = _models(rng, instances, 12)[int(rng.integers(12))]
    without = tuple(instance for instance in instances if not instance.is_ready(model.index))
    return Place(model, without or (FakeInstance(99),), now_ns)


def _plan(rng: np.random.Generator, now_ns: int, number: int) -> Turn:
    instances = _instances(rng, int(rng.integers(1, 6)), 12) if number else ()
    return Plan(FakeEndpoint(_models(rng, instances, 12), instances), now_ns)


def _score(rng: np.random.Generator, now_ns: int, number: int) -> Turn:
    most = [50, 500, 5000, 100_000] if number else [1] * 4
    here, others, elsewhere, uses = rng.integers(0, most).tolist()
    offered, ready = int(rng.integers(1, 20 if number else 2)), int(rng.random() < 0.7)
    draw, request_draw = rng.integers(0, 1 << 62, 2).tolist()
    return Score((Choice(
        model=int(rng.integers(1000)), instance=int(rng.integers(50)), position=int(rng.integers(offered)),
        offered=offered, draw=draw, request_draw=request_draw, outstanding=here, instance_outstanding=here + others,
        endpoint_outstanding=here + others + elsewhere, serving=offered + int(rng.integers(5)),
        last_use_ns=int(rng.integers(0, now_ns)), uses=uses, ready=ready,
        ready_in_ns=0 if ready else int(rng.integers(60 * NS_PER_S)), service_ns=int(rng.integers(NS_PER_S)),
        backlog_ns=(here + others) * int(rng.integers(NS_PER_S))), now_ns))


def _admit(rng: np.random.Generator, now_ns: int, number: int) -> Turn:
    model, others, ready, serving = rng.integers(0, [200, 2000, 6, 8]).tolist()
    return Admit((model, model + others, min(ready, serving), serving, now_ns))


def _scale(rng: np.random.Generator, now_ns: int, number: int) -> Turn:
    levels = np.repeat(rng.choice([0.0, 10.0, 55.0, 80.0, 1e5], 3), 15) * rng.uniform(0.99, 1.01, 45)
    values: list[float | None] = [None if rng.random() < 0.02 else float(level) for level in levels]
    series = [[], [None], [None] * 20][number] if number < 3 else values[:int(rng.integers(1, 46))]
    desired = int(rng.integers(1, 10))
    return Scale(FakeMetrics({"*": tuple(series)}, desired, int(rng.integers(0, desired + 1))), now_ns)


_DRAW: dict[str, Callable[[np.random.Generator, int, int], Turn]] = {
    "eviction": _evict, "placement": _place, "routing": _score, "admission": _admit, "prewarm": _plan,
    "autoscaling": _scale}
