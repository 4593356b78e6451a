"""What an explanation needs besides the steps, from the journal of a live endpoint: nobody wrote a summary of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmesim.core.events import InstanceJoined
from mmesim.journal import open_journal


def live_details(journal: Path) -> dict[str, Any]:
    """As `details.json` of a run: models by number, the instances that came into service, how long it went on. Raises
    InputError when it is no journal."""
    fleet: list[dict[str, int]] = []
    ended_ns = 0
    with open_journal(journal) as reader:
        for step in reader.steps(lambda text: False):
            ended_ns = step.now_ns
            if isinstance(step.event, InstanceJoined):
                fleet.append({"number": len(fleet), "slot": step.event.instance, "launched_ns": step.now_ns,
                              "joined_ns": step.now_ns})
        return {"models": reader.header["models"], "fleet": fleet,
                "scenario": {"duration": f"{ended_ns / 1e9:.9f}s", "warmup": "0s"}}
