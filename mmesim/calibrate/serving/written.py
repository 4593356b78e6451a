"""A fit as a profile: the numbers it found, each with its 95 % interval and the rows that it comes from.

Where points were taken under load, `latency` is the time of a batch under load (S(b) + launch + copy), so that a
scenario with one instance gives what the fit says. The device idles during the launch, the copies and the fitted gap:
these make `gap` and `gap_per_item`. All work of the host is in these and in the front end, none is in `host_cpu`.
Without such points there is the curve alone. What nobody measured (memory, files, loading) is absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mmesim.calibrate.serving.curve import BatchCurve
from mmesim.calibrate.serving.fit import Estimate, ServingFit
from mmesim.calibrate.serving.fitting import ModelFit
from mmesim.calibrate.serving.groups import Group, setting
from mmesim.profile.model import ON_CPU
from mmesim.profile.points import OperatingPoint
from mmesim.profile.write import profile_yaml
from mmesim.scenario.needs import NEEDS
from mmesim.units import format_duration

DEFAULTS = "rule: Triton's defaults: one instance, no preferred sizes, no delay"
BUSY = "rule: 1, a batch fills the device outside its gap"
COUNTED = "rule: 0, the host's work is in the batch's time, the gap and the front end"
IN_LATENCY = "rule: 0, the latency table was taken at the client and holds it"
HEAD = """\
# {name}, {backend} {precision} on {gpu}.
# Written by mmesim profile fit; what was not measured is absent.
"""
Number = dict[str, Any]
_LINE = re.compile(r"line (\d+)")


def profile_text(found: ModelFit, name: str) -> str:
    """The profile called `name` as YAML."""
    group = found.group
    texts = {"name": name, "model": group.model, "input": group.input, "backend": group.backend,
             "precision": group.precision or "unknown", "gpu": group.gpu, "framework": group.backend}
    head = HEAD.format(**{**texts, "name": group.model})
    return profile_yaml(head, with_keys({**texts, **fitted_numbers(found)}))


def profile_name(group: Group) -> str:
    """``bert-large-tensorrt-fp16-t4-seqlen-384``: what may be a file's name."""
    parts = (group.model, group.backend, group.precision, group.gpu, group.input)
    return "-".join(filter(None, (re.sub(r"[^a-z0-9.]+", "-", part.lower()).strip("-") for part in parts)))


def unmeasured(found: ModelFit) -> list[tuple[str, str]]:
    """(what a simulation needs and the profile lacks, the command that measures it)."""
    numbers, model = fitted_numbers(found), found.group.model
    device = "cpu" if found.group.gpu == ON_CPU else "gpu"
    under_load = [] if found.fit else [
        ("times under load", f"perf_analyzer -m {model} --concurrency-range 2:16:2 (closed loop), then fit again")]
    return under_load + [(need.field, f"mmesim profile analyze REPOSITORY --models {model} --only {need.kind}")
                         for need in NEEDS if need.on in ("", device) and numbers.get(need.field) is None]


def fitted_numbers(found: ModelFit) -> dict[str, Any]:
    """Everything from ``latency`` to ``host_cpu`` of a profile, with full references as sources (see `with_keys`)."""
    shape = _configuration(found)
    if found.fit is None:
        return {"latency": _measured(found), **shape, "overhead": _outside(found.group.alone)}
    return {"latency": _under_load(found, found.fit), **shape, **_fitted(found.fit, _cited(found.group.seen))}


def with_keys(profile: Mapping[str, Any], names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The profile with short keys in place of full references, and what they mean under ``sources``.

    `names`: reference -> its key; the others are numbered in order of appearance.
    """
    keys: dict[str, str] = {}

    def short(text: str) -> str:
        named = (names or {}).get(text)
        return keys.setdefault(text, named or f"s{1 + sum(key not in (names or {}).values() for key in keys.values())}")

    def replaced(node: Any) -> Any:
        if isinstance(node, Mapping):
            return {name: short(value) if name == "source" else replaced(value) for name, value in node.items()}
        return [replaced(one) for one in node] if isinstance(node, list) else node

    numbers = {name: replaced(value) for name, value in profile.items()}
    return {**numbers, "sources": {key: text for text, key in keys.items()}}


def known(value: Any, basis: str, source: str, at: str = "", note: str = "") -> Number:
    """One number of a profile as it is written."""
    return {"value": value, "basis": basis, "source": source, "at": at, "note": note}


def time_text(seconds: float) -> str:
    """A time with five significant digits."""
    return f"{seconds:.5g}s" if seconds >= 1 else f"{seconds * 1e3:.5g}ms"


def cited_rows(points: Iterable[OperatingPoint]) -> tuple[str, str]:
    """(source, places in it) of points; of several sources the first, the others stand with their places."""
    rows = list(points)
    source = rows[0].source
    places = [row.at if row.source == source else f"{row.source} {row.at}" for row in rows]
    return source, ", ".join(_ranges([*dict.fromkeys(filter(None, places))]))


def _ranges(places: Sequence[str]) -> list[str]:
    """Lines that follow one another as one: ``line 624 to 633``."""
    found: list[list[str]] = []
    for place in places:
        if found and (lines := [_LINE.fullmatch(one) for one in (found[-1][-1], place)]) and all(lines) and \
                int(lines[1][1]) == int(lines[0][1]) + 1:  # type: ignore[index]
            found[-1].append(place)
        else:
            found.append([place])
    return [run[0] if len(run) == 1 else f"{run[0]} to {run[-1].removeprefix('line ')}" for run in found]


def _cited(points: Sequence[OperatingPoint]) -> dict[str, str]:
    source, at = cited_rows(points)
    return {"source": source, "at": at}


# How the server was configured ---------------------------------------------------------------------------------------

def _configuration(found: ModelFit) -> dict[str, Number]:
    point = (found.group.seen or found.group.alone)[-1]
    chosen, here = setting(point), _cited([point])
    largest = chosen.max_batch_size if found.fit else max(found.curve.largest, chosen.max_batch_size)
    return {
        "max_batch_size": known(largest, "published", **here) if point.max_batch_size == largest else
        known(largest, "rule", "rule: the largest batch of the measurements"),
        "instance_count": known(chosen.instance_count, "published", **here) if point.instance_count else
        known(1, "rule", DEFAULTS),
        "preferred_batch_sizes": known([*chosen.preferred_batch_sizes], "published", **here)
        if chosen.preferred_batch_sizes else known([], "rule", DEFAULTS),
        "max_queue_delay": known("0ms", "rule", DEFAULTS)}


# Without points under load -------------------------------------------------------------------------------------------

def _measured(found: ModelFit) -> dict[str, Any]:
    """S(b) as it was measured, parts apart where they are known; several rows of one size are averaged."""
    rows: dict[int, list[OperatingPoint]] = {}
    for point in found.group.alone:
        rows.setdefault(point.batch_size, []).append(point)
    whole = "whole latency at the client; its parts are not known" if found.group.whole_latency else ""
    return {"basis": "measured", **_cited(found.group.alone), "note": whole,
            "batches": [{"batch": size, **_parts(same, bool(whole))} for size, same in rows.items()]}


def _parts(rows: Sequence[OperatingPoint], whole: bool) -> dict[str, str]:
    if whole:
        return {"infer": time_text(float(np.mean([row.latency_s for row in rows])))}
    means = {name: float(np.mean([getattr(row, f"compute_{name}_s") or 0.0 for row in rows]))
             for name in ("input", "infer", "output")}
    return {name: time_text(mean) for name, mean in means.items() if mean or name == "infer"}


def _outside(alone: Sequence[OperatingPoint]) -> Number | None:
    """What the smallest request's latency is made of besides queue and compute."""
    point = alone[0]
    if point.compute_s is None:
        return known("0ms", "rule", IN_LATENCY)
    if point.latency_s is None or point.queue_s is None:
        return None
    return known(time_text(max(0.0, point.latency_s - point.queue_s - point.compute_s)), "measured",
                 **_cited([point]), note="latency less queue and compute")


# With them -----------------------------------------------------------------------------------------------------------

def _under_load(found: ModelFit, fit: ServingFit) -> dict[str, Any]:
    sizes, timing, items = _sizes(found.curve, fit.setting.items), fit.timing, fit.setting.items
    seconds = timing.loaded_s(found.curve, np.array(sizes), items)
    cut = f" less {timing.excess:.0%} of its growth, the client's ({_interval(fit, 'excess')})" if timing.excess else ""
    padded = "; steps at powers of two, to which the engine pads" if found.curve.padded else ""
    note = (f"a batch under load: S(b) of one request in flight{cut}, launch {_term(fit, 'launch_s')}, copy of each "
            f"request {_term(fit, 'copy_s')}{padded}")
    return {"basis": "estimated", **_cited([*found.group.alone, *found.group.seen]), "note": note,
            "batches": [{"batch": size, "infer": time_text(float(s))} for size, s in zip(sizes, seconds, strict=True)]}


def _sizes(curve: BatchCurve, items: int) -> list[int]:
    """Batch sizes between which the time under load is a straight line."""
    return sorted({size for size, _ in curve.points(curve.largest)} | {items})


def _fitted(fit: ServingFit, rows: dict[str, str]) -> dict[str, Any]:
    timing, items = fit.timing, fit.setting.items
    zero = known("0ms", "rule", COUNTED)

    def estimated(value: Any, note: str = "") -> Number:
        return known(value, "estimated", **rows, note=note)

    one = fit.setting.instance_count == 1
    return {
        "gpu_share": known(1, "rule", BUSY),
        "gap": estimated(time_text(timing.gap_s + timing.launch_s),
                         f"in S(b) {_term(fit, 'gap_s')}, launch {_term(fit, 'launch_s')}"),
        "gap_per_item": estimated(time_text(timing.copy_s / items),
                                  f"copy of a request of {items}: {_term(fit, 'copy_s')}"),
        "interference_k": None if one else estimated(float(f"{timing.interference_k:.4g}"),
                                                     _interval(fit, "interference_k")),
        "prefetched_batches": estimated(timing.prefetched_batches),
        "frontend": {"per_request": estimated(time_text(timing.frontend_s), _interval(fit, "frontend_s")),
                     "per_item": zero, "threads": estimated(timing.frontend_threads)},
        "overhead": estimated(time_text(timing.network_s), _interval(fit, "network_s")),
        "host_cpu": {"per_request": zero, "per_item": zero}}


def _term(fit: ServingFit, name: str) -> str:
    return f"{format_duration(getattr(fit.timing, name))} ({_interval(fit, name)})"


def _interval(fit: ServingFit, name: str) -> str:
    """The 95 % interval in words."""
    return f"95 %: {interval_text(name, fit.estimates[name])}"


def interval_text(name: str, estimate: Estimate) -> str:
    """``0.12 ms to 0.31 ms``; numbers without a unit as they are."""
    written = format_duration if name.endswith("_s") else "{:.3g}".format
    return f"{written(estimate.low)} to {written(estimate.high)}"
