"""A result folder in the making: written beside its final place, moved there when complete.

Whoever looks sees the old result or the new one, never half of one. A folder that does not look like a result of ours
is never replaced.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from mmesim.errors import InputError, Problem

MARKER = "summary.json"
"""The file that makes a folder a result."""


class OutputWriter:
    """Collects the files of a run in a hidden sibling of `folder`; `commit` puts it in place at once."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError when `folder` exists and is not a result, or its parent cannot be written."""
        self.folder = Path(folder).absolute()
        _check_replaceable(self.folder)
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._scratch = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}.", dir=self.folder.parent))
        except OSError as error:
            raise InputError(Problem(f"cannot write to {self.folder.parent}: {error.strerror}",
                                     hint="name another folder with --out")) from error

    def path(self, name: str) -> Path:
        """Where to write the file `name`."""
        return self._scratch / name

    def commit(self) -> Path:
        """Replace `folder` by what was written; returns it."""
        os.chmod(self._scratch, 0o755)
        if not self.folder.exists():
            os.rename(self._scratch, self.folder)
            return self.folder
        old = Path(f"{self._scratch}.old")
        os.rename(self.folder, old)
        try:
            os.rename(self._scratch, self.folder)
        except OSError:
            os.rename(old, self.folder)
            raise
        shutil.rmtree(old)
        return self.folder

    def discard(self) -> None:
        """Throw away what was written."""
        shutil.rmtree(self._scratch, ignore_errors=True)


def _check_replaceable(folder: Path) -> None:
    if not folder.exists() or (folder.is_dir() and ((folder / MARKER).exists() or not any(folder.iterdir()))):
        return
    what = "a folder with other things in it" if folder.is_dir() else "a file"
    raise InputError(Problem(f"{folder} is {what}, not a result of mmesim; it is not replaced",
                             hint="name another folder with --out"))
