"""An overview of a run, in plain words: what was slow, what thrashed, what scaled, what was refused; where to look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from mmesim.report.explain.history import History
from mmesim.report.explain.request import parts_of, stay_of
from mmesim.report.explain.requests import ADVICE, Row
from mmesim.report.explain.words import Instances, clock, columns, lasting
from mmesim.report.wording import FAILURES, plural
from mmesim.results.lanes import THRASH_WINDOW_NS

MOST = 5


def overview(history: History, rows: Sequence[Row] | None, instances: Instances, since_ns: int) -> dict[str, Any]:
    """What there is to explain, times in ns. `rows`: the slowest requests; None: they were not recorded. Of the cold
    starts, those from `since_ns` on."""
    return {"slowest": None if rows is None else [_request(row, history) for row in rows],
            "slowest_cold_starts": _cold_starts(history, instances, since_ns), "thrashing": _thrashing(history),
            "evictions": len(history.evictions), "scaling": [
                {"at_ns": t, "from": decision.desired, "to": decision.wanted} for t, decision in history.scaling],
            "refused": [{"model": history.models[model], "why": why, "times": n}
                        for (model, why), n in history.refused.most_common(MOST)],
            "refusals": sum(history.refused.values()), "tells_decisions": history.tells_decisions}


def _request(row: Row, history: History) -> dict[str, Any]:
    longest = max(parts_of(row, stay_of(row, history), history), key=lambda part: part.length_ns)
    return {"request": row["serial"], "model": row["model"], "at_ns": row["issued_ns"], "failure": row["failure"],
            "latency_ns": row["latency_ns"], "mostly": longest.what, "mostly_ns": longest.length_ns}


def _cold_starts(history: History, instances: Instances, since_ns: int) -> list[dict[str, Any]]:
    done = [stay for stay in history.stays if stay.ready_ns >= 0 and stay.asked_ns >= since_ns]
    done.sort(key=lambda stay: (stay.asked_ns - stay.ready_ns, stay.asked_ns))
    return [{"model": history.models[stay.model], "at_ns": stay.asked_ns, "took_ns": stay.ready_ns - stay.asked_ns,
             "instance": instances.number(stay.slot, stay.asked_ns), "from": "S3" if stay.download_ns >= 0 else "disk",
             "load_ns": stay.ready_ns - stay.load_ns} for stay in done[:MOST]]


def _thrashing(history: History) -> list[dict[str, Any]]:
    """Models that came back soonest after they were evicted, most often first."""
    evicted = Counter(each.model for each in history.evictions if not each.on_disk)
    left: dict[tuple[int, int], int] = {}
    back: Counter[int] = Counter()
    for stay in sorted(history.stays, key=lambda stay: stay.asked_ns):
        gone_ns = left.pop((stay.slot, stay.model), None)
        back[stay.model] += gone_ns is not None and stay.asked_ns - gone_ns <= THRASH_WINDOW_NS
        if stay.reason.startswith("evicted") and stay.unload_ns >= 0:
            left[stay.slot, stay.model] = stay.unload_ns
    most = sorted(back, key=lambda model: (-back[model], model))[:MOST]
    return [{"model": history.models[model], "evicted": evicted[model], "soon_back": back[model]}
            for model in most if back[model]]


def overview_text(told: dict[str, Any], run: str) -> Iterator[str]:
    """The overview in plain words, with the command that looks closer at each."""
    yield from _slow(told, run)
    yield ""
    if told["thrashing"]:
        yield (f"{plural(told['evictions'], 'eviction')}. Evicted and back within "
               f"{lasting(THRASH_WINDOW_NS)}, most often:")
        yield from columns([[each["model"], f"{each['soon_back']} of {each['evicted']} times"]
                            for each in told["thrashing"]])
        yield f"  Why: mmesim explain {run} --eviction {told['thrashing'][0]['model']}"
    else:
        yield f"{plural(told['evictions'], 'eviction')}; none came back within {lasting(THRASH_WINDOW_NS)}."
    yield ""
    yield from _fleet(told, run)
    if told["refusals"]:
        yield ""
        yield f"Refused: {plural(told['refusals'], 'decision')} not to serve, most often:"
        yield from columns([[each["model"], FAILURES.get(each["why"], each["why"]), f"{each['times']} times"]
                            for each in told["refused"]])


def _slow(told: dict[str, Any], run: str) -> Iterator[str]:
    if told["slowest"]:
        yield "The slowest requests:"
        yield from columns([[f"request {each['request']}", each["model"], f"at {clock(each['at_ns'])}",
                             lasting(each["latency_ns"]), _ended(each)] for each in told["slowest"]], right=(0, 3))
        yield f"  Why: mmesim explain {run} --request {told['slowest'][0]['request']}"
        return
    yield "The slowest cold starts:"
    yield from columns(
        [each["model"], f"at {clock(each['at_ns'])}", f"instance {each['instance']}",
         f"{lasting(each['took_ns'])} from {each['from']},", f"{lasting(each['load_ns'])} of it the load"]
        for each in told["slowest_cold_starts"])
    if told["slowest"] is None:
        yield f"  Single requests were not recorded; {ADVICE}."


def _ended(each: dict[str, Any]) -> str:
    if each["failure"] != "none":
        return FAILURES[each["failure"]]
    return f"{lasting(each['mostly_ns'])} of it {each['mostly']}"


def _fleet(told: dict[str, Any], run: str) -> Iterator[str]:
    if not told["scaling"]:
        yield "The desired number of instances never changed." if told["tells_decisions"] else \
            "Whether and why the fleet scaled was not recorded (output.decisions)."
        return
    steps = " → ".join(str(number) for number in (told["scaling"][0]["from"],
                                                  *(each["to"] for each in told["scaling"][:12])))
    more = "" if len(told["scaling"]) <= 12 else f" … ({len(told['scaling'])} changes)"
    yield f"Desired instances: {steps}{more}, the first change at {clock(told['scaling'][0]['at_ns'])}."
    yield f"  Why: mmesim explain {run} --scaling"
