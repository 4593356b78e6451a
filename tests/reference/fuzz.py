"""How the random scenarios are drawn: a printed seed, a number of examples, failures that shrink.

``MMESIM_FUZZ_SEED`` and ``MMESIM_FUZZ_EXAMPLES`` (per flavour) change both for a longer hunt.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, given, seed, settings

from mmesim.core.policy import Policy
from mmesim.dataplane import policy as compiler
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


@contextmanager
def policies_compiled_once() -> Iterator[None]:
    """Equal policies share their machine code inside the block: compiling costs more than a scenario."""
    with patch.object(compiler, "score_code", _once(compiler.score_code)), \
            patch.object(compiler, "admit_code", _once(compiler.admit_code)):
        yield


def _once(compiled: Callable[[Any], Any]) -> Callable[[Any], Any]:
    known: dict[tuple[type, tuple[float, ...]], Any] = {}

    def code(policy: Policy) -> Any:
        key = type(policy), compiler.parameters(policy)
        if key not in known:
            known[key] = compiled(policy)
        return known[key]

    return code
