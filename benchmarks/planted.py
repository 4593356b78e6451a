"""The planner on cases with a known answer (`tests/planted.py`): what it finds, what it says binds, what it took.

Run: ``python -m benchmarks.planted [case …]``; ``--seed N`` (several) for other requests; ``--verbose`` for the plans
in words; ``--truth`` to try every candidate with many seeds instead, which is what an expectation rests on where
arithmetic does not settle it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.exhaustive import every_candidate, silent
from mmesim.parallel import Workers
from mmesim.planner.answer.assemble import answer
from mmesim.planner.plan.question import Question
from mmesim.planner.plan.run import search
from mmesim.results.plan import Plan
from tests.planted import CASES, Case, case, wrong_binding, wrong_fleet

GRID: Mapping[str, Mapping[str, Sequence[str]]] = {
    "queue_limit": {"endpoint.admission.per_copy": [str(k) for k in (*range(4, 24), 30, 40, 60)]}}
"""Numbers that are tuned: the values that --truth tries."""
HEAD = ("case", "expected", "found", "binds, expected", "binds, found", "right", "runs", "requests", "with reasons",
        "of all", "s")


def main() -> None:
    """Prints a row a case and seed."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="*", help="of " + ", ".join(CASES))
    options.add_argument("--seed", type=int, nargs="*", default=[1000])
    options.add_argument("--truth", action="store_true", help="every candidate")
    options.add_argument("--seeds", type=int, default=20, help="of each, with --truth")
    options.add_argument("--set", nargs="*", default=[], help="changes, e.g. plan.instances.max=2")
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--verbose", action="store_true")
    given = options.parse_args()
    if not given.truth:
        print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|")
    for name in given.names or CASES:
        for seed in given.seed:
            with tempfile.TemporaryDirectory() as scratch:
                made, folder = case(name), Path(scratch)
                file, workers = str(made.write(folder)), Workers(given.processes)
                question = Question(file, [f"seed={seed}", *given.set], folder / "plan", workers)
                if given.truth:
                    _truth(made, question, given.seeds)
                else:
                    _row(made, question, given.verbose)


def _row(made: Case, question: Question, verbose: bool) -> None:
    begun = time.perf_counter()
    plan = answer(search(question, silent, lambda _: None), lambda _: None)
    took_s = time.perf_counter() - begun
    wrong = [*wrong_fleet(made, plan), *wrong_binding(made, plan)]
    effort = plan.effort
    every = effort["exhaustive_requests"]
    cells = [made.name, _expected(made), plan.chosen.name if plan.chosen else "none", made.resource, _binding(plan),
             "; ".join(wrong) or "yes", f"{effort['runs']}", f"{effort['requests']:,}",
             f"{effort['requests_with_reasons']:,}", f"{effort['requests'] / every:.1%}" if every else "-",
             f"{took_s:.0f}"]
    print("| " + " | ".join(cells) + " |", flush=True)
    if verbose:
        print(f"\n{made.why}\n\n" + "\n".join(plan.sentences) + "\n")


def _expected(made: Case) -> str:
    if made.instance_type is None:
        return "none"
    settings = ", ".join(f"{path.rpartition('.')[2]} {_short(value)}" for path, value in made.settings.items())
    mixed = f"; mixed: {made.mixed_instances}" if made.mixed_instances else ""
    return f"{made.instances} x {made.instance_type}" + (f", {settings}" if settings else "") + mixed


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:g} to {value[1]:g}"
    return value if isinstance(value, str) else "scheduled"


def _binding(plan: Plan) -> str:
    return ", ".join(limit.resource for limit in plan.limits if limit.binds) or "-"


def _truth(made: Case, question: Question, seeds: int) -> None:
    truth = every_candidate(question, seeds, GRID.get(made.name))
    best = next((one for one in truth if one.is_met), None)
    print(f"{made.name}: expected {_expected(made)}; cheapest that meets all targets: {best.name if best else 'none'}")
    for one in truth:
        means = "  ".join(f"{key} {value:.4g}" for key, value in one.means.items() if value is not None)
        mark = "met" if one.is_met else "   "
        print(f"  ${one.cost_per_hour:6.3f}  {one.name:36} {mark} {one.nearest:9.1f} se  {means}")


if __name__ == "__main__":
    main()
