"""Which models were in memory on which instance over time, drawn as SVG by hand.

Instances that followed each other in one slot share a lane; each has a frame of its own. In a lane a few models have a
row each: the most requested ones, and those that were reloaded most, which tell the most about an eviction policy. A
bar is a READY copy, its pale head the load, its pale tail the unload. All other models together are an area: how many
of them were READY. Two rugs below show every load and every eviction on the instance. What is closer together than a
pixel is drawn as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmesim.report.theme import MODEL_COLOURS
from mmesim.report.timeline import Timeline
from mmesim.report.wording import format_duration, percent, plural
from mmesim.results.types import InstanceLife

if TYPE_CHECKING:
    from pandas import DataFrame

    from mmesim.results.run import Run

WIDTH, LEFT, RIGHT = 1200, 132, 14
ROW, BAR, AREA, RUG, GAP = 9, 7, 26, 6, 16
MOST_LANES = 24
MOST_MODELS = len(MODEL_COLOURS)
_PIXELS = WIDTH - LEFT - RIGHT


@dataclass(frozen=True)
class Chosen:
    """The models with rows of their own."""

    names: tuple[str, ...]
    notes: tuple[str, ...]
    """What is said of each in the legend."""
    others: int


def choose(run: Run) -> Chosen:
    """The most requested models, but up to a third of the rows for those that were reloaded most."""
    models = run.models
    total = max(int(models["Invocations"].sum()), 1)
    asked = models.sort_values(["Invocations", "model"], ascending=[False, True])
    rest = asked[MOST_MODELS * 2 // 3:]
    again = rest[rest["reloads"] > 0].sort_values(["reloads", "model"], ascending=[False, True])
    by_reloads = list(again["model"][:MOST_MODELS // 3]) if len(models) > MOST_MODELS else []
    by_requests = list(asked[~asked["model"].isin(by_reloads)]["model"][:MOST_MODELS - len(by_reloads)])
    share = dict(zip(models["model"], models["Invocations"] / total, strict=True))
    reloads = dict(zip(models["model"], models["reloads"], strict=True))
    notes = [f"{percent(share[name])} of requests" for name in by_requests]
    notes += [f"{plural(int(reloads[name]), 'reload')}" for name in by_reloads]
    names = (*by_requests, *by_reloads)
    return Chosen(names, tuple(notes), len(models) - len(names))


def swim_lanes(run: Run, time: Timeline) -> str:
    """The figure as an SVG element."""
    chosen = choose(run)
    slots = shown_slots(run)
    lane = ROW * len(chosen.names) + (AREA + 4 if chosen.others else 0) + RUG * 2 + GAP
    height = 30 + lane * len(slots)
    body = [*_time_axis(time, height)]
    for k, lives in enumerate(slots):
        body += _name(lives, 24 + k * lane)
        for life in lives:
            stays = run.lanes[run.lanes["instance"] == life.number]
            body += _lane(stays, life, chosen, time, 24 + k * lane)
    label = f"Models in memory on each instance over {time.clock}"
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}" class="lanes">{"".join(body)}</svg>'


def served_slots(run: Run) -> list[list[InstanceLife]]:
    """Instances that served, by slot, in the order of their launch."""
    lives = [InstanceLife(**life) for life in run.details["fleet"] if life["joined_ns"] is not None]
    return [[life for life in lives if life.slot == slot] for slot in sorted({life.slot for life in lives})]


def shown_slots(run: Run) -> list[list[InstanceLife]]:
    """At most MOST_LANES of them, from the first: a slot is reused as soon as it is free, so the first serve most."""
    return served_slots(run)[:MOST_LANES]


def legend(run: Run) -> list[tuple[str, str, str]]:
    """(colour name, model, note) of each row."""
    chosen = choose(run)
    return list(zip(MODEL_COLOURS, chosen.names, chosen.notes, strict=False))


def _x(time: Timeline, at_ns: Any) -> Any:
    return LEFT + np.clip(np.asarray(at_ns) / 1e9 / time.end_s, 0, 1) * _PIXELS


def _time_axis(time: Timeline, height: int) -> Iterator[str]:
    from matplotlib.ticker import MaxNLocator

    if time.warmup_s:
        width = time.warmup_s / time.end_s * _PIXELS
        yield f'<rect x="{LEFT}" y="18" width="{width:.1f}" height="{height - 18}" fill="var(--shade)"/>'
    for mark in time.marks:
        if mark.end_s is not None:
            start, end = _x(time, mark.start_s * 1e9), _x(time, mark.end_s * 1e9)
            yield (f'<rect x="{start:.1f}" y="18" width="{end - start:.1f}" height="{height - 18}" fill="var(--grey)" '
                   f'opacity=".13"><title>{escape(mark.label)}</title></rect>')
    for tick in MaxNLocator(8, steps=(1, 2, 5, 10)).tick_values(0, time.end_s / time.unit_s):
        if 0 <= tick * time.unit_s <= time.end_s:
            x = LEFT + tick * time.unit_s / time.end_s * _PIXELS
            text = f"{tick:g}" + (f" {time.unit}" if tick == 0 else "")
            yield (f'<path d="M{x:.1f} 18V{height}" stroke="var(--grid)"/>'
                   f'<text x="{x:.1f}" y="12" class="tick">{text}</text>')


def _name(lives: Sequence[InstanceLife], top: int) -> Iterator[str]:
    """What stands left of a lane."""
    numbers = [str(life.number) for life in lives]
    name = f"instance {numbers[0]}" if len(lives) == 1 else f"instances {', '.join(numbers[:3])}"
    more = f"and {len(lives) - 3} more" if len(lives) > 3 else lives[-1].reason
    zones = ", ".join(str(zone) for zone in sorted({life.zone for life in lives}))
    yield (f'<text x="0" y="{top + 11}" class="name">{name}</text><text x="0" y="{top + 25}" class="note">'
           f'{"zone" if len(zones) == 1 else "zones"} {zones}</text><text x="0" y="{top + 39}" class="note">'
           f'{escape(more)}</text>')


def _lane(stays: DataFrame, life: InstanceLife, chosen: Chosen, time: Timeline, top: int) -> Iterator[str]:
    end_ns = time.end_s * 1e9 if life.ended_ns is None else life.ended_ns
    start, joined, end = (float(_x(time, t)) for t in (life.launched_ns, life.joined_ns, end_ns))
    rows = ROW * len(chosen.names)
    bottom = top + rows + (AREA + 4 if chosen.others else 0) + RUG * 2
    if joined > start:
        yield (f'<rect x="{start:.1f}" y="{top}" width="{joined - start:.1f}" height="{bottom - top}" '
               f'class="provisioning"><title>provisioning</title></rect>')
    served = format_duration((end_ns - (life.joined_ns or 0)) / 1e9)
    title = f"instance {life.number}, zone {life.zone}: {served} in service; {life.reason or 'still there'}"
    yield (f'<rect x="{joined:.1f}" y="{top}" width="{max(end - joined, 1):.1f}" height="{bottom - top}" class="frame">'
           f'<title>{escape(title)}</title></rect>')
    for k, name in enumerate(chosen.names):
        yield from _row(stays[stays["model"] == name], name, MODEL_COLOURS[k], life, time, top + k * ROW + 1)
    if chosen.others:
        others = stays[~stays["model"].isin(chosen.names)]
        yield from _others(others, joined, end, time, top + rows + 2)
    rugs = top + rows + (AREA + 4 if chosen.others else 0)
    yield from _rug(stays["load_ns"].to_numpy(), time, rugs, "teal", "load")
    evicted = stays["reason"].str.startswith("evicted").to_numpy(bool)
    yield from _rug(stays["unload_ns"].to_numpy()[evicted], time, rugs + RUG, "red", "eviction")


def _row(stays: DataFrame, name: str, shade: str, life: InstanceLife, time: Timeline, y: int) -> Iterator[str]:
    """One model on one instance: the bars of its stays."""
    if not len(stays):
        return
    load, ready, unload, end = (stays[column].to_numpy() for column in ("load_ns", "ready_ns", "unload_ns", "end_ns"))
    until = np.where(unload >= 0, unload, end)
    from_ready = np.where(ready >= 0, ready, until)
    held_s = float((until - from_ready).sum()) / 1e9
    evictions = int(stays["reason"].str.startswith("evicted").sum())
    title = (f"{name} on instance {life.number}: READY for {format_duration(held_s)} in all, "
             f"{plural(len(stays), 'load')}, {plural(evictions, 'eviction')}")
    pale = _bars(np.append(load, until), np.append(from_ready, end), time, y)
    solid = _bars(from_ready, until, time, y)
    yield (f'<g fill="var(--{shade})"><title>{escape(title)}</title><path d="{pale}" opacity=".4"/>'
           f'<path d="{solid}"/></g>')


def _bars(starts: NDArray[np.int64], ends: NDArray[np.int64], time: Timeline, y: int) -> str:
    """Bars as one path; those that touch on the screen are joined."""
    order = np.argsort(starts, kind="stable")
    path, open_from, open_to = [], -1.0, -1.0
    for start, end in zip(_x(time, starts)[order].tolist(), _x(time, ends)[order].tolist(), strict=True):
        if end <= start:
            continue
        if start > open_to + 0.5:
            path.append(_bar(open_from, open_to, y))
            open_from, open_to = start, end
        open_to = max(open_to, end)
    return "".join([*path, _bar(open_from, open_to, y)])


def _bar(start: float, end: float, y: int) -> str:
    return f"M{start:.1f} {y}h{max(end - start, 0.4):.1f}v{BAR}H{start:.1f}z" if end > start else ""


def _others(stays: DataFrame, joined: float, end: float, time: Timeline, y: int) -> Iterator[str]:
    """How many of the other models were READY, pixel by pixel."""
    held = stays[stays["ready_ns"] >= 0]
    unload = held["unload_ns"].to_numpy()
    until = np.where(unload >= 0, unload, held["end_ns"].to_numpy())
    change = np.zeros(_PIXELS + 1, np.int64)
    np.add.at(change, np.rint(_x(time, held["ready_ns"].to_numpy()) - LEFT).astype(int), 1)
    np.add.at(change, np.rint(_x(time, until) - LEFT).astype(int), -1)
    level = np.cumsum(change)[:-1]
    most = int(level.max()) if len(level) else 0
    if most == 0:
        return
    steps = np.flatnonzero(np.diff(level, prepend=0))
    points = "".join(f"H{LEFT + x}V{y + AREA - level[x] / most * AREA:.1f}" for x in steps.tolist())
    yield (f'<path d="M{LEFT} {y + AREA}{points}H{LEFT + _PIXELS}V{y + AREA}z" fill="var(--grey)" opacity=".55">'
           f'<title>other models READY: at most {most} at once</title></path>')
    if end - joined > 90:
        yield f'<text x="{end - 5:.1f}" y="{y + AREA - 4}" class="side">up to {most} others</text>'


def _rug(times_ns: NDArray[np.int64], time: Timeline, y: int, shade: str, what: str) -> Iterator[str]:
    """A stroke for each pixel in which something happened, the stronger the more."""
    columns = np.bincount(np.rint(_x(time, times_ns) - LEFT).astype(int), minlength=1) if len(times_ns) else np.zeros(1)
    title = f"<title>{plural(len(times_ns), what)} on this instance</title>"
    for opacity, which in ((0.45, columns == 1), (1.0, columns > 1)):
        strokes = "".join(f"M{LEFT + x}.5 {y}v{RUG - 1}" for x in np.flatnonzero(which).tolist())
        if strokes:
            yield f'<path d="{strokes}" stroke="var(--{shade})" opacity="{opacity}">{title}</path>'


def note(run: Run, chosen: Chosen | None = None) -> str:
    """What the figure leaves out, in words; empty when nothing."""
    chosen = chosen or choose(run)
    lanes = len(served_slots(run))
    parts: Sequence[str] = [
        *([f"{plural(chosen.others, 'other model')} together are the grey area"] if chosen.others else []),
        *([f"the first {MOST_LANES} of {lanes} lanes of instances are shown"] if lanes > MOST_LANES else [])]
    return "; ".join(parts)
