"""A result folder in the making: written beside its final place, moved there when complete."""

from __future__ import annotations

from pathlib import Path


class OutputWriter:
    """Collects the files of a run in a hidden sibling of `folder`; `commit` puts it in place at once."""

    def __init__(self, folder: Path) -> None:
        raise NotImplementedError

    def path(self, name: str) -> Path:
        """Where to write the file `name`."""
        raise NotImplementedError

    def commit(self) -> Path:
        """Replace `folder` by what was written; returns it."""
        raise NotImplementedError

    def discard(self) -> None:
        """Throw away what was written."""
        raise NotImplementedError
