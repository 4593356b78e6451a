"""POWER_OF_TWO: of two copies taken at random, the one with fewer requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import Choice, RoutingPolicy
from mmesim.policies.checks import at_least

MOST_CHOICES = 5
"""One random number of 62 bits gives five even samples of up to a few thousand copies."""
NOT_SAMPLED = 1 << 62


@dataclass
class PowerOfTwo(RoutingPolicy):
    """Of `choices` copies taken at random, the one whose instance has the fewest requests in flight; ties at random.

    Mitzenmacher, "The power of two choices in randomized load balancing", IEEE TPDS 2001: two choices take most of the
    step from random to the shortest queue. The sample is without replacement (the reading with `choices` different
    servers), the count that of all models on the instance, as for `least_outstanding`.
    """

    name: ClassVar[str] = "power_of_two"

    choices: int = 2
    """Copies that are looked at, 1 to 5; 1 is random."""
    blind: bool = False
    """true: among all serving instances, wherever the model is; false: among its READY copies."""
    spill_outstanding: int = 16
    """A chosen copy with so many requests in flight makes the router wish for one more copy; 0: never."""

    def __post_init__(self) -> None:
        at_least(1, choices=self.choices)
        at_least(0, spill_outstanding=self.spill_outstanding)
        if self.choices > MOST_CHOICES:
            raise ValueError(f"choices is {self.choices}; the most is {MOST_CHOICES}")

    def score(self, copy: Choice, now_ns: int) -> int:
        """As `least_outstanding` if it is in the sample.

        The sample are the first places after as many steps of a Fisher-Yates shuffle of the positions, its draws the
        digits of `request_draw` to the bases offered, offered - 1, …; followed here is where this copy goes.
        """
        digits, place, taken = copy.request_draw, copy.position, False
        for step in range(min(self.choices, copy.offered)):
            left = copy.offered - step
            swapped = step + digits % left
            digits //= left
            if swapped == place:
                taken = True
                break
            if place == step:
                place = swapped
        return (copy.instance_outstanding << 36) + (copy.draw >> 26) if taken else NOT_SAMPLED
