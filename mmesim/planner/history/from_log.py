"""A past from a request log or trace: any table that `mmesim trace import` reads, with what else stands in its rows.

| column (first that is there, whatever its case) | meaning |
|---|---|
| latency, duration, response_time with its unit: _ms, _s, _us | until the answer |
| status, status_code, http_status, code | of HTTP: an answer is 2xx; text that is no number is not understood |
| hit, cache_hit, warm; or cold, cold_start | true/false, 1/0, yes/no: whether the model was loaded |
| items | samples in the request |

A latency without a unit in its name is not taken: it would be a guess. Counts per minute (``minute, model, count``,
CloudWatch by model, Azure Functions) have none of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mmesim.planner.history.answers import FAILED, HIT, LATENCY, Answers, Floats
from mmesim.planner.history.evidence import REQUESTS, Evidence, Track
from mmesim.planner.history.past import Past
from mmesim.workload.importing.columns import Columns
from mmesim.workload.importing.importer import MINUTE_NS, SECOND_NS, Wanted, import_trace, recognised
from mmesim.workload.importing.rows import Counts, Requests, Texts
from mmesim.workload.importing.table import header

TO_MS = {"_ms": 1.0, "_s": 1e3, "_us": 1e-3}
LATENCIES = tuple(f"{name}{unit}" for unit in TO_MS for name in ("latency", "duration", "response_time"))
STATUSES = ("status", "status_code", "http_status", "code")
HITS, COLDS = ("hit", "cache_hit", "warm"), ("cold", "cold_start")
ITEMS = ("items",)
WORDS = {"true": 1.0, "yes": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "no": 0.0, "0": 0.0, "0.0": 0.0}
LEAST_UNIX_NS = 10**17
"""A time 0 from here on is a wall clock's (1973); below it counts from anywhere."""


def read_log(path: Path) -> Past:
    """The past of a file. Raises InputError with file and line."""
    known = recognised(path)
    kept = _columns(header(path)) if known == "csv" else {}
    imported = import_trace([path], Wanted(format=known, columns=Columns(keep=tuple(kept.values()))))
    rows = imported.rows
    notes = (*imported.remarks, *(f"{n:,} rows left out: {reason}" for reason, n in imported.dropped.items()))
    begins = imported.begin_ns if imported.begin_ns >= LEAST_UNIX_NS else None
    if isinstance(rows, Counts):
        return _of_counts(path, rows, begins, notes)
    answers, more = _answers(rows, kept)
    end_ns = (int(rows.t_ns[-1]) // SECOND_NS + 1) * SECOND_NS
    return Past("requests", str(path), Requests(rows.t_ns, rows.model, _items(rows, kept)), Evidence(answers), end_ns,
                begins, notes=(*notes, *more))


def _columns(names: Sequence[str]) -> dict[str, str]:
    """What is meant -> the column that says it."""
    by_name = {name.lower(): name for name in names}
    meant = {LATENCY: LATENCIES, FAILED: STATUSES, HIT: HITS, "cold": COLDS, "items": ITEMS}
    found = {what: next((by_name[name] for name in wanted if name in by_name), "") for what, wanted in meant.items()}
    return {what: name for what, name in found.items() if name}


def _items(rows: Requests, kept: Mapping[str, str]) -> dict[str, Texts]:
    return {"items": rows.more[kept["items"]]} if "items" in kept else {}


def _answers(rows: Requests, kept: Mapping[str, str]) -> tuple[Answers, Iterator[str]]:
    """What the columns say, and what they do not."""
    columns: dict[str, Floats] = {}
    if FAILED in kept:
        status = _numbers(rows.more[kept[FAILED]])
        columns[FAILED] = np.where(np.isnan(status), np.nan, (status < 200) | (status >= 300))
    if LATENCY in kept:
        unit = next(scale for end, scale in TO_MS.items() if kept[LATENCY].lower().endswith(end))
        latency_ms = unit * _numbers(rows.more[kept[LATENCY]])
        columns[LATENCY] = np.where(columns[FAILED] == 1, np.nan, latency_ms) if FAILED in columns else latency_ms
    if HIT in kept or "cold" in kept:
        said = _truth(rows.more[kept[HIT] if HIT in kept else kept["cold"]])
        columns[HIT] = said if HIT in kept else 1 - said
    return Answers.of(rows.t_ns, columns), _unread(columns, kept)


def _unread(columns: Mapping[str, Floats], kept: Mapping[str, str]) -> Iterator[str]:
    for what, column in columns.items():
        unknown = int(np.isnan(column).sum())
        if what != LATENCY and unknown:
            yield f"{unknown:,} cells of {kept.get(what, kept.get('cold'))} could not be understood"
    if LATENCY not in columns:
        yield "no latency that names its unit (latency_ms, latency_s, latency_us): none is compared"
    elif FAILED not in columns:
        yield "no status: every latency counts as an answer's"


def _numbers(texts: Texts) -> Floats:
    import pandas as pd

    return pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(float)


def _truth(texts: Texts) -> Floats:
    return np.array([WORDS.get(str(text).strip().lower(), np.nan) for text in texts], float)


def _of_counts(path: Path, rows: Counts, begins: int | None, notes: Sequence[str]) -> Past:
    kind = "counts per minute"
    return Past(kind, str(path), rows, Evidence(None, {REQUESTS: per_minute(rows)}),
                int(rows.t_ns.max()) + MINUTE_NS, begins, notes=tuple(notes))


def per_minute(rows: Counts) -> Track:
    """How many came in each minute, of all models."""
    minute, at = np.unique(rows.t_ns // MINUTE_NS, return_inverse=True)
    return Track.of("sum", minute * MINUTE_NS, (minute + 1) * MINUTE_NS, np.bincount(at, rows.count).astype(float))


