"""What is wrong with a policy's name or parameters, said so that its user can mend it."""

from __future__ import annotations


class PolicyError(Exception):
    """A policy cannot be found or built. Further problems of the same policy are in `more`."""

    def __init__(self, message: str, hint: str = "", param: str = "", more: tuple[PolicyError, ...] = ()) -> None:
        super().__init__(message, hint, param, more)
        self.message = message
        """What is wrong, with the value in it."""
        self.hint = hint
        """What was possible and what to do."""
        self.param = param
        """Parameter it is about, e.g. ``target`` or ``steps.0.add``; empty when the policy as a whole is meant."""
        self.more = more

    def __str__(self) -> str:
        head = f"{self.param}: {self.message}" if self.param else self.message
        return "\n".join([f"{head}\n    {self.hint}" if self.hint else head, *map(str, self.more)])
