"""Whose mistake is an exception in the middle of a run? The policy author's, when it came through their lines."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING

from mmesim.core.policy import WrongAnswer
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.core.policy import Policies, Policy

HINT = "mend the policy; `mmesim check-policy FILE:CLASS` examines it"


@contextmanager
def policies_to_blame(policies: Policies) -> Iterator[None]:
    """Raises InputError with file and line of the policy for what a policy of the user's own raises."""
    own = [type(policy) for policy in _each(policies) if not type(policy).__module__.startswith("mmesim.")]
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if problem := _problem(error, own):
            raise InputError(problem) from error
        raise


def _each(policies: Policies) -> list[Policy]:
    values = [getattr(policies, field.name) for field in fields(policies)]
    return [policy for value in values for policy in (value if isinstance(value, tuple | list) else [value])]


def _problem(error: Exception, own: Sequence[type[Policy]]) -> Problem | None:
    """What is wrong with one of these policies: a wrong answer, or a line of theirs that the exception came through."""
    modules = {policy.__module__ for policy in own}
    through = [frame for frame in _frames(error.__traceback__) if frame.tb_frame.f_globals.get("__name__") in modules]
    if through:
        code, line = through[-1].tb_frame.f_code, through[-1].tb_lineno
        what = "".join(traceback.format_exception_only(error)).strip()
        return Problem(f"{code.co_qualname} raised {what}", file=code.co_filename, line=line, hint=HINT)
    if own and isinstance(error, WrongAnswer):
        return Problem(str(error), path=", ".join(policy.__name__ for policy in own), hint=HINT)
    return None


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next
