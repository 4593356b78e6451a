"""How the random scenarios are drawn: a printed seed, a number of examples, failures that shrink.

``MMESIM_FUZZ_SEED`` and ``MMESIM_FUZZ_EXAMPLES`` (per flavour) change both for a longer hunt.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings

from reference.cases import FLAVOURS, Case

SEED = int(os.environ.get("MMESIM_FUZZ_SEED", "20240229"))
EXAMPLES = int(os.environ.get("MMESIM_FUZZ_EXAMPLES", "100"))
"""Scenarios of each flavour."""


def for_each_case(flavour: str, check: Callable[[Case], None], shrink: bool = True) -> None:
    """Call `check` with `EXAMPLES` random scenarios of a flavour; a failing one is shrunk and shown."""
    print(f"MMESIM_FUZZ_SEED={SEED} MMESIM_FUZZ_EXAMPLES={EXAMPLES}")
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    configured = settings(max_examples=EXAMPLES, deadline=None, database=None, phases=phases,
                          suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
    seed(SEED)(configured(given(FLAVOURS[flavour])(check)))()


def sample(flavour: str) -> list[Case]:
    """The scenarios that `for_each_case` visits when nothing fails."""
    found: list[Case] = []

    def keep(case: Case) -> None:
        found.append(case)

    for_each_case(flavour, keep, shrink=False)
    return found
