"""Work that asks for runs by yielding them and goes on when they are made, several pieces side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmesim.planner.runs.orders import Order

Work = Iterator[list[Order]]
"""Asks for runs, and goes on when they are made."""


def together(waiting: Sequence[Work], most: int) -> Work:
    """All of the work, at most so many pieces at a time, in their order: what they ask for is asked for at once."""
    waiting, active = list(waiting), list[Work]()
    while waiting or active:
        while waiting and len(active) < most:
            active.append(waiting.pop(0))
        wanted: list[Order] = []
        for work in list(active):
            if (orders := next(work, None)) is None:
                active.remove(work)
            else:
                wanted += orders
        yield wanted
