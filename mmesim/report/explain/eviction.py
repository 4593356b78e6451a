"""Why was this model evicted, and was it a mistake?

The decision as the policy saw it stands in the journal: its victims and the candidates that it would have named next,
with their numbers. All candidates are known too: what was READY on the instance, less what was held back. When
requests were recorded, each candidate's next request is known, and with it the victim of Belady's rule, which lets go
what is asked for last (Belady, "A study of replacement algorithms for a virtual-storage computer", 1966). The *regret*
of an eviction is how much sooner its victim was asked for than that candidate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmesim.core.decisions import EvictionDecision
from mmesim.errors import InputError, Problem
from mmesim.report.explain.history import Eviction, History, Stay, Wanted
from mmesim.report.explain.requests import ADVICE, has_requests, next_uses, waited_for
from mmesim.report.explain.words import Instances, clock, columns, lasting, several
from mmesim.report.wording import format_bytes, plural

NS_COLUMNS = {"last_use_ns": "last use", "since_ns": "since", "last_touch_ns": "last touch"}
HEADS = {"model": "model", "size_bytes": "size", "uses": "uses", **NS_COLUMNS}


def wanted_of(victim: int, slot: int | None) -> Wanted:
    """Decisions against one model."""
    return lambda at_ns, decision: victim in decision.victims and slot in (None, decision.instance)


def evictions_of(history: History, victim: int | None, slot: int | None, at_ns: int | None) -> list[Eviction]:
    """Evictions of a model (None: of any), on an instance; those nearest to a time first, if one is given."""
    found = [each for each in history.evictions if victim in (None, each.model) and slot in (None, each.slot)]
    return found if at_ns is None else sorted(found, key=lambda each: (abs(each.at_ns - at_ns), each.at_ns))


def one_eviction(history: History, victim: int, slot: int | None, at_ns: int | None) -> Eviction:
    """The eviction nearest to a time, or the first. Raises InputError when the model was never evicted."""
    if found := evictions_of(history, victim, slot, at_ns):
        return found[0]
    most = several([name for name, _ in _most_evicted(history)])
    raise InputError(Problem(f"{history.models[victim]} was never evicted" + ("" if slot is None else " there"),
                             hint=f"evicted most: {most}" if most else "nothing was evicted in this run"))


def _most_evicted(history: History) -> list[tuple[str, int]]:
    return Counter(history.models[each.model] for each in history.evictions).most_common(6)


def explain_eviction(each: Eviction, history: History, folder: Path, instances: Instances) -> dict[str, Any]:
    """The explanation as a value, times in ns."""
    decision = next((why for at_ns, why in history.decisions if at_ns == each.at_ns and why.instance == each.slot
                     and why.on_disk == each.on_disk and each.model in why.victims), None)
    name = history.models[each.model]
    told: dict[str, Any] = {
        "model": name, "at_ns": each.at_ns, "instance": instances.number(each.slot, each.at_ns),
        "from": "disk" if each.on_disk else "memory", "wanted_by": each.wanted_by, "decision": None,
        "reload": _reload(each, history, folder), "hindsight": None,
        "times_evicted": sum(1 for other in history.evictions if other.model == each.model)}
    if decision is not None:
        told["decision"] = _decision(each, decision, history)
        if not each.on_disk and has_requests(folder):
            told["hindsight"] = _hindsight(each, decision, history, folder)
    return told


def _decision(each: Eviction, decision: EvictionDecision, history: History) -> dict[str, Any]:
    """The decision with its candidates as rows; sizes and ages of copies stand in their stays."""
    names = history.models
    there = {} if each.on_disk else {stay.model: {"size_bytes": stay.gpu_bytes, "since_ns": stay.ready_ns}
                                     for stay in history.stays if stay.slot == each.slot and stay.is_ready(each.at_ns)}
    rows = [dict(zip(decision.columns, values, strict=True)) for values in zip(*decision.columns.values(), strict=True)]
    candidates = [{**row, **there.get(int(row["model"]), {}), "model": names[int(row["model"])],
                   "victim": int(row["model"]) in decision.victims,
                   "reload_s": history.header["reload_s"][int(row["model"])][decision.on_disk]} for row in rows]
    return {"need_bytes": decision.need_bytes, "candidates": decision.offered, "shown": candidates,
            "victims": [names[model] for model in decision.victims],
            "could_not_leave": [names[model] for model in decision.held_back]}


def _reload(each: Eviction, history: History, folder: Path) -> dict[str, Any] | None:
    """The next way of the model through the instance: when, how long, who waited."""
    back = next((stay for stay in history.of(each.model, each.slot) if stay.asked_ns >= each.at_ns), None)
    if back is None:
        return None
    told: dict[str, Any] = {"asked_ns": back.asked_ns, "away_ns": back.asked_ns - each.at_ns, "ready_ns": back.ready_ns,
                            "took_ns": back.ready_ns - back.asked_ns if back.ready_ns >= 0 else None,
                            "requests_waited": None, "waited_ns": None}
    if has_requests(folder) and back.ready_ns >= 0:
        told["requests_waited"], told["waited_ns"] = waited_for(
            folder, history.models[each.model], each.slot, back.asked_ns, back.ready_ns)
    return told


def candidates_of(each: Eviction, decision: EvictionDecision, history: History) -> list[Stay]:
    """All that could have left: READY on the instance then, and not held back."""
    held_back = set(decision.held_back)
    return [stay for stay in history.stays
            if stay.slot == each.slot and stay.is_ready(each.at_ns) and stay.model not in held_back]


def _hindsight(each: Eviction, decision: EvictionDecision, history: History, folder: Path) -> dict[str, Any]:
    """Belady's victim among the candidates that are large enough, and how much later it was asked for."""
    there = candidates_of(each, decision, history)
    freed = next((stay.gpu_bytes for stay in there if stay.model == each.model), 0)
    enough = [stay for stay in there if stay.gpu_bytes >= min(freed, decision.need_bytes)]
    names = [history.models[stay.model] for stay in enough]
    uses = next_uses(folder, names, each.at_ns)
    mine = history.models[each.model]
    others = [name for name in names if name not in {history.models[model] for model in decision.victims}] or [mine]
    best = max(others, key=lambda name: (uses.get(name, history.ended_ns + 1), name))
    return {"candidates": len(there), "large_enough": len(enough), "next_request_ns": uses.get(mine), "best": best,
            "best_next_request_ns": uses.get(best),
            "regret_ns": max(0, uses.get(best, history.ended_ns) - uses.get(mine, history.ended_ns)),
            "later_asked": sum(uses.get(name, history.ended_ns) > uses.get(mine, history.ended_ns) for name in others)}


def eviction_text(told: dict[str, Any]) -> Iterator[str]:
    """The explanation in plain words."""
    what = "The files of " if told["from"] == "disk" else ""
    yield (f"{what}{told['model']} left the {told['from']} of instance {told['instance']} at {clock(told['at_ns'])}, "
           f"to make room for {told['wanted_by']} (one of {plural(told['times_evicted'], 'eviction')} of this model).")
    if told["decision"] is None:
        yield "How the policy came to it was not recorded: run again with --set output.decisions=true, or --rerun."
    else:
        yield from _decision_text(told["decision"])
    yield ""
    yield from _cost_text(told)


def _decision_text(told: dict[str, Any]) -> Iterator[str]:
    shown = told["shown"]
    yield (f"{format_bytes(told['need_bytes'])} were missing; {plural(told['candidates'], 'model')} could leave, in "
           "the policy's order:")
    yield ""
    heads = ["", *(HEADS.get(name, name) for name in shown[0] if name not in ("victim", "reload_s")), "reload"]
    yield from columns([heads, *(_cells(row) for row in shown)], right=range(2, len(heads)))
    if told["candidates"] > len(shown):
        yield f"     … and {told['candidates'] - len(shown)} more"
    if told["could_not_leave"]:
        yield f"No candidates, because busy or pinned: {several(told['could_not_leave'], 12)}."


def _cells(row: dict[str, Any]) -> list[str]:
    cells = [_cell(name, value) for name, value in row.items() if name not in ("victim", "reload_s")]
    return ["evicted" if row["victim"] else "", *cells, f"{row['reload_s']:.2f} s"]


def _cell(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if name in NS_COLUMNS or name.endswith("_ns"):
        return clock(int(value)) if math.isfinite(value) else "never"
    return format_bytes(value) if name.endswith("_bytes") else f"{value:.4g}"


def _cost_text(told: dict[str, Any]) -> Iterator[str]:
    back, hindsight = told["reload"], told["hindsight"]
    if back is None:
        yield "It was not loaded there again in this run."
    else:
        took = f"and took {lasting(back['took_ns'])} to be READY" if back["took_ns"] is not None else "and never came"
        yield f"It was called back {lasting(back['away_ns'])} later, at {clock(back['asked_ns'])}, {took}."
    if back is not None and back["requests_waited"] is not None:
        yield (f"{plural(back['requests_waited'], 'request')} waited for that, {lasting(back['waited_ns'])} in all.")
    if hindsight is None:
        if told["from"] == "memory" and told["decision"] is not None:
            yield f"Whether another would have been better needs the requests: {ADVICE}."
        return
    yield from _verdict(told["model"], hindsight, told["at_ns"])


def _verdict(model: str, told: dict[str, Any], at_ns: int) -> Iterator[str]:
    def when(next_ns: int | None) -> str:
        return "not in this run" if next_ns is None else f"after {lasting(next_ns - at_ns)}"

    mine, best = when(told["next_request_ns"]), when(told["best_next_request_ns"])
    if not told["regret_ns"]:
        yield f"Was it a mistake? No: of all candidates none was asked for later ({model}: {mine})."
        return
    yield (f"Was it a mistake? In hindsight yes: {model} was asked for again {mine}, {told['best']} {best}; "
           f"{told['later_asked']} of {plural(told['large_enough'], 'candidate')} would have been better.")
    yield f"Regret against {told['best']}, the best there was: {lasting(told['regret_ns'])}."


def evictions_list(history: History, found: Sequence[Eviction], instances: Instances, most: int = 40) -> dict[str, Any]:
    """Many evictions, shortly, times in ns."""
    rows = [{"at_ns": each.at_ns, "model": history.models[each.model], "wanted_by": each.wanted_by,
             "instance": instances.number(each.slot, each.at_ns), "from": "disk" if each.on_disk else "memory"}
            for each in sorted(found[:most], key=lambda each: each.at_ns)]
    return {"evictions": len(found), "shown": rows}


def evictions_text(told: dict[str, Any], run: str) -> Iterator[str]:
    """The list in plain words."""
    shown = told["shown"]
    yield f"{plural(told['evictions'], 'eviction')}" + (f", {len(shown)} of them:" if shown else ".")
    rows = [[clock(each["at_ns"]), each["model"], "for", each["wanted_by"], f"instance {each['instance']}",
             each["from"]] for each in shown]
    yield from columns(rows, right=(0,)) if rows else ()
    if shown:
        first = shown[0]
        yield f"\nCloser: mmesim explain {run} --eviction {first['model']}@{clock(first['at_ns']).replace(' ', '')}"
