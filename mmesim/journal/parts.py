"""The folder of a live journal: one folder for each start of the endpoint, in it parts of compressed lines.

A part is one zstd frame, flushed in whole blocks, so that what was flushed can be read while it is written and after
the writer was killed. Only the last part may be cut off: its last, incomplete line is left out then.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mmesim.errors import InputError, Problem

PART = "part-{:06}.jsonl.zst"
START = re.compile(r"\d{8}T\d{6}Z-(\d+)")
"""Name of a start's folder: UTC, and a number that tells starts within one second apart."""
CHUNK_BYTES = 1 << 17
POLL_S = 0.2
"""How often one that follows looks for more."""


def starts(folder: Path) -> list[Path]:
    """Folders of the starts in the folder of a journal, oldest first."""
    found = [(path.name.partition("-")[0], int(name[1]), path) for path in folder.iterdir()
             if (name := START.fullmatch(path.name)) and path.is_dir()]
    return [path for *_, path in sorted(found)]


def latest_start(path: Path) -> Path:
    """The start's folder that `path` stands for: itself, the one that a part lies in, or the latest in it. Raises
    InputError when it is none of them."""
    folder = path.parent if path.name.startswith("part-") and path.is_file() else path
    if (folder / PART.format(1)).is_file():
        return folder
    known = starts(folder) if folder.is_dir() else []
    if not known:
        raise InputError(Problem(f"{path} is no folder of a live journal", hint=f"one holds {PART.format(1)}, or a "
                                 "folder for each start, e.g. <state>/journal of `mmesim live serve`"))
    return known[-1]


def is_live_journal(folder: Path) -> bool:
    """Whether the folder is that of a live journal, or of one of its starts."""
    return folder.is_dir() and ((folder / PART.format(1)).is_file() or bool(starts(folder)))


class PartLines:
    """The lines of one start, part after part; iterate once."""

    def __init__(self, folder: Path, follow: Callable[[], bool] | None = None) -> None:
        """`follow`: at the end of what is there now, wait for more; called whenever there is none, False ends it."""
        self.folder = folder
        self.cut_off = False
        """The last part is incomplete."""
        self._follow = follow

    def __iter__(self) -> Iterator[str]:
        """Raises InputError when a part is missing or damaged, or one in the middle is cut off."""
        for number, path in enumerate(sorted(self.folder.glob("part-*")), start=1):
            if path.name != PART.format(number):
                raise _damaged(self.folder, f"part {number} is missing")
        number = 1
        while True:
            path, following = self.folder / PART.format(number), self.folder / PART.format(number + 1)
            yield from self._part(path, following)
            number += 1
            while not following.is_file():
                if self.cut_off or not self._more():
                    return

    def _part(self, path: Path, following: Path) -> Iterator[str]:
        import zstandard

        frame, rest = zstandard.ZstdDecompressor().decompressobj(), b""
        try:
            with path.open("rb") as file:
                while not frame.eof:
                    is_last = not following.is_file()
                    if not (chunk := file.read(CHUNK_BYTES)):
                        if not is_last:
                            raise _damaged(path, "it is cut off, and not the last one")
                        if self._more():
                            continue
                        self.cut_off = True
                        return
                    *lines, rest = (rest + frame.decompress(chunk)).split(b"\n")
                    yield from map(bytes.decode, lines)
        except OSError as error:
            raise InputError(Problem(f"cannot read {path}: {error.strerror}", hint="is it a journal?")) from error
        except (zstandard.ZstdError, UnicodeDecodeError) as error:
            raise _damaged(path, str(error)) from error
        if rest or frame.unused_data:
            raise _damaged(path, "there is more behind its end")

    def _more(self) -> bool:
        """Wait for more; False: there is nobody who would."""
        if self._follow is None or not self._follow():
            return False
        time.sleep(POLL_S)
        return True


def _damaged(path: Path, why: str) -> InputError:
    return InputError(Problem(f"the journal is damaged: {why}", file=str(path), hint="restore it from a copy"))
