"""Shared fixtures: where the measurements and traces are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MMESIM_SHARED", ROOT.parent / "shared"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each worker takes whole files, one of them all live ones: real servers must not disturb one another."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "live" if file.endswith("_live.py") else file

    return Files(config, log) if config.getvalue("dist") == "loadfile" else None


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
