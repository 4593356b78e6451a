"""The traces, cut in two: what a planner may know, and what it is judged on.

Each world is a scenario beside this file, and two files of requests written from the trace. The planner's holds the
first part only; the other begins some time before the cut, so that the judged endpoint is warm, and that time is not
judged. Which model a trace's id stands for follows from the first part: its ids by their requests; ids that come later
get the names that are left, in order of appearance, or stay out where the first part chose the models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame, Series

HERE = Path(__file__).parent
DAY_S = 86_400.0
GENAI_MEAN_S = 26.6
"""Of the profile diffusion-a10g; `work` is a request's execution time in units of it."""
AZURE_MODELS, AZURE_GROUPS = 100, 5


@dataclass(frozen=True)
class World:
    """A trace cut in two; times in seconds."""

    name: str
    title: str
    scenario: Path
    rows: Callable[[DataFrame], DataFrame]
    """From the trace's rows to `timestamp_s, id, ...` or `minute, id, count`."""
    file: str
    cut_s: float
    """End of the first part."""
    lead_s: float
    """Before the cut: the judged run's warm-up; of the first part its own beginning."""
    names: Callable[[Series, Series], dict[str, str]]
    """Ids of the first part by their requests, ids that come later -> names of models, by id."""
    has_days: bool = False
    """True: long enough for a trend from day to day."""
    margin: float = 1.25
    """Times the traffic, a common allowance for growth; 1: not planned for."""


@dataclass(frozen=True)
class Part:
    """One part of a world, written: what has to be set in its scenario."""

    overrides: tuple[str, ...]
    requests: int
    """Judged ones."""
    length_s: float
    """Judged time."""
    per_day: tuple[int, ...] = field(default=())
    """Of each whole day, the lead among them."""


def cut(world: World, data: Path, folder: Path, *, first_s: float = 0.0, end_s: float = math.inf) -> tuple[Part, Part]:
    """Write both parts of a trace to `folder`; `first_s` and `end_s` leave out its ends (for a small version)."""
    import pandas as pd

    rows = world.rows(pd.read_csv(data / "traces" / world.file))
    time_s = rows.timestamp_s if "timestamp_s" in rows else rows.minute * 60.0
    rows = rows[(time_s >= first_s) & (time_s < end_s)].assign(time_s=time_s)
    weight = rows["count"] if "count" in rows else pd.Series(1, rows.index)
    before = rows.time_s < world.cut_s
    ranked = weight[before].groupby(rows.id[before]).sum().reset_index(name="n").sort_values(
        ["n", "id"], ascending=[False, True]).id
    later = rows.id[~before][~rows.id[~before].isin(ranked)].drop_duplicates()
    names = world.names(ranked, later)
    rows = rows.assign(model=rows.id.map(names))
    rows = rows[rows.model.notna()]
    known = rows[rows.time_s < world.cut_s]
    return (_written(known, first_s, first_s + world.lead_s, world, folder / f"{world.name}-first.csv"),
            _written(rows[rows.time_s >= world.cut_s - world.lead_s], world.cut_s - world.lead_s, world.cut_s, world,
                     folder / f"{world.name}-rest.csv"))


def _written(rows: DataFrame, start_s: float, judged_s: float, world: World, path: Path) -> Part:
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    count = rows.get("count")
    judged = rows.time_s >= judged_s
    requests = int(judged.sum() if count is None else count[judged].sum())
    days = ((rows.time_s - start_s) // DAY_S).astype(int)
    if "timestamp_s" in rows:
        kept = rows.assign(timestamp_s=rows.time_s - start_s)[["timestamp_s", "model", "work"]]
    else:
        kept = rows.assign(minute=rows.minute - int(start_s // 60))[["minute", "model", "count"]]
    text = kept.to_csv(index=False)
    if not path.exists() or path.read_text(encoding="utf-8") != text:  # untouched: what was run stays valid
        path.write_text(text, encoding="utf-8")
    overrides = (f"workload.trace={path.absolute()}", f"warmup={world.lead_s:g}s", *_counts(world, rows.model))
    return Part(overrides, requests,
                float(rows.time_s.max()) - judged_s, tuple(int(n) for n in days.value_counts().sort_index()))


def _counts(world: World, names: Series) -> Sequence[str]:
    """The models that the part asks for, so that a planner does not know of others."""
    if world.name != "genai":
        return ()
    return (f"models.0.count={int(names.str.rpartition('-')[2].astype(int).max()) + 1}",)


def _genai(rows: DataFrame) -> DataFrame:
    return rows.assign(id=rows.model, work=(rows.service_s / GENAI_MEAN_S).round(4))


def _genai_names(ranked: Series, later: Series) -> dict[str, str]:
    return {name: f"base-{i:03}" for i, name in enumerate([*ranked, *later])}


def _azure(rows: DataFrame) -> DataFrame:
    return rows.assign(id=rows.model)


def _azure_names(ranked: Series, _later: Series) -> dict[str, str]:
    return {name: f"m{i % AZURE_GROUPS}-{i // AZURE_GROUPS:03}" for i, name in enumerate(ranked[:AZURE_MODELS])}


def _without_first(ranked: Series, later: Series) -> dict[str, str]:
    return _azure_names(ranked[1:], later)


WORLDS = {world.name: world for world in (
    World("genai", "GenAI: 10 days, then 7", HERE / "genai.yaml", _genai, "alibaba_genai_requests_dev.csv.gz",
          10 * DAY_S, DAY_S, _genai_names, has_days=True, margin=1.0),
    World("azure-1350", "Azure Functions, a day: 16 hours, then 8", HERE / "azure-1350.yaml", _azure,
          "azure_functions_2019_1350f_24h_counts.csv.gz", 16 * 3600.0, 3600.0, _azure_names),
    World("azure-500", "Azure Functions, busier: 5 hours, then 3", HERE / "azure-500.yaml", _azure,
          "azure_functions_2019_500f_8h_counts.csv.gz", 5 * 3600.0, 3600.0, _without_first),
)}
