"""A past from a folder that `mmesim run` or `mmesim live load` wrote.

With ``requests.parquet`` its requests are sent again as they were, every attempt of every client. Without it the time
series tells how many came in each minute, and the table of models which share each model had.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.planner.history.answers import LATENCY, MODEL, OVERHEAD, WAIT, Floats, Ints, read_requests
from mmesim.planner.history.evidence import REQUESTS, Evidence, Track
from mmesim.planner.history.numbers import ERRORS, HITS, INSTANCES, quantile_key
from mmesim.planner.history.past import TOTAL, Past
from mmesim.results.run import Run
from mmesim.results.unmeasured import Part, measured
from mmesim.units import NS_PER_S
from mmesim.workload.importing.importer import MINUTE_NS
from mmesim.workload.importing.rows import Counts, Requests

if TYPE_CHECKING:
    from pandas import DataFrame

REQUESTS_FILE = "requests.parquet"
LEVELS = (INSTANCES, "GPUUtilization", "GPUMemoryUtilization", "CPUUtilization", "MemoryUtilization",
          "DiskUtilization", "LoadedModelCount")


def read_run(folder: Path) -> Past:
    """The past of a run. Raises InputError when the folder holds none."""
    run = Run.load(folder)
    is_live = "live" in run.summary
    end_ns = round(run.summary["run"]["ended_s"] * NS_PER_S)
    kind = "live run" if is_live else "run"
    tracks = tracks_of(run.metrics)
    if not (folder / REQUESTS_FILE).is_file():
        return _from_series(run, folder, kind, tracks, end_ns)
    tiers, parts = measured(run.summary, Part.CACHE), measured(run.summary, Part.TIME) and measured(
        run.summary, Part.TIME_WITHIN)
    answers, model, items = read_requests(folder / REQUESTS_FILE, tiers=tiers, parts=parts)
    lost = run.summary["requests"]["in_flight_at_end"]
    notes = (f"{lost:,} requests had no answer yet when the record ended, and are not in it",) if lost else ()
    more = {"items": items.astype(str).astype(object)} if (items != 1).any() else {}
    return Past(kind, str(folder), Requests(answers.t_ns, model, more), Evidence(answers, tracks), end_ns,
                notes=notes)


def tracks_of(metrics: DataFrame) -> dict[str, Track]:
    """What the series of a run tells of its endpoint; what nobody measured is left out."""
    start_ns, end_ns = _ns(metrics, "start_s"), _ns(metrics, "end_s")
    series = metrics.rename(columns={"instances_serving": INSTANCES})
    tracks = {name: Track.of("mean", start_ns, end_ns, series[name].to_numpy(float))
              for name in LEVELS if name in series}
    loads = (metrics["loads_from_disk"] + metrics["loads_from_s3"]).to_numpy(float)
    tracks["residency.loads"] = Track.of("sum", start_ns, end_ns, loads)
    tracks["residency.unloads"] = Track.of("sum", start_ns, end_ns, metrics["unloads"].to_numpy(float))
    return {name: track for name, track in tracks.items() if len(track.value)}


def _ns(metrics: DataFrame, name: str) -> Ints:
    return np.rint(metrics[name].to_numpy(float) * NS_PER_S).astype(np.int64)


def _from_series(run: Run, folder: Path, kind: str, tracks: dict[str, Track], end_ns: int) -> Past:
    """Totals per minute, and quantiles of each row."""
    metrics, start_ns, end = run.metrics, _ns(run.metrics, "start_s"), _ns(run.metrics, "end_s")
    invocations = metrics["Invocations"].to_numpy(float)
    tracks = {**tracks, REQUESTS: Track.of("sum", start_ns, end, invocations),
              HITS: Track.of("by requests", start_ns, end, metrics["ModelCacheHit"].to_numpy(float)),
              "latency.all.mean": Track.of("by requests", start_ns, end, metrics["latency_mean_ms"].to_numpy(float)),
              ERRORS: Track.of("by requests", start_ns, end, _ratio(metrics["failed"], invocations))}
    for name in (MODEL, OVERHEAD, WAIT):
        tracks[f"{name}.mean"] = Track.of("by requests", start_ns, end, metrics[name].to_numpy(float) / 1e3)
    for prefix, among in (("latency", ""), ("warm", "warm"), ("cold", "cold")):
        for statistic in ("p50", "p90", "p99"):
            value = metrics[f"{prefix}_{statistic}_ms"].to_numpy(float)
            tracks[quantile_key(LATENCY, statistic, among)] = Track.of("each", start_ns, end, value)
    known = {name: track for name, track in tracks.items() if len(track.value)}
    shares = dict(zip(run.models["model"], run.models["Invocations"].astype(float), strict=True))
    return Past(kind, str(folder), _per_minute(start_ns, end, invocations, folder), Evidence(None, known), end_ns,
                shares=shares, notes=(f"no {REQUESTS_FILE}: requests are drawn anew from the totals of each minute and "
                                      "each model's share (output.requests: true records them one by one)",))


def _ratio(part: object, whole: Floats) -> Floats:
    return np.divide(np.asarray(part, float), whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _per_minute(start_ns: Ints, end_ns: Ints, count: Floats, folder: Path) -> Counts:
    """Rows of a minute or less added up, longer ones spread evenly. Raises InputError when they cross minutes."""
    length_ns = np.diff(np.append(start_ns, end_ns[-1:]))
    if ((start_ns // MINUTE_NS != (end_ns - 1) // MINUTE_NS) & (length_ns % MINUTE_NS != 0)).any():
        raise InputError(Problem("the rows of its series cross minutes", file=str(folder), hint="record with "
                                 "output.interval: 1m, or with output.requests: true"))
    minutes = np.arange(int(-(-end_ns[-1] // MINUTE_NS)) + 1)
    at = np.interp(minutes * MINUTE_NS, np.append(start_ns, end_ns[-1]), np.append(0.0, np.cumsum(count)))
    totals = np.diff(np.rint(at)).astype(np.int64)
    used = np.flatnonzero(totals)
    return Counts(used * MINUTE_NS, np.full(len(used), TOTAL, object), totals[used])
