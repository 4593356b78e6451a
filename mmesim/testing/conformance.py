"""The conformance kit: does a policy keep the rules of :mod:`mmesim.core.policy`?

    report = check_policy(BiggestFirst)          # or an object, or a class with params={"keep_bytes": "100MiB"}
    assert report.ok, report

A policy that passes decides the same in simulation, replay and live. What is checked is in
:mod:`mmesim.testing.rules`, one function a rule; how the checks are run is here.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from functools import partial
from pathlib import Path

from mmesim.core.policy import Policy
from mmesim.policies.loading import where_and_what
from mmesim.policies.registry import PolicyError, kind_of, make
from mmesim.testing import rules
from mmesim.testing.report import Check, Report, Status
from mmesim.testing.rules import Subject, Verdict

TIME_LIMIT_S = 10.0
"""For one check: a policy that never comes back is stopped (in the main thread of a POSIX system)."""


def check_policy(policy: Policy | type[Policy], kind: str | None = None,
                 params: Mapping[str, object] | None = None) -> Report:
    """Examine a policy, or a class made with `params` as a scenario writes them. `kind` insists on one of KINDS."""
    cls = policy if isinstance(policy, type) else type(policy)
    made: list[Policy] = []
    checks: list[Check] = []
    steps: dict[str, Callable[[], str | None]] = {
        "kind": partial(rules.is_policy, cls, kind), "dataclass": partial(rules.parameters_are_fields, cls),
        "parameters": partial(rules.parameters_are_told, cls), "imports": partial(rules.imports, cls),
        "made": lambda: made.append(_made(policy, params))}
    for name, step in steps.items():
        checks.append(_run(name, step))
        if checks[-1].status is Status.FAIL and name != "imports":
            break
    if made:
        checks += _examine(Subject(made[0], kind_of(cls) or ""))
    return Report(cls.__name__, kind_of(cls) or "", tuple(checks))


def _examine(subject: Subject) -> list[Check]:
    """The checks that ask the policy; when one of the first fails, the rest would only repeat that."""
    checks: list[Check] = []
    for name, rule in {**rules.FIRST, **rules.ALWAYS, **rules.OF_KIND.get(subject.kind, {})}.items():
        failed = [check.name for check in checks if check.name in rules.FIRST and check.status is Status.FAIL]
        checks.append(Check(name, Status.SKIP, f"see {failed[0]}") if failed else _run(name, partial(rule, subject)))
    return checks


def _made(policy: Policy | type[Policy], params: Mapping[str, object] | None) -> Policy:
    if not isinstance(policy, type):
        return policy
    try:
        return make(policy, params or {}, Path.cwd())
    except PolicyError as error:
        raise Verdict(Status.FAIL, f"{error} (check_policy(cls, params={{…}}))") from None


def _run(name: str, check: Callable[[], str | None]) -> Check:
    try:
        with _time_limit(TIME_LIMIT_S):
            return Check(name, Status.PASS, check() or "")
    except Verdict as verdict:
        return Check(name, verdict.status, verdict.message)
    except Exception as error:
        return Check(name, Status.FAIL, _raised(error))


def _raised(error: Exception) -> str:
    """What an exception from the policy's own lines means."""
    text = where_and_what(error, _innermost(error))
    told = ("cannot assign", "read-only", "does not support item assignment")
    if isinstance(error, FrozenInstanceError | TypeError | ValueError) and any(words in str(error) for words in told):
        return f"changes what it is shown: {text}"
    return text


def _innermost(error: Exception) -> Path | None:
    frame = error.__traceback__
    file = None
    while frame is not None:
        file, frame = frame.tb_frame.f_code.co_filename, frame.tb_next
    return Path(file) if file else None


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise Verdict(Status.FAIL, f"does not come back within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
