"""Triton in explicit model control, spoken to by gRPC: a load over HTTP keeps its front end from reading other
connections until it has ended (github.com/triton-inference-server/server #8958).

Seen on Triton 2.51: loads of different models run side by side, and neither health nor index waits for them; an unload
returns at once and the index says UNLOADING until it is done, about a second for a python model; a load of a model that
unloads, and an unload of one that loads, wait for one another in the server; a load given up by us goes on there. The
index lists the folders of the repository: a loaded model whose folder was taken away is not in it any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from mmesim.live.ports import LoadRefused, ServerDown
from mmesim.live.servers.base import BaseServer, is_out_of_memory

CHANNEL = (("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1),
           ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 2000),
           ("grpc.max_reconnect_backoff_ms", 500))
"""A server that returns is reached again within half a second (`min`: how long an attempt to connect may take); an
index of thousands of models is no error."""
GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class TritonAdapter(BaseServer):
    """A `Server` by Triton's own model control."""

    _channel: grpc.aio.Channel | None = None
    _stub: Any = None

    async def is_ready(self) -> bool:
        """Whether it answers its health check within the time the settings give it: that of liveness, since a server
        is not "ready" while a model is being loaded (`--strict-readiness`)."""
        try:
            answer = await self._call("ServerLive", pb.ServerLiveRequest(), self._settings.health_timeout)
        except (ServerDown, TimeoutError, LoadRefused):
            return False
        return bool(answer.live)

    async def index(self) -> Mapping[str, str]:
        """Model -> state. Of several versions the one that serves counts. Raises ServerDown."""
        answer = await self._short("RepositoryIndex", pb.RepositoryIndexRequest())
        states: dict[str, str] = {}
        for row in answer.models:
            if states.get(row.name) != "READY":
                states[row.name] = row.state or "UNAVAILABLE"
        return states

    async def load(self, model: str, timeout_s: float) -> None:
        """Loads it. After the time-out the server may still come to its end: its index tells. Raises LoadRefused,
        ServerDown."""
        request = pb.RepositoryModelLoadRequest(model_name=model)
        async with self._device.changing(model, load=True):
            try:
                await self._call("RepositoryModelLoad", request, timeout_s)
            except TimeoutError:
                if not await self.is_ready():
                    raise ServerDown(f"{self.name} does not answer any more, nor its health check") from None
                raise LoadRefused(f"timed out: {model} is not loaded after {timeout_s:g} s") from None

    async def unload(self, model: str, timeout_s: float) -> None:
        """Unloads it, and what it is made of, and waits until it has gone. Raises ServerDown."""
        dependents = {"unload_dependents": pb.ModelRepositoryParameter(bool_param=True)}
        request = pb.RepositoryModelUnloadRequest(model_name=model, parameters=dependents)
        try:
            async with asyncio.timeout(timeout_s), self._device.changing(model, load=False):
                await self._call("RepositoryModelUnload", request, timeout_s)
                await self._unloaded(model)
        except TimeoutError:
            raise ServerDown(f"{self.name} hangs: {model} is not unloaded after {timeout_s:g} s") from None
        except LoadRefused as error:
            raise ServerDown(f"{self.name} does not unload {model}: {error}") from error

    async def close(self) -> None:
        """Closes connections; the server goes on."""
        await super().close()
        channel, self._channel, self._stub = self._channel, None, None
        if channel is not None:
            await channel.close()

    async def _short(self, method: str, request: Any) -> Any:
        try:
            return await self._call(method, request, self._settings.call_timeout)
        except TimeoutError:
            raise ServerDown(f"{self.name} does not answer within {self._settings.call_timeout:g} s") from None
        except LoadRefused as error:
            raise ServerDown(f"{self.name}: {error}") from error

    async def _call(self, method: str, request: Any, timeout_s: float) -> Any:
        """Raises TimeoutError, ServerDown, and LoadRefused with the server's words."""
        if self._stub is None:
            self._channel = grpc.aio.insecure_channel(self.address.grpc, options=CHANNEL)
            self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        try:
            return await self._unless_lost(getattr(self._stub, method)(request, timeout=timeout_s))
        except grpc.aio.AioRpcError as error:
            words = error.details() or error.code().name
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError from None
            if error.code() in GONE:
                raise ServerDown(f"{self.name}: {words}") from error
            raise LoadRefused(words, out_of_memory=is_out_of_memory(words)) from error
