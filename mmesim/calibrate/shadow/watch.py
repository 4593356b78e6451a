"""One pass over a live journal: second policies beside the live ones, and what is needed to simulate both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from mmesim.calibrate.shadow.decide import Shadow
from mmesim.calibrate.shadow.observed import Observed
from mmesim.calibrate.shadow.saved import Saved
from mmesim.journal.entries import Entry
from mmesim.journal.read import JournalReader
from mmesim.live.replay import Difference
from mmesim.live.setup import Setup
from mmesim.units import format_duration


class Watch:
    """Reads a journal to its end, or for as long as it is followed."""

    def __init__(self, journal: JournalReader, live: Setup, second: Setup) -> None:
        self.live = live
        self.second = second
        self.shadow = Shadow(live, second)
        self.seen = Observed(live)
        self._journal = journal

    @property
    def difference(self) -> Difference | None:
        """Where the replay parted from the journal: decisions after it are not compared."""
        return self.shadow.replay.outcome.difference

    def read(self, progress: Callable[[int], None] | None = None) -> None:
        """`progress` gets the journal's time in ns now and then."""
        for number, line in enumerate(self._journal.lines(), start=2):
            if self.difference is None:
                self.shadow.take(line, self._entry, number)
            else:
                self._entry(line)
            if progress is not None and number % 4096 == 0:
                progress(self.seen.ended_ns)

    def _entry(self, line: str) -> Entry:
        entry = self._journal.entry(line)
        self.seen.take(entry)
        return entry

    def line(self) -> str:
        """Where it stands, in one line."""
        tally, at = self.shadow.tally, format_duration(self.seen.ended_ns / 1e9)
        kinds = ", ".join(f"{kind} {tally.differ[kind]:,}/{asked:,}" for kind, asked in tally.asked.items())
        return f"{at}: {self.seen.counts['requests']:,} requests; decided otherwise: {kinds or 'nothing asked yet'}"

    def decisions(self) -> list[dict[str, Any]]:
        """By kind: asked, different, share, the latest examples."""
        tally = self.shadow.tally
        return [{"kind": kind, "asked": asked, "different": tally.differ[kind],
                 "share": tally.differ[kind] / asked, "examples": list(tally.examples.get(kind, ()))}
                for kind, asked in tally.asked.items()]

    def to_json(self, settings: list[str], saved: Saved | None) -> Mapping[str, Any]:
        """All that was found."""
        fitted = None if saved is None else {**asdict(saved.fitted), "spread": None}
        return {"journal": self._journal.name, "second": settings, "duration_s": self.seen.ended_ns / 1e9,
                "requests": self.seen.counts["requests"], "replay_equal": self.difference is None,
                "decisions": self.decisions(), "figures": [f.to_json() for f in saved.figures] if saved else None,
                "fitted": fitted, "notes": [*self.shadow.notes, *(saved.notes if saved else ())]}
