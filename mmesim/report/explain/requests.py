"""requests.parquet, read in batches: what was slow, what others did meanwhile, when a model was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmesim.dataplane.counters import Reason
from mmesim.errors import InputError, Problem

NAME = "requests.parquet"
ADVICE = "record it: mmesim run SCENARIO --set output.requests=true; or let `mmesim explain` do it: --rerun"
PARTS = tuple(f"{reason.name.lower()}_ns" for reason in Reason)
LOADING = ("download_ns", "extract_ns", "room_ns", "load_ns")
Row = dict[str, Any]


@dataclass(frozen=True)
class Filter:
    """Which requests are meant; None: any."""

    model: str | None = None
    slot: int | None = None
    at_ns: int | None = None
    """In flight then."""

    def of(self, batch: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Which rows of a batch."""
        kept = np.ones(len(batch["serial"]), bool)
        if self.model is not None:
            kept &= batch["model"] == self.model
        if self.slot is not None:
            kept &= batch["instance"] == self.slot
        if self.at_ns is not None:
            issued_ns = batch["issued_ns"]
            kept &= (issued_ns <= self.at_ns) & (self.at_ns <= issued_ns + batch["latency_ns"])
        return kept


@dataclass
class Around:
    """What other requests did while one was in flight."""

    latencies_ns: NDArray[np.int64]
    """Answered requests of its model, this one included."""
    warm_ns: NDArray[np.int64]
    """Those of them that found the model loaded."""
    sharing: int = 0
    """Others that waited for the same load."""
    device_ns: Counter[str] = field(default_factory=Counter)
    """Device time of batches of other requests while this one queued or computed, by model."""


def has_requests(folder: Path) -> bool:
    """Whether the run recorded its requests."""
    return (folder / NAME).is_file()


def batches(folder: Path, columns: Sequence[str]) -> Iterator[dict[str, NDArray[Any]]]:
    """Columns of the table, some 100,000 rows at a time; names as text. Raises InputError when it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not has_requests(folder):
        raise InputError(Problem(f"{folder} has no {NAME}: the run did not record its requests", hint=ADVICE))
    try:
        with pq.ParquetFile(folder / NAME) as file:
            for batch in file.iter_batches(1 << 17, columns=list(columns)):
                yield {name: np.asarray(column.dictionary_decode() if pa.types.is_dictionary(column.type) else column)
                       for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    except (pa.ArrowException, OSError) as error:
        raise InputError(Problem(f"cannot read {folder / NAME}: {error}", hint="record it again")) from error


def slowest(folder: Path, n: int, chosen: Filter, since_ns: int = 0) -> list[Row]:
    """The n requests that took longest, the longest first, of those issued from `since_ns` on."""
    found: list[Row] = []
    for batch in batches(folder, _COLUMNS):
        kept = (chosen.of(batch) & (batch["issued_ns"] >= since_ns)).nonzero()[0]
        longest = kept[np.argsort(-batch["latency_ns"][kept], kind="stable")[:n]]
        found += _rows(batch, longest)
        found = sorted(found, key=lambda row: (-row["latency_ns"], row["serial"]))[:n]
    return found


def by_serial(folder: Path, serial: int) -> Row:
    """One request. Raises InputError when there is none of this number."""
    last = -1
    for batch in batches(folder, _COLUMNS):
        if len(at := (batch["serial"] == serial).nonzero()[0]):
            return _rows(batch, at[:1])[0]
        last = max(last, int(batch["serial"].max(initial=-1)))
    raise InputError(Problem(f"no request {serial} has ended in this run",
                             hint=f"numbers go from 0 to {last}; `--request slowest` finds the slowest"))


def around(folder: Path, row: Row) -> Around:
    """What happened to others while this request was in flight."""
    start_ns, end_ns = row["issued_ns"], row["issued_ns"] + row["latency_ns"] - row["overhead_ns"]
    queued_ns = start_ns + sum(row[part] for part in PARTS[:Reason.QUEUE])
    result = Around(np.zeros(0, np.int64), np.zeros(0, np.int64))
    latencies, warm = [], []
    for batch in batches(folder, _COLUMNS):
        answered = batch["failure"] == "none"
        mine = batch["model"] == row["model"]
        latencies.append(batch["latency_ns"][mine & answered])
        warm.append(batch["latency_ns"][mine & answered & (batch["tier"] == "gpu")])
        here = (batch["instance"] == row["instance"]) & (batch["serial"] != row["serial"])
        begun = (batch["issued_ns"] <= end_ns) & (batch["issued_ns"] + batch["latency_ns"] >= start_ns)
        held = _loading_ns(batch) > 0
        if any(row[part] for part in LOADING):
            result.sharing += int((mine & here & begun & held).sum())
        _add_device_time(result.device_ns, batch, here & answered & begun, queued_ns, end_ns)
    result.latencies_ns, result.warm_ns = np.concatenate(latencies), np.concatenate(warm)
    return result


def next_uses(folder: Path, models: Iterable[str], after_ns: int) -> dict[str, int]:
    """When each of these models was first asked for again after a time; absent: never in this run."""
    wanted, found = set(models), dict[str, int]()
    for batch in batches(folder, ("model", "issued_ns")):
        later = batch["issued_ns"] > after_ns
        names, issued_ns = batch["model"][later], batch["issued_ns"][later]
        for name in wanted:
            if len(times := issued_ns[names == name]):
                found[name] = min(int(times.min()), found.get(name, int(times.min())))
    return found


def waited_for(folder: Path, model: str, slot: int, since_ns: int, until_ns: int) -> tuple[int, int]:
    """(requests, ns in all) that waited on the instance for a load of the model and were issued within the time."""
    requests = total_ns = 0
    for batch in batches(folder, ("serial", "model", "instance", "issued_ns", "latency_ns", *LOADING)):
        wait_ns = _loading_ns(batch)
        kept = Filter(model, slot).of(batch) & (batch["issued_ns"] >= since_ns) & (batch["issued_ns"] <= until_ns)
        requests += int((kept & (wait_ns > 0)).sum())
        total_ns += int(wait_ns[kept].sum())
    return requests, total_ns


_COLUMNS = ("serial", "attempt", "model", "instance", "tier", "failure", "items", "batch_items", "issued_ns",
            "first_issued_ns", "latency_ns", *PARTS)


def _loading_ns(batch: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    total: NDArray[np.int64] = np.sum([batch[part] for part in LOADING], axis=0, dtype=np.int64)
    return total


def _rows(batch: dict[str, NDArray[Any]], positions: NDArray[np.intp]) -> list[Row]:
    return [{name: _plain(column[at]) for name, column in batch.items()} for at in positions.tolist()]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _add_device_time(total: Counter[str], batch: dict[str, NDArray[Any]], kept: NDArray[np.bool_], start_ns: int,
                     end_ns: int) -> None:
    """The part of others' batches that ran within the time; a batch counts once, however many requests were in it."""
    done_ns = batch["issued_ns"] + batch["latency_ns"] - batch["overhead_ns"]
    begun_ns = done_ns - batch["compute_ns"] - batch["contention_ns"]
    overlap_ns = np.minimum(done_ns, end_ns) - np.maximum(begun_ns, start_ns)
    at = (kept & (overlap_ns > 0)).nonzero()[0]
    seen = {(batch["model"][k], int(done_ns[k])): int(overlap_ns[k]) for k in at.tolist()}
    for (model, _), held_ns in seen.items():
        total[model] += held_ns
