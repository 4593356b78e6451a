"""Writes a journal: a header line, then a line for each controller step, compressed as it is written.

The same run gives the same bytes: lines are compressed in blocks of a fixed number of steps, by one thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmesim.core.actions import Action
from mmesim.core.events import Event
from mmesim.journal.text import SCHEMA, step_to_json

NAME = "journal.jsonl.zst"
BLOCK_STEPS = 4096
LEVEL = 3
"""zstd's own default: about 15 times smaller at 1 µs a line."""


class JournalWriter:
    """Takes every step (`mmesim.results.types.StepSink`). `header` says what the run was made of."""

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        import zstandard

        self._file = path.open("wb")
        self._stream = zstandard.ZstdCompressor(level=LEVEL).stream_writer(self._file)
        self._lines = [json.dumps({"journal": SCHEMA, **header}, allow_nan=False)]

    def step(self, now_ns: int, event: Event, actions: tuple[Action, ...]) -> None:
        """One controller step."""
        self._lines.append(step_to_json(now_ns, event, actions))
        if len(self._lines) >= BLOCK_STEPS:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._stream.close()

    def _flush(self) -> None:
        if self._lines:
            self._stream.write(("\n".join(self._lines) + "\n").encode())
            self._lines = []
