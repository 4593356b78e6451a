"""`mmesim replay`: the journal of a live endpoint through a fresh controller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmesim.cli.ending import EXIT_NOT_MET
from mmesim.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from mmesim.live.replay import Difference, Outcome


def replay(
    journal: Annotated[Path, typer.Argument(
        metavar="JOURNAL", help="The journal of a live endpoint: its folder (the latest start in it is taken).")],
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="PATH=VALUE", help="Another policy, e.g. endpoint.eviction.gpu=gdsf: where do they part?")] =
    None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Replay a live endpoint's journal: does a fresh controller decide the same, action by action?

    Feeds every recorded request and event to a new controller with the same policies and compares all that it decides
    with what was recorded. Exit code 1 at a difference.

    Examples:

      mmesim replay live-state/journal

      mmesim replay live-state/journal/20260301T101500Z-1 --json

      mmesim replay live-state/journal --set endpoint.eviction.gpu=gdsf
    """
    from mmesim.journal import open_journal
    from mmesim.live.replay import replay as replayed
    from mmesim.live.replay import setup_of
    with open_journal(journal) as reader:
        outcome = replayed(reader, setup_of(reader, set_ or ()))
        names, name = reader.header["models"], reader.name
    if as_json:
        print_json(summary(name, outcome))
    else:
        print_table(_rows(outcome), title=name)
        _tell(outcome, names)
    if not outcome.is_equal:
        raise typer.Exit(EXIT_NOT_MET)


def summary(name: str, outcome: Outcome) -> dict[str, Any]:
    """The outcome as plain data."""
    from dataclasses import asdict
    return {"journal": name, "equal": outcome.is_equal, "recorded": dict(outcome.counts),
            "same": dict(outcome.equal), "cut_off": outcome.cut_off, "duration_s": outcome.ended_ns / 1e9,
            "wall_s": outcome.wall_s, "difference": asdict(outcome.difference) if outcome.difference else None}


def _rows(outcome: Outcome) -> list[dict[str, Any]]:
    counted = ("requests", "sent", "refused", "steps", "actions", "downloads", "loads", "unloads", "evictions")
    return [{"": name, "recorded": outcome.counts[name], "same": outcome.equal[name]} for name in counted]


def _tell(outcome: Outcome, names: list[str]) -> None:
    from mmesim.units import format_duration
    if outcome.cut_off:
        note("the journal has no end: its writer was killed, or still writes; replayed to the last whole line")
    rate = outcome.counts["requests"] / max(outcome.wall_s, 1e-9)
    note(f"{format_duration(outcome.ended_ns / 1e9)} of the endpoint's life replayed in "
         f"{format_duration(outcome.wall_s)} ({rate:,.0f} requests/s)")
    if outcome.difference is None:
        print(f"\nevery one of {outcome.counts['actions']:,} actions is the same")
        return
    for line in difference_text(outcome.difference, names):
        print(line)


def difference_text(difference: Difference, names: list[str]) -> list[str]:
    """Where the two part, for people."""
    from mmesim.units import format_duration
    lines = [f"\nthe first difference is at {format_duration(difference.now_ns / 1e9)}, line {difference.line}:",
             f"  recorded  {_named(difference.recorded, names) or '(nothing more)'}",
             f"  replayed  {_named(difference.replayed, names) or '(nothing)'}"]
    if difference.error:
        lines.append(f"  the fresh controller cannot take it in: {difference.error}")
    return [*lines, "before it, alike:", *(f"  {_named(line, names)}" for line in difference.before)]


def _named(line: str, names: list[str]) -> str:
    """With the names of the models beside their numbers."""
    import re

    def named(found: re.Match[str]) -> str:
        number = int(found[1])
        return f'{found[0]} ({names[number]})' if 0 <= number < len(names) else found[0]

    return re.sub(r'"model":(\d+)', named, re.sub(r'("arrive":\[\d+),(\d+)', r'\1,"model":\2', line))
