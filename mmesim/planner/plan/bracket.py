"""Where the smallest fleet lies that meets the objective: above those known to miss it, up to one that meets it.

From a guess by galloping (steps of 1, 2, 4 …) to either side, then by bisection: a good guess costs two looks, a bad
one the logarithm of its distance (Bentley and Yao, Information Processing Letters 5, 1976).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Bracket:
    """Sizes below `low` miss the objective, `high` meets it (None: none is known that does)."""

    low: int
    guess: int
    high: int | None = None
    _step: int = 1
    _begun: bool = False
    _missed: bool = False

    def next(self, most: int) -> int | None:
        """The size to look at, at most `most`; None: nothing is left to be looked at."""
        end = most if self.high is None else min(most, self.high - 1)
        if self.low > end:
            return None
        if not self._begun:
            return min(max(self.guess, self.low), end)
        if self.high is None:
            return min(self.low - 1 + self._step, end)
        if not self._missed:
            return min(max(self.low, self.high - self._step), end)
        return (self.low + end) // 2

    def met(self, n: int) -> None:
        """This size meets the objective."""
        self._step, self.high = (2 * self._step if self._begun and not self._missed else 1), n
        self._begun = True

    def missed(self, n: int) -> None:
        """This size, and so every smaller one, misses it."""
        self._step = 2 * self._step if self._begun and self.high is None else 1
        self.low, self._missed, self._begun = max(self.low, n + 1), True, True
        if self.high is not None and self.high <= n:  # it was taken to meet it, and does not
            self.high = None
