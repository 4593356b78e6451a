"""Where the files that come with mmesim are: ready-made scenarios and measured profiles."""

from __future__ import annotations

from pathlib import Path


def packaged_dir(kind: str) -> Path:
    """The folder of the packaged `kind` ("scenarios", "profiles"): installed, else in the checkout."""
    here = Path(__file__).parent
    installed = here / "_data" / kind
    return installed if installed.is_dir() else here.parent / kind
