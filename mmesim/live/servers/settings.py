"""How servers are found, spoken to and watched: the settings of a live endpoint's Tritons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mmesim.settings import Count, Duration, Settings, wrong

Measure = Literal["declared", "process", "gpu"]
"""How the memory of a loaded copy is learnt."""
HostPort = Annotated[str, Field(pattern=r"^$|^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$")]
"""``host:port``; an IPv6 address in brackets; empty: not offered."""


class ServerSettings(Settings):
    """How servers are spoken to and watched."""

    health_interval: Annotated[Duration, Field(gt=0)] = 0.5
    """From one health check of a server to the next."""
    health_timeout: Annotated[Duration, Field(gt=0)] = 0.8
    """A health check that takes longer has failed."""
    health_failures: Annotated[Count, Field(ge=1)] = 3
    """So many failed checks in a row, and the server is taken for lost: by default a frozen one after 2.4 to 2.9 s."""
    call_timeout: Annotated[Duration, Field(gt=0)] = 5.0
    """The longest that a call may take that is neither a load nor an unload."""
    measure: Measure = "declared"
    """Memory of a loaded copy: `declared`: what is expected of the model; `process`: of its own processes (python
    backend, in servers that are started here); `gpu`: what the device's used memory grew by, when nothing else was
    loaded meanwhile."""
    metrics_interval: Annotated[Duration, Field(gt=0)] = 2.0
    """How often Triton looks at its devices (`--metrics-interval-ms`): servers are started here with it, those that run
    already must have it. A measured load (`gpu`) is known so much later."""


class RunningServer(Settings):
    """A Triton that runs already, with `--model-control-mode=explicit`, and goes on when the endpoint ends."""

    name: str
    """Name in logs and metrics."""
    dialect: Literal["triton", "sagemaker"] = "triton"
    """How models are loaded: `triton` by gRPC, `sagemaker` by the container contract (`--allow-sagemaker=true`)."""
    http: HostPort = "127.0.0.1:8000"
    """host:port of inference over HTTP."""
    grpc: HostPort = "127.0.0.1:8001"
    """host:port of gRPC."""
    metrics: HostPort = "127.0.0.1:8002"
    """host:port of its Prometheus metrics; empty: none."""
    sagemaker: HostPort = ""
    """host:port of its SageMaker service; needed by that dialect."""
    repository: Path
    """Its model repository: a folder that both it and this program see under this path, where models are put and
    taken away. Of the dialect `sagemaker`: any other folder than its `--model-repository`, which stays empty."""

    @model_validator(mode="after")
    def _reachable(self) -> RunningServer:
        needed = "grpc" if self.dialect == "triton" else "sagemaker"
        if not getattr(self, needed):
            raise wrong(f"the dialect {self.dialect} needs an address for {needed}", f"write {needed}: host:port")
        return self
