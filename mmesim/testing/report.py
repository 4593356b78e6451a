"""What the conformance kit found out about a policy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Outcome of one check."""

    PASS = "pass"
    WARN = "warn"
    """It works, but somebody should know."""
    SKIP = "skip"
    """Not examined, the message says why."""
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One named check and its outcome."""

    name: str
    status: Status
    message: str = ""
    """What was seen; for a failure what is wrong and what to do."""


@dataclass(frozen=True)
class Report:
    """All checks of one policy, in order."""

    policy: str
    """The class's name."""
    kind: str
    """What it decides; empty for a class that is no policy."""
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """True when nothing failed; warnings are allowed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status is Status.FAIL)

    def rows(self) -> list[tuple[str, str, str]]:
        """(check, status, message) for a table."""
        return [(check.name, str(check.status), check.message) for check in self.checks]

    def __str__(self) -> str:
        lines = (f"  {status:<4}  {name:<14}  {message}".rstrip() for name, status, message in self.rows())
        return "\n".join([f"{self.policy} ({self.kind or 'no policy'})", *lines])
