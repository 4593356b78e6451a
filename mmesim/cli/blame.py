"""Whose mistake is an exception in the middle of a run? The policy author's, when it came through their lines."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING

from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.core.policy import Policies, Policy


@contextmanager
def policies_to_blame(policies: Policies) -> Iterator[None]:
    """Raises InputError with file and line of the policy for what a policy of the user's own raises."""
    own = {type(policy).__module__: policy for policy in _each(policies)
           if not type(policy).__module__.startswith("mmesim.")}
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


def _problem(error: Exception, own: dict[str, Policy]) -> Problem | None:
    """The innermost line of one of these modules that the exception came through; None when there is none."""
    through = [frame for frame in _frames(error.__traceback__) if frame.tb_frame.f_globals.get("__name__") in own]
    if not through:
        return None
    frame, name = through[-1], type(own[through[-1].tb_frame.f_globals["__name__"]]).__name__
    what = "".join(traceback.format_exception_only(error)).strip()
    return Problem(f"{frame.tb_frame.f_code.co_name} raised {what}", path=name,
                   file=frame.tb_frame.f_code.co_filename, line=frame.tb_lineno,
                   hint=f"mend the policy; `mmesim check-policy FILE:{name}` examines it")


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next
