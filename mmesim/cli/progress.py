"""Progress bars over the time of a run, simulated or live: shown after a second, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmesim.units import format_duration, seconds

QUIET_FOR_S = 1.0


@contextmanager
def steps(what: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """Gives the function to call with the number of steps done, or None when nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    with Progress(TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
                  TextColumn("{task.fields[pace]}"), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, pace="")
        started = time.monotonic()
        yield lambda done: bar.update(task, completed=done, pace=_pace(done, total, time.monotonic() - started))


def _pace(done: int, total: int, elapsed_s: float) -> str:
    """Rate and time left by the mean so far: steps that end several at once would fool a shorter look back."""
    rate = done / max(elapsed_s, 1e-3)
    told = f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"
    return f"{told}, {format_duration((total - done) / rate)} left" if done < total else told


@contextmanager
def no_steps(what: str, total: int) -> Iterator[None]:
    """In place of `steps` for who wants quiet."""
    yield None


@contextmanager
def simulated_time(what: str, duration_ns: int, *, wanted: bool) -> Iterator[Callable[[int], None] | None]:
    """Gives the function to call with the simulated time (ns), or None when nobody looks."""
    with passing_time(what, duration_ns, wanted=wanted) as show:
        started = time.monotonic()

        def tick(now_ns: int) -> None:
            assert show is not None
            show(now_ns, f"{seconds(now_ns) / (time.monotonic() - started):,.0f} × real time")

        yield show and tick


@contextmanager
def passing_time(what: str, duration_ns: int, *, wanted: bool) -> Iterator[Callable[[int, str], None] | None]:
    """Gives the function to call with the time of a run (ns) and what to say of it, or None when nobody looks."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
    bar = Progress(TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn(),
                   TextColumn("{task.fields[at]}"), TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=duration_ns, at="")
    started = time.monotonic()
    shown = False

    def show(now_ns: int, text: str) -> None:
        nonlocal shown
        if not shown and time.monotonic() - started > QUIET_FOR_S:
            bar.start()
            shown = True
        if shown:
            bar.update(task, completed=now_ns, at=f"{format_duration(seconds(now_ns))}, {text}")

    try:
        yield show
    finally:
        bar.stop()
