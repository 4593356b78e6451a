"""Why was this request slow? Its parts, in order, and what happened on its instance meanwhile.

The parts come from the request's record and add up to its latency exactly. The journal splits two of them further: the
time until the bytes were there into waiting for a download thread and S3 (first byte and bytes), and the time until its
load began into waiting for a load thread (all were busy) and for memory (one was free).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmesim.dataplane.counters import Reason
from mmesim.report.explain.history import History, Stay, Wanted
from mmesim.report.explain.requests import PARTS, Around, Row
from mmesim.report.explain.words import Instances, bar, clock, columns, lasting, several
from mmesim.report.wording import FAILURES, REASONS, percent, plural


@dataclass(frozen=True)
class Part:
    """A stretch of a request's time."""

    what: str
    start_ns: int
    length_ns: int


def wanted_for(rows: Sequence[Row], models: Sequence[str]) -> Wanted:
    """Which decisions belong to requests: those that made room for their models, where and while they waited."""
    spans = [(models.index(row["model"]), row["instance"], row["issued_ns"], row["issued_ns"] + row["latency_ns"])
             for row in rows]
    return lambda at_ns, decision: any(
        decision.wanted_by == model and decision.instance == slot and start_ns <= at_ns <= end_ns
        for model, slot, start_ns, end_ns in spans)


def explain_request(row: Row, near: Around, history: History, instances: Instances) -> dict[str, Any]:
    """The explanation as a value: times in ns, counted from the run's beginning."""
    stay = stay_of(row, history)
    parts = [part for part in parts_of(row, stay, history) if part.length_ns > 0]
    made_room = _made_room(row, stay, history)
    total = max(1, row["latency_ns"])
    return {
        "request": row["serial"], "model": row["model"], "attempt": row["attempt"], "failure": row["failure"],
        "instance": instances.number(row["instance"], row["issued_ns"]), "tier": row["tier"], "items": row["items"],
        "issued_ns": row["issued_ns"], "latency_ns": row["latency_ns"],
        "parts": [{"what": part.what, "start_ns": part.start_ns, "length_ns": part.length_ns,
                   "share": part.length_ns / total} for part in parts],
        "model_median_ns": _median(near.latencies_ns), "model_requests": len(near.latencies_ns),
        "warm_median_ns": _median(near.warm_ns), "waited_with": near.sharing,
        "made_room": made_room, "before_room_ns": _before_room_ns(row, made_room),
        "device_held_by": [{"model": model, "time_ns": held} for model, held in near.device_ns.most_common(5)],
        "loads_meanwhile": _loads_meanwhile(row, history)}


def stay_of(row: Row, history: History) -> Stay | None:
    """The stay of its model that the request waited for."""
    if row["tier"] in (None, "gpu"):
        return None
    number, end_ns = history.models.index(row["model"]), row["issued_ns"] + row["latency_ns"]
    there = [stay for stay in history.of(number, row["instance"]) if stay.asked_ns <= end_ns and (
        stay.ready_ns < 0 or stay.ready_ns >= row["issued_ns"])]
    return there[0] if there else None


def parts_of(row: Row, stay: Stay | None, history: History) -> Iterator[Part]:
    """Its time in order; of a failed request only the whole is known."""
    at_ns = row["issued_ns"]
    if not any(row[name] for name in PARTS):
        yield Part("until it failed", at_ns, row["latency_ns"])
        return
    for reason in Reason:
        length_ns = row[PARTS[reason]]
        if reason is Reason.DOWNLOAD and stay is not None and stay.download_ns >= 0:
            begun_ns = min(max(stay.download_ns, at_ns), at_ns + length_ns)
            yield Part("waiting for a download thread", at_ns, begun_ns - at_ns)
            yield Part("S3: first byte and bytes", begun_ns, at_ns + length_ns - begun_ns)
        elif reason is Reason.ROOM:
            for_thread_ns = threads_busy_ns(history, row["instance"], at_ns, at_ns + length_ns)
            yield Part("waiting for memory", at_ns, length_ns - for_thread_ns)
            yield Part("waiting for a load thread", at_ns + length_ns - for_thread_ns, for_thread_ns)
        else:
            yield Part(REASONS[reason], at_ns, length_ns)
        at_ns += length_ns


def threads_busy_ns(history: History, slot: int, start_ns: int, end_ns: int) -> int:
    """How long of the time all load threads of the instance worked."""
    threads = history.header["scenario"]["endpoint"]["server"]["load_threads"]
    changes = sorted(change for stay in history.stays if stay.slot == slot and 0 <= stay.load_ns < end_ns
                     for change in ((max(stay.load_ns, start_ns), 1), (_load_ended_ns(stay, end_ns), -1))
                     if _load_ended_ns(stay, end_ns) > start_ns)
    busy_ns = working = 0
    before_ns = start_ns
    for at_ns, change in changes:
        busy_ns += at_ns - before_ns if working >= threads else 0
        working, before_ns = working + change, at_ns
    return busy_ns


def _load_ended_ns(stay: Stay, end_ns: int) -> int:
    return min(end_ns, next((at for at in (stay.ready_ns, stay.gone_ns) if at >= stay.load_ns), end_ns))


def _made_room(row: Row, stay: Stay | None, history: History) -> list[dict[str, Any]]:
    """What left for its model while it waited, and what could not leave."""
    if stay is None:
        return []
    end_ns = row["issued_ns"] + row["latency_ns"]
    held_back: dict[tuple[int, int], tuple[int, ...]] = {}
    for at_ns, decision in history.decisions:
        held_back |= {(at_ns, victim): decision.held_back for victim in decision.victims}
    result = []
    for each in history.evictions:
        if each.slot == row["instance"] and each.wanted_by == row["model"] and row["issued_ns"] <= each.at_ns <= end_ns:
            left = next((one for one in history.of(each.model, each.slot) if one.unload_ns == each.at_ns), None)
            busy = [history.models[model] for model in held_back.get((each.at_ns, each.model), ())]
            result.append({"model": history.models[each.model], "on_disk": each.on_disk, "at_ns": each.at_ns,
                           "gone_ns": each.at_ns if each.on_disk else left.gone_ns if left else -1,
                           "could_not_leave": busy})
    return result


def _before_room_ns(row: Row, made_room: Sequence[dict[str, Any]]) -> int:
    """How long it waited for memory before anything left for it: loads ahead of it have their turn first."""
    begun_ns = row["issued_ns"] + sum(row[part] for part in PARTS[:Reason.ROOM])
    return max(0, min([each["at_ns"] for each in made_room if not each["on_disk"]], default=begun_ns) - begun_ns)


def _loads_meanwhile(row: Row, history: History) -> list[str]:
    """Other models that a load thread of its instance worked on while it was held there."""
    ready_ns = row["issued_ns"] + sum(row[part] for part in PARTS[:Reason.STALL])
    return sorted({history.models[stay.model] for stay in history.stays
                   if stay.slot == row["instance"] and 0 <= stay.load_ns < ready_ns and history.models[stay.model]
                   != row["model"] and _load_ended_ns(stay, ready_ns) > row["issued_ns"]})


def _median(values: Any) -> int | None:
    return int(np.median(values)) if len(values) else None


def request_text(told: dict[str, Any]) -> Iterator[str]:
    """The explanation in plain words."""
    yield (f"Request {told['request']} for {told['model']}, {clock(told['issued_ns'])} after the start: "
           f"{_ending(told)} {lasting(told['latency_ns'])} on instance {told['instance']}.")
    if told["attempt"] > 1:
        yield f"It is attempt {told['attempt']} of a client that tried before."
    yield from _compared(told)
    yield ""
    yield from columns(([each["what"], bar(each["start_ns"] - told["issued_ns"], each["length_ns"], told["latency_ns"]),
                         lasting(each["length_ns"]), percent(each["share"])] for each in told["parts"]), right=(2, 3))
    if meanwhile := list(_meanwhile(told)):
        yield ""
        yield "Meanwhile on this instance:"
        yield from (f"  • {sentence}" for sentence in meanwhile)


def _ending(told: dict[str, Any]) -> str:
    return "answered after" if told["failure"] == "none" else f"failed ({FAILURES[told['failure']]}) after"


def _compared(told: dict[str, Any]) -> Iterator[str]:
    median_ns = told["model_median_ns"]
    if median_ns:
        yield (f"That is {told['latency_ns'] / median_ns:,.1f} times the median of this model's "
               f"{plural(told['model_requests'], 'answer')} ({lasting(median_ns)}"
               + (f"; {lasting(told['warm_median_ns'])} when it was loaded)." if told["warm_median_ns"] else ")."))
    if told["parts"]:
        longest = max(told["parts"], key=lambda each: each["length_ns"])
        yield f"Most of it, {percent(longest['share'])}: {longest['what']}."


def _meanwhile(told: dict[str, Any]) -> Iterator[str]:
    if told["before_room_ns"]:
        yield (f"for {lasting(told['before_room_ns'])} nothing left for it: loads ahead of it had their turn first, or "
               "all was busy")
    for each in told["made_room"]:
        what = "the files of " if each["on_disk"] else ""
        took = "" if each["on_disk"] or each["gone_ns"] < 0 else \
            f" and was gone {lasting(each['gone_ns'] - each['at_ns'])} later"
        stuck = each["could_not_leave"]
        busy = f"; {several(stuck)} could not leave: busy or pinned" if stuck else ""
        yield f"{what}{each['model']} left for it at {clock(each['at_ns'])}{took}{busy}"
    if told["waited_with"]:
        yield f"{plural(told['waited_with'], 'other request')} for {told['model']} waited for the same load"
    if told["loads_meanwhile"] and told["tier"] != "gpu":
        yield f"loading too: {several(told['loads_meanwhile'])}"
    if told["device_held_by"]:
        held = [f"{each['model']} {lasting(each['time_ns'])}" for each in told["device_held_by"]]
        yield f"the device also worked for {several(held, 4)} while it queued or computed"
