"""Shared fixtures: where the measurements and traces are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MMESIM_SHARED", ROOT.parent / "shared"))


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of side-by-side workers each takes whole files (their fixtures are costly), and one takes all live ones: real
    servers and load generators must not disturb one another."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group("live" if item.path.stem.endswith("_live") else item.path.stem))


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
