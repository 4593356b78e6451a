"""The conformance kit passes every built-in policy and catches planted sins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from mmesim.core.choice import Choice
from mmesim.core.policy import (
    AdmissionPolicy,
    AutoscalingPolicy,
    Candidate,
    Candidates,
    EndpointView,
    EvictionPolicy,
    InstanceView,
    MetricsView,
    ModelView,
    PlacementPolicy,
    Policy,
    Prewarm,
    PrewarmPolicy,
    RoutingPolicy,
)
from mmesim.policies.registry import KINDS, find, known, resolve
from mmesim.testing import Status, check_policy, conformance
from mmesim.testing.turns import turns
from mmesim.testing.views import candidate, candidates

HERE = Path(__file__).parent
REQUIRED: dict[str, dict[str, object]] = {
    "fixed": {"instances": 2},
    "target_tracking": {"metric": "GPUUtilization", "target": 60},
    "step": {"metric": "GPUUtilization", "threshold": 60, "steps": [{"from": 0, "add": 1}]},
    "scheduled": {"actions": [{"at": "1h", "min": 2}]},
    "kpa": {"target": 10},
    "forecast_staffing": {"instance_rps": 20},
    "slo_feedback": {"objective": "500ms"},
}
BUILT_IN = [(kind, name) for kind in KINDS for name in known(kind)]


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_built_in_policies_conform_without_a_warning(kind: str, name: str) -> None:
    report = check_policy(find(kind, name, HERE), kind, REQUIRED.get(name))
    assert {check.status for check in report.checks} == {Status.PASS}, report


def test_the_turns_are_the_same_for_a_seed_and_not_for_another() -> None:
    for kind in KINDS:
        assert [repr(vars(turn)) for turn in turns(kind, 1, 5)][1:] != [repr(vars(t)) for t in turns(kind, 2, 5)][1:]
    assert turns("placement", 1, 20) == turns("placement", 1, 20)


def test_target_tracking_is_examined_in_all_its_moods() -> None:
    """The random metrics make it scale out, in, stay and have no opinion; else the checks would say little."""
    policy = resolve("autoscaling", "target_tracking", REQUIRED["target_tracking"], HERE)
    moods = set()
    for turn in turns("autoscaling", 7, 60):
        wish = turn.ask(policy)[1]
        present = turn.metrics.desired  # type: ignore[attr-defined]
        moods.add(None if wish is None else (wish > present) - (wish < present))
    assert moods == {None, -1, 0, 1}


def test_columns_cannot_be_made_writable() -> None:
    with pytest.raises(ValueError, match="WRITEABLE"):
        candidates([candidate(1)]).uses.setflags(write=True)


# Planted sins. Each class but for one line is a policy that would pass.

@dataclass
class Sound(EvictionPolicy):
    """Evicts as it should."""

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        yield from candidates


class NoDataclass(Sound):
    pass


@dataclass(frozen=True)
class Frozen(EvictionPolicy):
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        yield from candidates


@dataclass
class PublicPrivate(Sound):
    _seen: int = 0


@dataclass
class Unwritable(Sound):
    when: complex = 0j


@dataclass
class GlobalChance(Sound):
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        rows = list(candidates)
        __import__("random").shuffle(rows)
        return rows


@dataclass
class ClassState(Sound):
    asked: ClassVar[list[int]] = []

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        self.asked.append(1)
        rows = list(candidates)
        return rows if len(self.asked) % 7 else rows[::-1]


@dataclass
class HashOrder(Sound):
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        return sorted(candidates, key=lambda one: hash(one.spec.name))


@dataclass
class Mutator(Sound):
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        candidates.uses[:] = 0
        return candidates.ordered(candidates.last_use_ns)


@dataclass
class ColumnSwapper(Sound):
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        candidates.uses = candidates.uses * 2
        return candidates.ordered(candidates.uses)


@dataclass
class Stranger(Sound):
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        yield from candidates
        yield candidate(61)


@dataclass
class Numbers(Sound):
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Any]:
        return [int(model) for model in candidates.model]


@dataclass
class Twice(Sound):
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        for one in candidates:
            yield one
            yield one


@dataclass
class Stingy(Sound):
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        return list(candidates)[:2]


@dataclass
class Endless(Sound):
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterator[Candidate]:
        while True:
            yield from candidates.ordered(candidates.uses)
            if not len(candidates):
                return


@dataclass
class Stuck(Sound):
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        while True:
            pass


@dataclass
class CrashesOnNothing(Sound):
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        return [candidates[0], *list(candidates)[1:]]


@dataclass
class KeepsGenerator(Sound):
    _chain: Any = field(init=False, default=None)

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        self._chain = iter(lambda: 0, 1)
        return list(candidates)


@dataclass
class ReturnsView(PlacementPolicy):
    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> Any:
        return instances[0]


@dataclass
class ReturnsNumpy(PlacementPolicy):
    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> Any:
        return np.int64(instances[0].index)


@dataclass
class ReturnsPosition(PlacementPolicy):
    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        return len(instances) - 1


@dataclass
class Refuses(PlacementPolicy):
    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        return None


@dataclass
class Reserves(PlacementPolicy):
    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        instances[0].outstanding += 1  # type: ignore[misc]
        return instances[0].index


@dataclass
class LooksInside(PlacementPolicy):
    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        return instances[0].ledger.index  # type: ignore[attr-defined, no-any-return]


@dataclass
class FloatScore(RoutingPolicy):
    def score(self, copy: Choice, now_ns: int) -> int:
        return copy.outstanding / 2  # type: ignore[return-value]


@dataclass
class CountingScore(RoutingPolicy):
    _n: int = field(init=False, default=0)

    def score(self, copy: Choice, now_ns: int) -> int:
        self._n += 1
        return self._n


@dataclass
class ChancyScore(RoutingPolicy):
    def score(self, copy: Choice, now_ns: int) -> int:
        return int(self.rng.integers(9))


@dataclass
class Overflow(RoutingPolicy):
    def score(self, copy: Choice, now_ns: int) -> int:
        return (copy.draw * 1000) >> 12


@dataclass
class NumericAnswer(AdmissionPolicy):
    def admit(self, model_outstanding: int, endpoint_outstanding: int, ready_copies: int, serving_instances: int,
              now_ns: int) -> bool:
        return model_outstanding & 1  # type: ignore[return-value]


@dataclass
class Everywhere(PrewarmPolicy):
    def plan(self, endpoint: EndpointView, now_ns: int) -> Iterable[Prewarm]:
        return [Prewarm(0, 0)]


@dataclass
class Negative(AutoscalingPolicy):
    def desired(self, metrics: MetricsView, now_ns: int) -> int | None:
        return metrics.in_service - 3


@dataclass
class TrustsMetrics(AutoscalingPolicy):
    def desired(self, metrics: MetricsView, now_ns: int) -> int | None:
        return 1 + int(max(metrics.datapoints("GPUUtilization", "Average", 5)) > 50)  # type: ignore[type-var, operator]


@dataclass
class WholeFloat(AutoscalingPolicy):
    def desired(self, metrics: MetricsView, now_ns: int) -> int | None:
        return np.ceil(metrics.desired * 1.5)  # type: ignore[no-any-return]


SINS: list[tuple[type[Policy], str, str]] = [
    (NoDataclass, "dataclass", "@dataclass"),
    (Frozen, "dataclass", "frozen"),
    (PublicPrivate, "dataclass", "_seen"),
    (Unwritable, "made", "cannot be written"),
    (GlobalChance, "repeatable", "self.rng"),
    (ClassState, "repeatable", "outside the object"),
    (HashOrder, "any process", "hash()"),
    (Mutator, "answers", "changes what it is shown"),
    (ColumnSwapper, "answers", "changes what it is shown"),
    (Stranger, "answers", "none of the candidates"),
    (Numbers, "answers", "none of the candidates"),
    (Twice, "answers", "twice"),
    (Stingy, "answers", "are needed"),
    (Endless, "answers", "twice (or never ends)"),
    (CrashesOnNothing, "answers", "IndexError"),
    (KeepsGenerator, "copies", "pickle"),
    (ReturnsView, "answers", "possible are None and"),
    (ReturnsNumpy, "answers", "int64"),
    (ReturnsPosition, "answers", "possible are None and"),
    (Refuses, "places", "nothing"),
    (Reserves, "answers", "changes what it is shown"),
    (LooksInside, "answers", "ledger"),
    (FloatScore, "answers", "a score is an int"),
    (CountingScore, "answers", "changes the policy"),
    (ChancyScore, "answers", "changes the policy"),
    (Overflow, "compiled", "in Python and"),
    (NumericAnswer, "answers", "not True or False"),
    (Everywhere, "answers", "instances are"),
    (Negative, "answers", "at least 0"),
    (TrustsMetrics, "answers", "line "),
    (WholeFloat, "answers", "float64"),
]


@pytest.mark.parametrize(("sinner", "check", "told"), SINS, ids=[sin[0].__name__ for sin in SINS])
def test_planted_sins_are_caught(sinner: type[Policy], check: str, told: str) -> None:
    params = {"when": 1} if sinner is Unwritable else None
    report = check_policy(sinner, params=params)
    assert not report.ok
    assert [(one.name, told in one.message) for one in report.failures] == [(check, True)], report


def test_an_answer_that_never_comes_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "TIME_LIMIT_S", 0.2)
    assert "does not come back" in check_policy(Stuck).failures[0].message


def test_a_clock_is_caught_by_its_import(tmp_path: Path) -> None:
    text = Path(HERE.parent, "docs", "examples", "my_policies.py").read_text(encoding="utf-8")
    for line, told in (("import time", "imports time"), ("from datetime import datetime", "imports datetime"),
                       ("import mmesim.sim.link", "imports mmesim.sim.link")):
        (tmp_path / "late.py").write_text(text.replace("from dataclasses", f"{line}\nfrom dataclasses"))
        report = check_policy(find("eviction", "late:BiggestFirst", tmp_path))
        assert [(one.name, told in one.message) for one in report.failures] == [("imports", True)], report


def test_a_score_that_numba_cannot_compile_is_a_warning() -> None:
    @dataclass
    class Texty(RoutingPolicy):
        """Has a text."""

        order: str = "up"
        """Direction."""

        def score(self, copy: Choice, now_ns: int) -> int:
            return copy.outstanding if self.order == "up" else -copy.outstanding

    report = check_policy(Texty)
    rows = {name: (status, message) for name, status, message in report.rows()}
    assert report.ok
    assert rows["compiled"][0] == "warn"
    assert "works, but each choice runs in Python: " in rows["compiled"][1]
    assert rows["copies"][0] == "warn"
    assert rows["any process"][0] == "skip"


def test_wrong_kinds_and_missing_parameters() -> None:
    assert "for eviction, not for routing" in check_policy(Sound, "routing").failures[0].message
    assert "derives from none of" in check_policy(int).failures[0].message  # type: ignore[arg-type]
    assert "does not define victims" in check_policy(EvictionPolicy).failures[0].message
    report = check_policy(find("autoscaling", "fixed", HERE))
    assert [(one.name, "instances is missing" in one.message) for one in report.failures] == [("made", True)]


def test_an_object_is_examined_as_it_is_and_left_alone() -> None:
    policy = find("placement", "hash", HERE)(virtual_nodes=3)  # type: ignore[call-arg]
    report = check_policy(policy)
    assert report.ok
    assert policy._points == {}  # type: ignore[attr-defined]
    assert "  pass  answers" in str(report)
