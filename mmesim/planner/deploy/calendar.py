"""Times of a run as schedules of Application Auto Scaling: ``cron(…)``, ``rate(…)`` and ``at(…)``.

A run begins at 0, a calendar has days: the run's first day is taken to begin at midnight UTC, and where its date
matters it is the placeholder ``${DAY0}`` (``${DAY1}`` the day after). Schedules are good to the minute.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY_S = 86_400
HOUR_S = 3_600
MINUTE_S = 60


@dataclass(frozen=True)
class Schedule:
    """When something happens."""

    expression: str
    start: str = ""
    """When a rate begins; empty: it does not matter."""
    day: str = ""
    """The placeholder in it, without ``${}``."""
    note: str = ""
    """What is not exactly as asked for."""


def schedule(at_s: float, every_s: float | None) -> Schedule:
    """`at_s` seconds after the run's start; with `every_s` again and again."""
    at, every = _minutes(at_s), None if every_s is None else max(1, _minutes(every_s))
    rounded = at * MINUTE_S != at_s or (every or 0) * MINUTE_S != (every_s or 0)
    note = "scheduled actions are rounded to whole minutes" if rounded else ""
    if every == DAY_S // MINUTE_S:
        hour, minute = divmod(at % every, 60)
        return Schedule(f"cron({minute} {hour} * * ? *)", note=note)
    days, minutes = divmod(at, DAY_S // MINUTE_S)
    day, clock = f"DAY{days}", f"{minutes // 60:02}:{minutes % 60:02}:00"
    when = f"${{{day}}}T{clock}"
    if every is None:
        return Schedule(f"at({when})", day=day, note=note)
    return Schedule(_rate(every), start=f"{when}Z", day=day, note=note)


def _minutes(seconds: float) -> int:
    return round(seconds / MINUTE_S)


def _rate(minutes: int) -> str:
    """In the largest unit that fits."""
    units = (("day", DAY_S // MINUTE_S), ("hour", HOUR_S // MINUTE_S), ("minute", 1))
    unit, count = next((unit, minutes // size) for unit, size in units if minutes % size == 0)
    return f"rate({count} {unit}{'' if count == 1 else 's'})"
