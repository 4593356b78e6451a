"""Byte accounts of one memory: reserve by the expected size, settle to the actual one, release.

An overdraft is an assertion: nothing is ever resident that the capacity does not hold. Sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Hashable


class Ledger:
    """One capacity and the accounts that share it."""

    __slots__ = ("accounts", "capacity_bytes", "used_bytes")

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.used_bytes = 0
        self.accounts: dict[Hashable, int] = {}

    @property
    def free_bytes(self) -> int:
        """What may still be reserved."""
        return self.capacity_bytes - self.used_bytes

    def reserve(self, account: Hashable, size_bytes: int) -> None:
        """Open an account of `size_bytes`."""
        assert account not in self.accounts, f"{account!r} is reserved already"
        assert 0 <= size_bytes <= self.free_bytes, f"{account!r}: {size_bytes} B of {self.free_bytes} B free"
        self.accounts[account] = size_bytes
        self.used_bytes += size_bytes

    def settle(self, account: Hashable, actual_bytes: int) -> bool:
        """Correct an account to its actual size; False, and no change, when it does not fit."""
        change = actual_bytes - self.accounts[account]
        if change > self.free_bytes:
            return False
        self.accounts[account] = actual_bytes
        self.used_bytes += change
        return True

    def fill(self, account: Hashable) -> None:
        """Give all that is free to an account that holds more than fits, so that nothing is reserved beside it."""
        self.accounts[account] += self.free_bytes
        self.used_bytes = self.capacity_bytes

    def release(self, account: Hashable) -> int:
        """Close an account; returns its bytes."""
        size_bytes = self.accounts.pop(account)
        self.used_bytes -= size_bytes
        return size_bytes

    def check(self) -> None:
        """Recompute the total from the accounts."""
        assert self.used_bytes == sum(self.accounts.values()), "ledger total differs from its accounts"
        assert 0 <= self.used_bytes <= self.capacity_bytes, "ledger over capacity"
