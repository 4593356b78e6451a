"""The live machine is the simulator's control and data plane: the same inputs give the same decisions.

Random small endpoints are simulated whole (reference data plane, simulated world). What came in from outside (the
requests' arrivals and ends, the world's events) is written down in its order, and then fed to a live machine. Every
step of the controller, every request's copy, tier and failure, and the residency table at the end must be equal.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from reference.invocation import Invocation
from reference.plane import ReferencePlane
from test_agreement_engine import Steps, scenario, scenarios, write_profile

from mmesim.core import events as ev
from mmesim.core.residency import ResidencyTable
from mmesim.core.types import Failure, Tier
from mmesim.dataplane.door import FrontDoor
from mmesim.live.machine import DERIVED, Machine
from mmesim.live.ports import Ticket
from mmesim.live.setup import Setup
from mmesim.results.recorder import Recorder
from mmesim.scenario.build import Build, build
from mmesim.scenario.load import load_scenario
from mmesim.sim.engine import Engine


class Told(ReferencePlane):
    """Writes down every arrival and every end at a server, in order."""

    log: list[Any]

    def issue(self, invocation: Invocation) -> None:
        """See `ReferencePlane`."""
        self.log.append((self.now_ns, "arrive", self._issued, invocation))
        super().issue(invocation)

    def _leave(self, invocation: Invocation) -> None:
        self.log.append((self.now_ns, "depart", invocation.serial, invocation))
        super()._leave(invocation)

    def fail_instance(self, instance: int, failure: Failure) -> None:
        """See `ReferencePlane`; these ends follow from the loss."""
        log, self.log = self.log, []
        super().fail_instance(instance, failure)
        self.log = log


class Outputs:
    """A sink that keeps steps."""

    def __init__(self) -> None:
        self.steps: list[Any] = []

    def step(self, *told: Any) -> None:
        """See `Sink`."""
        self.steps.append(told[:3])

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def simulated(drawn: dict[str, Any], folder: Path) -> tuple[Build, list[Any], ResidencyTable]:
    """(build, all that happened in order, table at the end) of a simulated run."""
    path, log = folder / "agreement.yaml", []
    path.write_text(yaml.safe_dump(scenario(drawn) | {"duration": "40s"}))
    write_profile(drawn, folder)
    made = build(load_scenario(str(path), ()))

    def plane(*args: Any) -> Told:
        Told.log = log
        return Told(*args)

    engine = Engine(made, Recorder(made, journal=Steps(log)), plane)
    engine.run()
    return made, log, engine.table


def fed(made: Build, log: list[Any], out: Outputs) -> tuple[Machine, dict[int, Ticket]]:
    """The inputs through a live machine; returns it and the tickets by serial."""
    specs = tuple(model.spec for model in made.models)
    made_of = Setup("same", made.seed, made.endpoint, made.scenario.endpoint, made.scenario.base_dir, specs,
                    made.scenario.endpoint.instances.initial)
    machine = Machine(made_of, made_of.policies(), out, lambda _: None, lambda _: None)
    machine.table.model.exists[:] = 1
    tickets: dict[int, Ticket] = {}
    for (now_ns, what, subject, more), (next_ns, follows, *_) in pairwise([*log, (-1, "", 0, 0)]):
        # What ends at one instant in the simulator ends before the controller hears of any of it.
        together = what == follows == "depart" and now_ns == next_ns
        machine._work = (lambda: None) if together else MethodType(Machine._work, machine)  # type: ignore[method-assign]
        if what == "arrive":
            tickets[subject] = Ticket(subject, more.model, "", now_ns)
            machine.arrive(tickets[subject], now_ns)
        elif what == "depart":
            machine.depart(tickets[subject], Failure.NONE, now_ns)
        elif isinstance(what, ev.InstanceLost):
            machine.lose(what.instance, what.reason, now_ns)
        elif not isinstance(what, DERIVED):
            machine.post(what, now_ns)
    machine.check()
    return machine, tickets


def compare(drawn: dict[str, Any], folder: Path, seen: Counter[str]) -> None:
    """Simulated against live."""
    made, log, table = simulated(drawn, folder)
    out = Outputs()
    machine, tickets = fed(made, log, out)
    assert out.steps == [entry[:3] for entry in log if not isinstance(entry[1], str)]
    for _, what, serial, invocation in log:
        if what == "arrive":
            ticket = tickets[serial]
            assert ticket.instance == invocation.instance, invocation
            assert invocation.tier == -1 or ticket.tier == Tier(invocation.tier), invocation
            seen[Tier(invocation.tier).name if invocation.tier >= 0 else ticket.failure.name] += 1
    for mine, theirs in ((machine.table.copies, table.copies), (machine.table.models, table.models),
                         (machine.table.instances, table.instances)):
        assert [name for name in mine.dtype.names if not np.array_equal(mine[name], theirs[name])] == []
    seen.update(type(event).__name__ for _, event, *_ in log)


def check_all(folder: Path, examples: int) -> Counter[str]:
    """Random endpoints."""
    seen: Counter[str] = Counter()

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(scenarios)
    def check(drawn: dict[str, Any]) -> None:
        compare(drawn, folder, seen)

    check()
    return seen


def test_simulated_and_live_decide_the_same(tmp_path: Path) -> None:
    seen = check_all(tmp_path, 15)
    wanted = ["GPU", "DISK", "S3", "THROTTLED", "ModelMissed", "CopyWished", "CopyIdle", "InstanceLost",
              "InstanceDrained"]
    assert not [what for what in wanted if not seen[what]], seen


FAULTS = {
    "forgets a use": ("send", lambda door, send: lambda *at: (send(*at), _minus(door.table.copy.uses, at))[0]),
    "never wishes": ("_wishes", lambda door, wishes: lambda *at: False),
    "joins nothing": ("route", lambda door, route: lambda *at: route(*at)._replace(failure=Failure.NONE)),
    "counts an end twice": ("leave", lambda door, leave: lambda *at: (True, leave(*at)[1])),
}


def _minus(column: Any, at: tuple[int, int, int]) -> None:
    column[at[0] * 12 + at[1]] -= 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    name, faulty = FAULTS[fault]
    sound = getattr(FrontDoor, name)
    monkeypatch.setattr(FrontDoor, name, lambda door, *at: faulty(door, sound.__get__(door))(*at))
    with pytest.raises((AssertionError, KeyError, ValueError)):
        check_all(tmp_path, 15)


