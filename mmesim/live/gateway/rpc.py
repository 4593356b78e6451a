"""The open inference protocol over gRPC (``inference.GRPCInferenceService``). Requests and answers pass as raw bytes:
only the model's name is read, which is field 1 of every request that has one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import grpc
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

import mmesim
from mmesim.core.types import Failure
from mmesim.live.gateway.dialect import Refused, checked_name
from mmesim.live.gateway.invocation import Outcome, invoke, is_broken
from mmesim.live.gateway.kserve import EXTENSIONS
from mmesim.live.gateway.settings import GatewaySettings, has_token
from mmesim.live.ports import Endpoint, Server, ServerDown, Ticket

SERVICE = "inference.GRPCInferenceService"
INFER = "ModelInfer"
LOOKS = ("ModelMetadata", "ModelConfig", "ModelStatistics")
CHANNEL = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
           ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50),
           ("grpc.max_reconnect_backoff_ms", 500)]
"""Any size; a server that returns at its address is found soon (gRPC's own pauses grow to two minutes)."""
OF_TRITON = "[request id: "
"""How an error of the model begins, a full queue for one; a lost connection is UNAVAILABLE too."""
HEADERS_BYTES = 1 << 14
"""Room in a message for what is not the body."""
CODES = {Failure.MODEL_NOT_READY: grpc.StatusCode.UNAVAILABLE, Failure.TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
         Failure.THROTTLED: grpc.StatusCode.RESOURCE_EXHAUSTED, Failure.QUEUE_FULL: grpc.StatusCode.UNAVAILABLE,
         Failure.LOAD_FAILED: grpc.StatusCode.INTERNAL, Failure.NO_SUCH_MODEL: grpc.StatusCode.NOT_FOUND,
         Failure.INSTANCE_LOST: grpc.StatusCode.UNAVAILABLE}
Context: TypeAlias = grpc.aio.ServicerContext
Method: TypeAlias = Callable[[bytes, Context], Awaitable[bytes]]


class _Answered(Exception):
    """The server refused by itself: its words are the caller's."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        super().__init__(error.details())
        self.code = error.code()


class RpcService(grpc.GenericRpcHandler):
    """The service, its listener and its channels to the servers."""

    def __init__(self, endpoint: Endpoint, settings: GatewaySettings, token: str) -> None:
        self._endpoint, self._settings, self._token = endpoint, settings, token
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._methods: dict[str, Method] = {"ServerLive": self._live, "ServerReady": self._ready,
                                            "ServerMetadata": self._metadata, "ModelReady": self._model_ready}
        self.draining = False
        self.port = 0

    async def start(self) -> None:
        """Listens. Raises RuntimeError for a port that is taken."""
        settings = self._settings
        options = [("grpc.max_receive_message_length", settings.max_body + HEADERS_BYTES),
                   ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
        self._server = grpc.aio.server(options=options)
        self._server.add_generic_rpc_handlers((self,))
        address = f"{settings.host}:{settings.grpc_port}"
        if settings.tls_cert and settings.tls_key:
            pair = (settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())
            self.port = self._server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        else:
            self.port = self._server.add_insecure_port(address)
        await self._server.start()

    async def stop(self, timeout_s: float) -> None:
        """Accepts nothing more; what is under way has so long to finish."""
        self.draining = True
        await self._server.stop(timeout_s)
        for channel in self._channels.values():
            await channel.close()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a call, by its method; None: UNIMPLEMENTED."""
        service, _, method = handler_call_details.method.lstrip("/").partition("/")
        if service != SERVICE:
            return None
        if not has_token(dict(handler_call_details.invocation_metadata), self._token):
            return grpc.unary_unary_rpc_method_handler(_refuse)
        if method == INFER or method in LOOKS:
            return grpc.unary_unary_rpc_method_handler(self._passed_on(method))
        if method == "ModelStreamInfer":
            return grpc.stream_stream_rpc_method_handler(_no_streams)
        known = self._methods.get(method)
        return grpc.unary_unary_rpc_method_handler(known) if known else None

    # Answered here.

    async def _live(self, request: bytes, context: Context) -> bytes:
        return bytes(pb.ServerLiveResponse(live=True).SerializeToString())

    async def _ready(self, request: bytes, context: Context) -> bytes:
        return bytes(pb.ServerReadyResponse(ready=self._endpoint.ready and not self.draining).SerializeToString())

    async def _metadata(self, request: bytes, context: Context) -> bytes:
        answer = pb.ServerMetadataResponse(name="mmesim", version=mmesim.__version__, extensions=EXTENSIONS)
        return bytes(answer.SerializeToString())

    async def _model_ready(self, request: bytes, context: Context) -> bytes:
        holder = self._endpoint.holder(await _name(request, context))
        return bytes(pb.ModelReadyResponse(ready=holder is not None).SerializeToString())

    # Passed on.

    def _passed_on(self, method: str) -> Method:
        async def handle(request: bytes, context: Context) -> bytes:
            """One call, answered by whoever holds the model, or served like any other request."""
            name = await _name(request, context)
            holder = self._endpoint.holder(name) if method != INFER else None
            try:
                if holder is not None:
                    return await self._call(method, request, holder, self._endpoint.invocation_timeout_s)
                return await self._invoke(method, name, request, context)
            except _Answered as answer:
                await context.abort(answer.code, str(answer))
            except (ServerDown, TimeoutError) as error:
                await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            raise AssertionError("abort raises")

        return handle

    async def _invoke(self, method: str, name: str, request: bytes, context: Context) -> bytes:
        async def send(ticket: Ticket, server: Server, left_s: float) -> bytes | _Answered:
            """The server's answer, or its refusal. Raises ServerDown, TimeoutError."""
            try:
                return await self._call(method, request, server, left_s, ticket)
            except _Answered as answer:
                if str(answer).startswith(f"Request for unknown model: '{name}' ") and "version" not in str(answer):
                    raise ServerDown(f"{server.name} no longer has {name}: it was restarted") from answer
                if is_broken(str(answer)):
                    self._endpoint.broken(ticket)
                return answer

        outcome: Outcome[bytes | _Answered] = await invoke(
            self._endpoint, name, send, lambda answer: isinstance(answer, _Answered))
        context.set_trailing_metadata([(key.lower(), value) for key, value in outcome.headers().items()])
        if outcome.answer is None:
            await context.abort(CODES[outcome.failure], outcome.message())
        if isinstance(outcome.answer, _Answered):
            raise outcome.answer
        assert outcome.answer is not None
        return outcome.answer

    async def _call(self, method: str, request: bytes, server: Server, left_s: float,
                    ticket: Ticket | None = None) -> bytes:
        """A server's answer. Raises _Answered, ServerDown, TimeoutError."""
        call = self._channel(server.address.grpc).unary_unary(f"/{SERVICE}/{method}")(request, timeout=left_s)
        if ticket:
            ticket.on_release = call.cancel
        try:
            answer: bytes = await call
        except grpc.aio.AioRpcError as error:
            raise _meaning(error, server.address.grpc) from error
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            raise ServerDown(f"{server.address.grpc} was given up") from None
        finally:
            if ticket:
                ticket.on_release = None
        return answer

    def _channel(self, address: str) -> grpc.aio.Channel:
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, options=CHANNEL)
        return self._channels[address]


def _meaning(error: grpc.aio.AioRpcError, address: str) -> Exception:
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimeoutError(f"{address} has not answered in time")
    if error.code() is grpc.StatusCode.UNAVAILABLE and not (error.details() or "").startswith(OF_TRITON):
        return ServerDown(f"{address}: {error.details()}")
    return _Answered(error)


async def _name(request: bytes, context: Context) -> str:
    """The model that a request is for."""
    try:
        return checked_name(pb.ModelReadyRequest.FromString(request).name)
    except (DecodeError, Refused) as error:
        return str(await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error)))


async def _refuse(request: bytes, context: Context) -> bytes:
    return bytes(await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or wrong"))


async def _no_streams(requests: AsyncIterator[bytes], context: Context) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "streams are not offered: use ModelInfer")
