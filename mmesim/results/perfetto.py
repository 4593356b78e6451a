"""trace.json: the run as a timeline that opens in https://ui.perfetto.dev (or chrome://tracing).

Each instance is a process with tracks for its phases, downloads, extractions, loads and unloads (bars that overlap get
a track each); evictions are marks with their reason. The endpoint is a process of its own with counters. Format: "Trace
Event Format", Google, 2016: complete events (X), marks (i), counters (C), names (M); times in µs.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmesim.results.fleet import numbers_at
from mmesim.results.types import InstanceLife

if TYPE_CHECKING:
    from mmesim.results.run import Run

MAX_BARS = 200_000
"""Bars in one file: what Perfetto shows fluently (about 40 MB)."""
TRACKS = ("instance", "download", "extract", "load", "unload")
ENDPOINT_COUNTERS = {"instances": ("instances_running", "instances_desired"), "requests per second": ("rate_rps",),
                     "latency p99 (ms)": ("latency_p99_ms",), "cold starts per minute": ("cold_per_minute",)}
INSTANCE_COUNTERS = {"GPU utilisation (%)": "GPUUtilization", "GPU memory (%)": "GPUMemoryUtilization",
                     "CPU utilisation (%)": "CPUUtilization", "resident models": "LoadedModelCount"}

Bar = tuple[int, str, int, int, str, dict[str, Any]]
"""(instance number, track, start_ns, end_ns, name, args)."""


def write_trace(run: Run, path: Path) -> None:
    """Write the timeline; bars beyond `MAX_BARS` are left out and counted under ``otherData``."""
    lives = [InstanceLife(**life) for life in run.details["fleet"]]
    bars = sorted(chain(_phases(run, lives), _downloads(run, lives), _stays(run)), key=lambda bar: (bar[2], bar[:2]))
    left_out = max(0, len(bars) - MAX_BARS) + run.spans.dropped
    events = chain(_names(lives), _bars(bars[:MAX_BARS]), _evictions(run, MAX_BARS), _endpoint_counters(run),
                   _instance_counters(run))
    with path.open("w", encoding="utf-8") as file:
        other = {"run": run.name, "bars_left_out": left_out}
        file.write(f'{{"displayTimeUnit":"ms","otherData":{json.dumps(other)},"traceEvents":[\n')
        separator = ""
        for event in events:
            file.write(separator + json.dumps(event, separators=(",", ":"), allow_nan=False))
            separator = ",\n"
        file.write("\n]}\n")


def _process(instance: int) -> int:
    """Process id of an instance; the endpoint is process 1."""
    return instance + 2


def _names(lives: Iterable[InstanceLife]) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "endpoint"}}
    for life in lives:
        label = f"instance {life.number} (zone {life.zone})"
        yield {"ph": "M", "name": "process_name", "pid": _process(life.number), "args": {"name": label}}


def _phases(run: Run, lives: Iterable[InstanceLife]) -> Iterator[Bar]:
    ended_ns = round(run.summary["run"]["ended_s"] * 1e9)
    draining = {(slot, at_ns) for at_ns, what, slot, _ in run.details["fleet_log"] if what == "draining"}
    for life in lives:
        end_ns = ended_ns if life.ended_ns is None else life.ended_ns
        joined_ns = end_ns if life.joined_ns is None else life.joined_ns
        drain_ns = min((at for slot, at in draining if slot == life.slot and joined_ns <= at <= end_ns), default=end_ns)
        phases = {"provisioning": (life.launched_ns, joined_ns), "in service": (joined_ns, drain_ns),
                  "draining": (drain_ns, end_ns)}
        for name, (start_ns, until_ns) in phases.items():
            if until_ns > start_ns:
                yield life.number, "instance", start_ns, until_ns, name, {"ended": life.reason} if life.reason else {}


def _downloads(run: Run, lives: Iterable[InstanceLife]) -> Iterator[Bar]:
    spans = run.spans.kept
    numbers = numbers_at(lives, np.array([span.slot for span in spans], np.int64),
                         np.array([span.start_ns for span in spans], np.int64))
    for span, number in zip(spans, numbers.tolist(), strict=True):
        yield number, span.track, span.start_ns, span.end_ns, span.name, dict(span.args)


def _stays(run: Run) -> Iterator[Bar]:
    for stay in run.lanes.itertuples(index=False):
        ready_ns = stay.ready_ns if stay.ready_ns >= 0 else stay.end_ns
        args: dict[str, Any] = {"from": "s3" if stay.tier == 2 else "disk", "gpu_bytes": stay.gpu_bytes}
        if stay.ready_ns < 0:
            args["ended"] = stay.reason or "run ended"
        yield stay.instance, "load", stay.load_ns, ready_ns, stay.model, args
        if stay.unload_ns >= 0:
            yield stay.instance, "unload", stay.unload_ns, stay.end_ns, stay.model, {"reason": stay.reason}


def _bars(bars: Iterable[Bar]) -> Iterator[dict[str, Any]]:
    """Bars on tracks: one that overlaps the bars before it goes to the next free track of its kind."""
    busy: dict[tuple[int, str], list[tuple[int, int]]] = {}
    free: dict[tuple[int, str], list[int]] = {}
    opened: dict[tuple[int, str], int] = {}
    for instance, track, start_ns, end_ns, name, args in bars:
        key = (instance, track)
        running, idle = busy.setdefault(key, []), free.setdefault(key, [])
        while running and running[0][0] <= start_ns:
            heapq.heappush(idle, heapq.heappop(running)[1])
        if not idle:
            opened[key] = opened.get(key, 0) + 1
            idle.append(opened[key] - 1)
            yield from _new_track(*key, opened[key] - 1)
        lane = heapq.heappop(idle)
        heapq.heappush(running, (end_ns, lane))
        yield {"ph": "X", "pid": _process(instance), "tid": _thread(track, lane), "ts": start_ns / 1e3,
               "dur": (end_ns - start_ns) / 1e3, "name": name, "cat": track, "args": args}


def _thread(track: str, lane: int) -> int:
    return 1000 * TRACKS.index(track) + lane + 1


def _new_track(instance: int, track: str, lane: int) -> Iterator[dict[str, Any]]:
    where = {"pid": _process(instance), "tid": _thread(track, lane)}
    label = track if track == "instance" else f"{track} {lane + 1}"
    yield {"ph": "M", "name": "thread_name", **where, "args": {"name": label}}
    yield {"ph": "M", "name": "thread_sort_index", **where, "args": {"sort_index": where["tid"]}}


def _evictions(run: Run, limit: int) -> Iterator[dict[str, Any]]:
    left = run.lanes[(run.lanes["unload_ns"] >= 0)].head(limit)
    for stay in left.itertuples(index=False):
        yield {"ph": "i", "s": "p", "pid": _process(stay.instance), "tid": _thread("unload", 0),
               "ts": stay.unload_ns / 1e3, "name": f"{stay.model}: {stay.reason}", "cat": "unload"}


def _endpoint_counters(run: Run) -> Iterator[dict[str, Any]]:
    length_s = run.metrics["end_s"] - run.metrics["start_s"]
    cold = run.metrics["cold_from_disk"] + run.metrics["cold_from_s3"]
    series = run.metrics.assign(rate_rps=run.metrics["Invocations"] / length_s, cold_per_minute=60 * cold / length_s)
    for name, columns in ENDPOINT_COUNTERS.items():
        for row in series[["start_s", *columns]].fillna(0.0).itertuples(index=False):
            values = {column: round(value, 3) for column, value in zip(columns, row[1:], strict=True)}
            yield {"ph": "C", "pid": 1, "ts": row[0] * 1e6, "name": name, "args": values}


def _instance_counters(run: Run) -> Iterator[dict[str, Any]]:
    for name, column in INSTANCE_COUNTERS.items():
        if column in run.instances:
            for row in run.instances[["instance", "start_s", column]].fillna(0.0).itertuples(index=False):
                yield {"ph": "C", "pid": _process(row[0]), "ts": row[1] * 1e6, "name": name,
                       "args": {"value": round(row[2], 3)}}
