"""Whose mistake is an exception in the middle of a run? The policy author's, when it came through their lines.

So is a decision that never ends. A timer of processor time looks at the stack now and then: a call of the user's own
that was there at the last look too, the same frame, has lasted as long. That costs a decision nothing; a machine that
is busy elsewhere does not count, and neither does a policy that decides often. Compiled policies are out of its reach,
and so policies with a `while` loop are not compiled (:mod:`mmesim.dataplane.policy`).
"""

from __future__ import annotations

import inspect
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from mmesim.core.policy import WrongAnswer, every
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.core.policy import Policies, Policy

DECISION_LIMIT_S = 30.0
"""Processor time of one decision after which it is stopped (at the latest after twice as much): long enough for a
policy that compiles something first."""
HINT = "mend the policy; `mmesim check-policy FILE:CLASS` examines it"


@contextmanager
def policies_to_blame(policies: Policies) -> Iterator[None]:
    """Raises InputError with file and line of the policy for what a policy of the user's own raises."""
    own = [type(policy) for _, policy in every(policies) if not type(policy).__module__.startswith("mmesim.")]
    try:
        with _endless_ones_stopped(own):
            yield
    except InputError:
        raise
    except Exception as error:
        if problem := _problem(error, own):
            raise InputError(problem) from error
        raise


class Endless(Exception):
    """A decision that did not come to its end."""


@contextmanager
def _endless_ones_stopped(own: Sequence[type[Policy]]) -> Iterator[None]:
    """Raises Endless in the lines of a policy of the user's own that does not come back (in the main thread of a POSIX
    system)."""
    files = {inspect.getfile(policy) for policy in own}
    if not files or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    last: list[FrameType | None] = [None]

    def look(signum: int, frame: FrameType | None) -> None:
        calls = [each for each in _outwards(frame) if each.f_code.co_filename in files]
        if calls and calls[-1] is last[0]:
            raise Endless(f"does not come back: more than {DECISION_LIMIT_S:g} s for one decision")
        last[0] = calls[-1] if calls else None

    before = signal.signal(signal.SIGVTALRM, look)
    signal.setitimer(signal.ITIMER_VIRTUAL, DECISION_LIMIT_S, DECISION_LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _problem(error: Exception, own: Sequence[type[Policy]]) -> Problem | None:
    """What is wrong with one of these policies: a wrong answer, or a line of theirs that the exception came through."""
    files = {inspect.getfile(policy) for policy in own}
    through = [frame for frame in _frames(error.__traceback__) if frame.tb_frame.f_code.co_filename in files]
    if through:
        code, line = through[-1].tb_frame.f_code, through[-1].tb_lineno
        what = str(error) if isinstance(error, Endless) else \
            "raised " + "".join(traceback.format_exception_only(error)).strip()
        return Problem(f"{code.co_qualname} {what}", file=code.co_filename, line=line, hint=HINT)
    if own and isinstance(error, WrongAnswer):
        return Problem(str(error), path=", ".join(policy.__name__ for policy in own), hint=HINT)
    return None


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next
