"""How long downloads, loads and unloads took, as the journal of a live endpoint tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from mmesim.core import actions as act
from mmesim.core import events as ev
from mmesim.journal.entries import Entry, Step

BEGINS: dict[type, str] = {act.StartDownload: "download", act.LoadModel: "load", act.UnloadModel: "unload"}
ENDS: dict[type, str] = {ev.DownloadFinished: "download", ev.LoadFinished: "load", ev.UnloadFinished: "unload"}
FAILS: dict[type, str] = {ev.DownloadFailed: "download", ev.LoadFailed: "load"}


@dataclass
class Timings:
    """Seconds of what ended well, by model number, in order of ending; and how many actions there were."""

    download_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    load_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    unload_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    downloads: int = 0
    loads: int = 0
    unloads: int = 0
    evictions: int = 0
    failed: int = 0


def timings_of(entries: Iterable[Entry], since_ns: int = 0) -> Timings:
    """What the entries of a journal tell of the actions that were begun at `since_ns` or later."""
    found, begun = Timings(), dict[tuple[str, int, int], int]()
    for entry in entries:
        if not isinstance(entry, Step):
            continue
        kind = ENDS.get(type(entry.event)) or FAILS.get(type(entry.event))
        if kind is not None:
            began_ns = begun.pop((kind, entry.event.instance, entry.event.model), None)  # type: ignore[union-attr]
            if began_ns is not None and type(entry.event) in ENDS:
                getattr(found, f"{kind}_s")[entry.event.model].append((entry.now_ns - began_ns) / 1e9)  # type: ignore[union-attr]
            found.failed += type(entry.event) in FAILS
        if entry.now_ns < since_ns:
            continue
        for action in entry.actions:
            if (what := BEGINS.get(type(action))) is not None:
                begun[what, action.instance, action.model] = entry.now_ns  # type: ignore[union-attr]
                setattr(found, f"{what}s", getattr(found, f"{what}s") + 1)
                found.evictions += isinstance(action, act.UnloadModel) and action.reason.startswith("evicted for ")
    return found
