"""Settings of Triton servers that are started on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from mmesim.settings import Duration, Settings


class LocalSettings(Settings):
    """Tritons that are started here, one process with its own folder and ports for each instance."""

    program: Path | None = None
    """The program tritonserver; null: the one on PATH, or the one of `pip install 'mmesim[triton]'`."""
    arguments: tuple[str, ...] = ()
    """Further arguments of tritonserver: ["--backend-config=default-max-batch-size=8"]."""
    environment: Annotated[dict[str, str], Field(default_factory=dict)]
    """Environment variables of the servers besides this program's own: {CUDA_VISIBLE_DEVICES: "0"}."""
    start_timeout: Annotated[Duration, Field(gt=0)] = 90.0
    """A server that is not ready after this time is ended."""
    stop_grace: Duration = 8.0
    """From SIGTERM, on which a server finishes its requests, to SIGKILL."""
