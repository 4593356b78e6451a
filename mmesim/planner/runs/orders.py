"""The work of a comparison, a sweep or a plan in pieces that other processes can do: each piece is one cell, made by a
worker, wherever it is, and stored here as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmesim.errors import InputError
from mmesim.parallel import Workers, finished
from mmesim.planner.bounds import bound_of
from mmesim.planner.runs.cells import Cell, cell_of, load_numbers, save_numbers
from mmesim.planner.runs.contender import Contender
from mmesim.planner.runs.scaled import with_resources
from mmesim.planner.runs.shipping import Parcel, packed, unpacked
from mmesim.scenario.build import build
from mmesim.scenario.schema import Scenario
from mmesim.sim.blame import policies_to_blame
from mmesim.sim.run import simulate

Steps = Callable[[str, int], AbstractContextManager[Callable[[int], None] | None]]
"""``with steps(what, total) as done``: shows progress, see :func:`mmesim.cli.progress.steps`."""


@dataclass(frozen=True)
class Order:
    """One cell to be made."""

    variant: str
    scenario: Scenario = field(repr=False)
    """With its seed."""
    file: Path
    scaled: Mapping[str, float] = field(default_factory=dict)
    """Resource (`mmesim.planner.runs.scaled.RESOURCES`) -> as a multiple of the scenario's."""
    wants_bound: bool = False
    """True: the bound of the requests, no run."""

    def load(self) -> Any:
        """The stored cell (a `Cell`, or a bound's numbers, which are none where there is no bound); None: not there."""
        return load_numbers(self.file) if self.wants_bound else Cell.load(self.file)

    def make(self) -> Any:
        """The cell, made anew. Raises InputError when a policy misbehaves, KeyboardInterrupt when stopped."""
        built = with_resources(build(self.scenario), self.scaled)
        if self.wants_bound:
            best = bound_of(built)
            return asdict(best) if best else {}
        with policies_to_blame(built.policies):
            run = simulate(built)
        if run.partial:
            raise KeyboardInterrupt
        return cell_of(run)

    def store(self, made: Any) -> None:
        """Keep what was made; whoever looks sees all of it or nothing."""
        if self.wants_bound:
            save_numbers(self.file, made)
        else:
            made.save(self.file)


def order_of(contender: Contender, seed: int, folder: Path, *, scaled: Mapping[str, float] | None = None,
             wants_bound: bool = False) -> Order:
    """The run of a variant with a seed, or the bound of its requests; with so much of some resources."""
    scaled = {name: factor for name, factor in sorted((scaled or {}).items()) if factor != 1}
    output = contender.scenario.output.model_copy(update={"requests": False, "journal": False, "trace": False})
    scenario = contender.scenario.model_copy(update={"seed": seed, "output": output})
    what = f"{contender.bound_digest if wants_bound else contender.digest} {seed} {scaled} {wants_bound}"
    file = folder / f"{sha256(what.encode()).hexdigest()[:32]}.npz"
    return Order(contender.name, scenario, file, scaled, wants_bound)


def carry_out(orders: Iterable[Order], workers: Workers, what: str, steps: Steps) -> int:
    """Make every cell that is not stored yet, and store each as soon as it is there; returns how many there were.
    Raises InputError with variant and seed when a policy misbehaves; what is finished stays stored."""
    wanted = list({order.file: order for order in orders}.values())
    missing = [order for order in wanted if order.load() is None]
    if missing:
        with steps(what, len(missing)) as done:
            for n, (number, cell) in enumerate(_made(missing, workers), 1):
                missing[number].store(cell)
                if done:
                    done(n)
    return len(wanted) - len(missing)


def _made(orders: Sequence[Order], workers: Workers) -> Iterator[tuple[int, Any]]:
    """(number of the order, its cell) as they are made."""
    if workers.cluster is None:
        return finished(carry_out_one, orders, workers)
    parcels, content = packed([order.scenario for order in orders])
    sent = [(replace(order, scenario=parcel.scenario), parcel) for order, parcel in zip(orders, parcels, strict=True)]
    return finished(carry_out_sent, sent, workers, shared=content)


def carry_out_sent(sent: tuple[Order, Parcel], content: bytes) -> Any:
    """Make one cell on a machine that has none of the sender's files."""
    order, parcel = sent
    with unpacked(parcel, content) as scenario:
        return carry_out_one(replace(order, scenario=scenario))


def carry_out_one(order: Order) -> Any:
    """Make one cell; what is wrong is told with variant and seed."""
    try:
        return order.make()
    except InputError as error:
        told = f" (variant {order.variant!r}, seed {order.scenario.seed})"
        raise InputError([replace(problem, message=problem.message + told) for problem in error.problems]) from error
