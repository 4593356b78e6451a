"""`mmesim live shadow`: what other policies would have decided and saved, from a live endpoint's journal."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmesim.cli.output import note, print_json, print_table
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.calibrate.shadow.saved import Figure, Saved
    from mmesim.calibrate.shadow.watch import Watch

PAGE = "shadow.html"
DATA = "shadow.json"


def shadow(
    journal: Annotated[Path, typer.Argument(
        metavar="JOURNAL", help="The journal of a live endpoint: its folder (the latest start in it is taken).")],
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="PATH=VALUE", help="A second policy, e.g. endpoint.eviction.gpu=gdsf. Repeatable.")] = None,
    follow: Annotated[bool, typer.Option(
        "--follow", help="Stay with a journal that is being written, until its end or Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="With --follow: a line so often.")] = 60.0,
    out: Annotated[Path | None, typer.Option(help=f"Write {DATA} and {PAGE} into this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What would other policies have done on the requests of a live endpoint?

    Two answers. Decisions: the journal is replayed with the live policies in charge, and wherever they were asked, the
    second ones are asked the same on the same state. Savings: the journal's requests are simulated under both, with
    times fitted to the journal; how true that is stands beside it (simulated with the live policies against recorded).

    Examples:

      mmesim live shadow live-state/journal --set endpoint.eviction.gpu=gdsf

      mmesim live shadow live-state/journal --set endpoint.eviction.gpu=sieve --set endpoint.routing=ch_bl --out shadow

      mmesim live shadow live-state/journal --set "endpoint.prewarm={use: hybrid_histogram}" --follow --every 10
    """
    from mmesim.calibrate.shadow.watch import Watch
    from mmesim.journal import open_journal
    from mmesim.live.replay import setup_of
    settings = set_ or []
    if not settings:
        raise InputError(Problem("no second policy is named", hint="e.g. --set endpoint.eviction.gpu=gdsf"))
    following = _Following(every) if follow else None
    with open_journal(journal, following) as reader, _signals(following):
        live, second = setup_of(reader), setup_of(reader, settings)
        watch = Watch(reader, live, second)
        if following:
            following.line = watch.line
        watch.read()
    saved = None if following and following.stopped else _saved(watch)
    told = watch.to_json(settings, saved)
    if out is not None:
        _write(out, told)
    if as_json:
        print_json(told)
    else:
        _show(watch, settings, saved)


class _Following:
    """Called whenever there is nothing new: says how things stand, every so often; False after a signal."""

    def __init__(self, every_s: float) -> None:
        self.line: Callable[[], str] = str
        self.stopped = False
        self._every_s = every_s
        self._due_s = time.monotonic() + every_s

    def __call__(self) -> bool:
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + self._every_s
            note(self.line())
        return not self.stopped

    def stop(self, *_: object) -> None:
        """Ctrl-C or SIGTERM: tell what there is, and end."""
        self.stopped = True


@contextmanager
def _signals(following: _Following | None) -> Iterator[None]:
    if following is None:
        yield
        return
    before = {number: signal.signal(number, following.stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _saved(watch: Watch) -> Saved:
    from mmesim.calibrate.shadow.saved import saved
    from mmesim.cli.progress import simulated_time
    from mmesim.dataplane.compiled import warm_up
    from mmesim.scenario.build import Build
    from mmesim.sim.run import simulate
    warm_up(note)

    def run(build: Build) -> Any:
        with simulated_time(build.scenario.name, build.duration_ns, wanted=True) as tick:
            return simulate(build, progress=tick).summary

    return saved(watch.seen, watch.second, run)


def _write(folder: Path, told: Any) -> None:
    import json

    from mmesim.report.page import render_page, write_page
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DATA).write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    rows = [_figure(each["name"], each["unit"], *(each[key] for key in ("recorded", "live", "second", "fidelity",
                                                                          "change"))) for each in told["figures"] or ()]
    decisions = _decisions(told["decisions"])
    write_page(render_page("shadow.html", told=told, figures=rows, decisions=decisions), folder / PAGE)
    note(f"wrote {folder / PAGE}")


def _show(watch: Watch, settings: list[str], saved: Saved | None) -> None:
    counts = watch.seen.counts
    note(f"{counts['requests']:,} requests, {counts['loads']:,} loads, {counts['evictions']:,} evictions recorded; "
         f"second: {', '.join(settings)}")
    found = watch.decisions()
    print_table(_decisions(found), title="decisions on the same state")
    for row in found:
        for text in row["examples"][-1:]:
            note(f"{row['kind']}: {text}")
    if watch.difference is not None:
        note(f"the replay parts from the journal at line {watch.difference.line:,}: decisions after it are not "
             "compared (mmesim replay tells more)")
    for text in watch.shadow.notes:
        note(text)
    if saved is None:
        note("without --follow it is told, too, what the second policies would have saved")
        return
    print()
    print_table([_row(figure) for figure in saved.figures], title="what they would have saved, simulated",
                caption="fidelity: simulated with the live policies against recorded; change: second against live")
    for text in saved.notes:
        note(text)


def _decisions(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"decision": row["kind"], "asked": row["asked"], "different": row["different"],
             "share": f"{row['share']:.1%}"} for row in found]


def _row(figure: Figure) -> dict[str, Any]:
    return _figure(figure.name, figure.unit, figure.recorded, figure.live, figure.second, figure.fidelity,
                   figure.change)


def _figure(name: str, unit: str, recorded: float | None, live: float | None, second: float | None,
            fidelity: float | None, change: float | None) -> dict[str, Any]:
    """Numbers as people read them."""
    return {"figure": f"{name} ({unit})" if unit else name, "recorded": _number(recorded, unit),
            "simulated, live": _number(live, unit), "fidelity": _apart(fidelity, unit),
            "simulated, second": _number(second, unit), "change": _apart(change, unit)}


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:,.1f}" if unit else f"{value:,.0f}"


def _apart(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{value:+.1f} points" if unit == "%" else f"{value:+.1%}"
