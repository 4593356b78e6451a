"""Why did the fleet scale: what each policy saw and wanted, what became of it, and when the instances were there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmesim.core.decisions import ScalingDecision
from mmesim.report.explain.history import History
from mmesim.report.explain.words import Instances, clock, columns
from mmesim.report.wording import plural

DATAPOINTS = 15
"""Periods shown at most: what target tracking looks back for scaling in."""
Settings = Mapping[str, Any]


def explain_scaling(history: History, instances: Instances, at_ns: int | None = None) -> dict[str, Any]:
    """Every change of the desired number (or the one nearest to a time) as a value, times in ns."""
    changes = history.scaling
    if at_ns is not None and changes:
        changes = [min(changes, key=lambda change: (abs(change[0] - at_ns), change[0]))]
    endpoint = history.header["scenario"]["endpoint"]
    return {"changes": [_change(t, decision, history, instances) for t, decision in changes],
            "all_changes": len(history.scaling), "policies": [policy["use"] for policy in endpoint["autoscaling"]],
            "bounds": [endpoint["instances"]["min"], endpoint["instances"]["max"]],
            "tells_decisions": history.tells_decisions}


def _change(t: int, decision: ScalingDecision, history: History, instances: Instances) -> dict[str, Any]:
    policies = history.header["scenario"]["endpoint"]["autoscaling"]
    opinions = [_opinion(label, wish, policies, t, history) for label, wish in decision.wishes.items()]
    largest = max((wish for wish in decision.wishes.values() if wish is not None), default=decision.desired)
    return {"at_ns": t, "from": decision.desired, "to": decision.wanted, "policies": opinions,
            "cut_by_bounds": largest != decision.wanted, "wanted_by_policies": largest,
            "joined": _joined(t, decision, history, instances)}


def _opinion(label: str, wish: int | None, policies: list[Settings], t: int, history: History) -> dict[str, Any]:
    """What one policy wanted, and the datapoints of its metric, newest last."""
    settings = policies[int(label.partition(" ")[0])]
    told: dict[str, Any] = {"policy": label, "wish": wish, "settings": {
        name: value for name, value in settings.items() if name != "use" and value is not None}}
    if metric := settings.get("metric"):
        statistic = settings.get("statistic") or ("Sum" if metric == "InvocationsPerInstance" else "Average")
        seen = [values.get(f"{metric}.{statistic}") for at_ns, values in history.metrics if at_ns <= t]
        n = max([int(settings.get(name) or 0) for name in ("out_datapoints", "in_datapoints", "datapoints")])
        told |= {"metric": f"{metric} ({statistic})", "datapoints": seen[-(n or DATAPOINTS):]}
    return told


def _joined(t: int, decision: ScalingDecision, history: History, instances: Instances) -> list[dict[str, Any]]:
    """The instances launched for it: those launched at this very time."""
    if decision.wanted <= decision.desired:
        return []
    came = [(at_ns, slot) for at_ns, slot in history.joined if instances.launched(at_ns) == t]
    return [{"instance": instances.number(slot, at_ns), "at_ns": at_ns, "took_ns": at_ns - t} for at_ns, slot in came]


def scaling_text(told: dict[str, Any]) -> Iterator[str]:
    """The explanation in plain words."""
    low, high = told["bounds"]
    if not told["policies"]:
        yield f"This endpoint does not scale: it has no autoscaling policy (instances: {low} to {high})."
        return
    if not told["changes"]:
        yield ("The desired number of instances never changed." if told["tells_decisions"] else
               "How policies decided was not recorded: run again with --set output.decisions=true, or --rerun.")
        return
    yield f"The desired number changed {plural(told['all_changes'], 'time')}; bounds {low} to {high}."
    for change in told["changes"]:
        yield ""
        yield from _change_text(change)


def _change_text(change: dict[str, Any]) -> Iterator[str]:
    direction = "out" if change["to"] > change["from"] else "in"
    wanted = change["wanted_by_policies"]
    cut = f": the bounds demand it (the policies wanted {wanted})" if change["cut_by_bounds"] else ""
    yield f"{clock(change['at_ns'])}  scale {direction} from {change['from']} to {change['to']}{cut}"
    for each in change["policies"]:
        wish = "no opinion" if each["wish"] is None else f"wanted {each['wish']}"
        yield f"  policy {each['policy']}: {wish}"
        if "metric" in each:
            points = " ".join("–" if value is None else f"{value:.4g}" for value in each["datapoints"])
            yield f"    saw {each['metric']}: {points}"
        if each["settings"]:
            yield "    set: " + ", ".join(f"{name} {_setting(value)}" for name, value in each["settings"].items())
    yield from columns([f"instance {each['instance']} was in service at {clock(each['at_ns'])},",
                        f"{clock(each['took_ns'])} later"] for each in change["joined"]) if change["joined"] else ()
    if direction == "out" and not change["joined"]:
        yield "  no instance launched for it came into service before the end of the run"


def _setting(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
