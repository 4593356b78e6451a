"""Probability laws as a scenario writes them: ``{law: lognormal, mean: 150ms, cv: 0.5}``.

Each law is fixed by its mean and its coefficient of variation cv = standard deviation / mean, or (uniform) by
its bounds:

| law | cv | notes |
|---|---|---|
| constant | 0 | |
| uniform | (high - low) / (sqrt(12) mean) | by `low` and `high`, or by `mean` and `cv` |
| exponential | 1 | |
| lognormal | any | sigma^2 = ln(1 + cv^2), mu = ln(mean) - sigma^2 / 2 |
| gamma | any | shape 1 / cv^2; cv = 1 / sqrt(k) is Erlang-k |
| hyperexponential | >= 1 | two phases, balanced: p = (1 + sqrt((cv^2-1)/(cv^2+1)))/2, rates 2p, 2(1-p) |

Draws are taken one after another from the generator, so n draws at once are the same numbers as n draws one
by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LAWS = ("constant", "uniform", "exponential", "lognormal", "gamma", "hyperexponential")
FIXED_CV = {"constant": 0.0, "exponential": 1.0}


@dataclass(frozen=True, slots=True)
class Distribution:
    """A law of a non-negative quantity, usually seconds. All fields are filled in after construction.

    `low` and `high` bound the uniform law and are 0 and infinity for the others, but for the constant. Raises
    ValueError on values that no such law has.
    """

    law: str = "constant"
    mean: float = 1.0
    cv: float | None = None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise ValueError(f"unknown law {self.law!r}: one of {', '.join(LAWS)}")
        if self.law == "uniform":
            self._settle_uniform()
        else:
            self._settle()
        if not (math.isfinite(self.mean) and self.mean >= 0):
            raise ValueError(f"mean must be finite and not negative, not {self.mean}")

    @property
    def is_constant(self) -> bool:
        """Whether every draw is the mean."""
        return self.cv == 0.0

    def sample(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """`n` draws as float64 in the unit of `mean`."""
        assert self.cv is not None and self.low is not None and self.high is not None
        if self.is_constant:
            return np.full(n, self.mean)
        if self.law == "uniform":
            return rng.random(n) * (self.high - self.low) + self.low
        return _unit_draws(self.law, self.cv, rng, n) * self.mean

    def _settle(self) -> None:
        if self.low is not None or self.high is not None:
            raise ValueError(f"low and high belong to the uniform law, not to {self.law}")
        cv = self._settled_cv()
        bounds = (self.mean, self.mean) if cv == 0 else (0.0, math.inf)
        self._set(self.mean, cv, *bounds)

    def _settled_cv(self) -> float:
        fixed = FIXED_CV.get(self.law)
        if fixed is not None and self.cv not in (None, fixed):
            raise ValueError(f"the cv of the {self.law} law is {fixed:g}, not {self.cv}")
        cv = fixed if fixed is not None else self.cv
        if cv is None or not (math.isfinite(cv) and cv >= 0):
            raise ValueError(f"the {self.law} law needs a cv that is finite and not negative, not {cv}")
        if self.law == "hyperexponential" and cv < 1:
            raise ValueError(f"the hyperexponential law has a cv of 1 or more, not {cv}: use gamma below 1")
        return cv

    def _settle_uniform(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError("the uniform law needs both low and high, or mean and cv")
        if self.low is None or self.high is None:
            if self.cv is None:
                raise ValueError("the uniform law needs low and high, or mean and cv")
            half = math.sqrt(3) * self.cv * self.mean
            low, high = self.mean - half, self.mean + half
        else:
            low, high = self.low, self.high
        if not 0 <= low <= high < math.inf:
            raise ValueError(f"a uniform law needs 0 <= low <= high, not low {low:g} and high {high:g}")
        mean = (low + high) / 2
        self._set(mean, (high - low) / (math.sqrt(12) * mean) if mean else 0.0, low, high)

    def _set(self, mean: float, cv: float, low: float, high: float) -> None:
        for name, value in (("mean", mean), ("cv", cv), ("low", low), ("high", high)):
            object.__setattr__(self, name, float(value))


def _unit_draws(law: str, cv: float, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """`n` draws with mean 1 of a law that its cv defines."""
    if law == "exponential":
        return rng.standard_exponential(n)
    if law == "lognormal":
        sigma2 = math.log1p(cv * cv)
        draws: NDArray[np.float64] = np.exp(rng.standard_normal(n) * math.sqrt(sigma2) - sigma2 / 2)
        return draws
    if law == "gamma":
        return rng.standard_gamma(1 / cv**2, n) * cv**2
    pairs = rng.random((n, 2))  # one row a draw: which phase, then how long
    p = (1 + math.sqrt((cv**2 - 1) / (cv**2 + 1))) / 2
    rate = np.where(pairs[:, 0] < p, 2 * p, 2 * (1 - p))
    return np.asarray(-np.log1p(-pairs[:, 1]) / rate)
