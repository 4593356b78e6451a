"""From settings to an adapter."""

from __future__ import annotations

from mmesim.live.ports import Address
from mmesim.live.servers.base import MACHINE, BaseServer
from mmesim.live.servers.sagemaker import SageMakerAdapter
from mmesim.live.servers.scrape import Whole
from mmesim.live.servers.settings import RunningServer, ServerSettings
from mmesim.live.servers.triton import TritonAdapter

DIALECTS: dict[str, type[TritonAdapter] | type[SageMakerAdapter]] = {"triton": TritonAdapter,
                                                                     "sagemaker": SageMakerAdapter}


def connect(running: RunningServer, settings: ServerSettings, whole: Whole = MACHINE) -> BaseServer:
    """The adapter of a server that runs; nothing is sent to it yet."""
    address = Address(running.http, running.grpc, running.metrics, running.sagemaker)
    return DIALECTS[running.dialect](running.name, address, running.repository, settings, whole=whole)
