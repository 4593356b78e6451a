"""Real Triton servers for tests of live mode, and a repository of small models to load, hang and fail."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mmesim.errors import InputError
from mmesim.triton.example import sleeping, write_example
from mmesim.triton.tools import find_server

ROOT = Path(__file__).resolve().parent.parent
MODELS = {"a": sleeping(4, 1, load_ms=10), "b-2.x": sleeping(4, 1, load_ms=10),
          "big": sleeping(4, 1, load_ms=10, weights_bytes=96 << 20), "slow": sleeping(1, 1, load_ms=1500),
          "bad": sleeping(1, 1), "oom": sleeping(1, 1)}
BROKEN = {"bad": "raise ValueError('no such layer: 17')\n",
          "oom": "raise RuntimeError('CUDA out of memory. Tried to allocate 2.00 GiB')\n"}


def program() -> Path:
    """A tritonserver; without one the test is skipped (in CI: fails)."""
    try:
        return find_server()
    except InputError as error:
        if os.environ.get("MMESIM_REQUIRE_TRITON"):
            pytest.fail(str(error))
        pytest.skip(f"no Triton server: {error.problems[0].message}")


def write_models(folder: Path, *names: str) -> Path:
    """A repository with these models, or all."""
    write_example(folder, {name: MODELS[name] for name in names or MODELS})
    for name, text in BROKEN.items():
        if (folder / name).exists():
            (folder / name / "1" / "model.py").write_text(text)
    return folder


def add_model(repository: Path, name: str) -> None:
    """As the store does: one more folder."""
    other = repository.with_name(f"{repository.name}-{name}")
    write_models(other, name)
    shutil.move(other / name, repository / name)
    shutil.rmtree(other)


async def timed(call: Awaitable[object]) -> float:
    """Seconds that it took, however it ended."""
    began_s = time.monotonic()
    await asyncio.gather(call, return_exceptions=True)
    return time.monotonic() - began_s


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> float:
    """Seconds until it was true; fails after the limit."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() < began_s + within_s, f"not within {within_s} s"
        await asyncio.sleep(0.02)
    return time.monotonic() - began_s
