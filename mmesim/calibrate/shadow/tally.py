"""How often two sets of policies answer the same question differently, by kind of question."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from mmesim.core.policy import Prewarm
from mmesim.core.types import NEVER_NS
from mmesim.units import format_duration

Answer = TypeVar("Answer")
EXAMPLES = 5
"""Kept of each kind: the latest."""


class Tally:
    """Counts and examples. `name` is a model's name by its number."""

    def __init__(self, name: Callable[[int], str]) -> None:
        self.asked: Counter[str] = Counter()
        self.differ: Counter[str] = Counter()
        self.examples: dict[str, deque[str]] = {}
        self._name = name

    def note(self, kind: str, now_ns: int, live: Answer, second: Answer, about: str,
             told: Callable[[Answer], str] = str) -> None:
        """Both answers to one question; `told` puts one in words."""
        self.asked[kind] += 1
        if live != second:
            self.differ[kind] += 1
            words = f"{format_duration(now_ns / 1e9)}, {about}: live {told(live)}; second {told(second)}"
            self.examples.setdefault(kind, deque(maxlen=EXAMPLES)).append(words)

    def model(self, number: int) -> str:
        """Its name."""
        return self._name(number)

    def models(self, numbers: Iterable[int]) -> str:
        """Their names."""
        return ", ".join(map(self._name, numbers)) or "nothing"

    def plans(self, plans: Iterable[Prewarm]) -> str:
        """Decisions made ahead."""
        return ", ".join(f"{'loads' if plan.load else 'unloads'} {self._name(plan.model)}" + (
            "" if plan.instance is None else f" on {plan.instance}") for plan in plans) or "nothing"


def due(due_ns: int) -> str:
    """When a copy leaves by itself."""
    return "keeps it" if due_ns == NEVER_NS else f"keeps it until {format_duration(due_ns / 1e9)}"
