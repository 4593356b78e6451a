"""What a run returns: a value. Reports are functions of it."""

from __future__ import annotations


class Run:
    """Summary, tables and series of one run."""
