"""Shared fixtures: where the measurements and traces are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MMESIM_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared measurements and traces; without it the test is skipped (in CI: fails)."""
    data = SHARED / "data"
    if not data.is_dir():
        message = f"measurement and trace data not found at {data} (set MMESIM_SHARED)"
        if os.environ.get("MMESIM_REQUIRE_SHARED"):
            pytest.fail(message)
        pytest.skip(message)
    return data
