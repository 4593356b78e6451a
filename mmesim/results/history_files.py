"""An answer of `mmesim what-if` on disk: ``what-if.json``, beside it the report and the stored runs."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmesim.results import folders
from mmesim.results.history import WhatIf
from mmesim.results.run import to_json

MARKER = "what-if.json"
"""The file that makes a folder an answer."""


def check_folder(folder: Path) -> None:
    """Raises InputError when `folder` holds something that is no answer."""
    folders.check_folder(folder, MARKER, "what-if")


def in_place(folder: Path) -> AbstractContextManager[Path]:
    """A folder to write files into, which are then moved to `folder` one by one; nothing is moved after an error."""
    return folders.in_place(folder, MARKER)


def save(answer: WhatIf, folder: Path) -> None:
    """Write the answer's document to an existing folder."""
    (folder / MARKER).write_text(to_json(as_json(answer)), encoding="utf-8")


def as_json(answer: WhatIf) -> dict[str, Any]:
    """As plain data; what is infinite (an interval of one seed) is null."""
    agreements = [{**asdict(each), "difference": each.difference, "holds": each.holds} for each in answer.agreements]
    plain: dict[str, Any] = folders.finite({**asdict(answer), "agreements": agreements})
    return plain
