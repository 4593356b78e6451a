"""What `mmesim run --check` found, as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmesim.cli.output import print_table

if TYPE_CHECKING:
    from mmesim.planner.check.seeds import Checked
    from mmesim.results.plan import TargetFound

SAID = {"met": "met", "missed": "MISSED", "open": "within the noise"}


def print_checked(checked: Checked) -> None:
    """Each target with its value, interval and limit, and the answer in one line."""
    from mmesim.report.wording import target_title, target_value
    n = len(checked.seeds)
    print()
    print_table([{"objective": target_title(each.name), "": SAID[each.status], "mean": _mean(each),
                  "interval": _interval(each), "limit": target_value(each.name, each.limit)}
                 for each in checked.targets], caption=f"{_answer(checked)}; {_seeds(checked)}" + (
                     f"; each end of an interval is wrong with a chance of {1 - checked.each:.3g} at most" if n > 1
                     else ": no noise is known"))


def as_data(checked: Checked) -> dict[str, Any]:
    """JSON: status, seeds, confidence, targets by name; infinite ends of intervals are null."""
    from mmesim.results.summary import rounded
    targets = {each.name: {
        "status": each.status, "limit": each.limit, "unit": each.unit,
        "value": None if each.value is None else {"mean": each.value.mean, "low": each.value.low,
                                                  "high": each.value.high, "seeds": each.value.n},
        "by_seed": list(checked.values[each.name])} for each in checked.targets}
    found: dict[str, Any] = rounded({
        "status": checked.status, "confidence": checked.confidence, "confidence_of_each_end": checked.each,
        "seeds": list(checked.seeds), "targets": targets})
    return found


def _answer(checked: Checked) -> str:
    return {"met": "the objective is met", "missed": "the objective is MISSED"}.get(
        checked.status, "met or missed by less than the noise: more --seeds would tell")


def _seeds(checked: Checked) -> str:
    first, last = checked.seeds[0], checked.seeds[-1]
    return f"seed {first}" if first == last else f"{len(checked.seeds)} seeds ({first} to {last})"


def _mean(target: TargetFound) -> str:
    """A target that nothing could be judged by says so."""
    from mmesim.report.wording import target_value
    if target.value is None:
        return "no model had requests enough" if target.status == "met" else "does not exist"
    return target_value(target.name, target.value.mean)


def _interval(target: TargetFound) -> str:
    from mmesim.report.wording import target_value
    if target.value is None or target.value.n == 1:
        return ""
    return f"{target_value(target.name, target.value.low)} to {target_value(target.name, target.value.high)}"
