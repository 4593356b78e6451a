"""The gateway's data plane: what comes in over HTTP is checked at the door, put into one of two dialects, and served.

Health is answered to everyone; all else needs the token, when there is one.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus

from aiohttp import web

import mmesim
from mmesim.live.gateway.connections import Listener
from mmesim.live.gateway.dialect import Body, Dialect, Refused, head, read_body
from mmesim.live.gateway.invocation import Outcome, invoke, is_broken
from mmesim.live.gateway.kserve import EXTENSIONS, KServe, ModelPath, json_response, model_path
from mmesim.live.gateway.rpc import RpcService
from mmesim.live.gateway.sagemaker import SageMaker, target, to_triton
from mmesim.live.gateway.settings import GatewaySettings, has_token
from mmesim.live.gateway.upstream import Answer, Upstream
from mmesim.live.ports import Endpoint, Server, ServerDown, Ticket

log = logging.getLogger("mmesim.live")
NO_BODY = Body((), 0)
DRAIN_POLL_S = 0.02


class Gateway:
    """A running data plane; made by `serve`."""

    def __init__(self, endpoint: Endpoint, settings: GatewaySettings) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.draining = False
        self.under_way = 0
        """Requests that are being served."""
        self.port = 0
        """Where it listens for HTTP."""
        self._token = settings.read_token()
        self._upstream = Upstream()
        self._listener = Listener(self._handle, settings)
        self._kserve, self._sagemaker = KServe(), SageMaker(endpoint.name)
        self._server: asyncio.Server | None = None
        self._rpc: RpcService | None = None

    @property
    def grpc_port(self) -> int | None:
        """Where it listens for gRPC; None: it does not."""
        return self._rpc.port if self._rpc else None

    @property
    def connections(self) -> int:
        """Clients that are connected over HTTP."""
        return len(self._listener.connections)

    @property
    def ready(self) -> bool:
        """Whether a request would be served now."""
        return self.endpoint.ready and not self.draining

    async def start(self) -> None:
        """Listens. Raises InputError for an unfit token or certificate, OSError for a port that is taken."""
        settings, tls = self.settings, self.settings.tls()
        self._server = await asyncio.get_running_loop().create_server(
            self._listener, settings.host, settings.port, ssl=tls, backlog=1024,
            ssl_handshake_timeout=settings.header_timeout if tls else None)
        self.port = int(self._server.sockets[0].getsockname()[1])
        if settings.grpc_port is not None:
            self._rpc = RpcService(self.endpoint, settings, self._token)
            await self._rpc.start()

    async def drain(self, timeout_s: float) -> None:
        """Accepts nothing more, lets what is under way finish for so long, and closes everything."""
        self.draining = True
        if self._server:
            self._server.close()
        rpc = asyncio.create_task(self._rpc.stop(timeout_s)) if self._rpc else None
        deadline_s = self._listener.now_s() + timeout_s
        while self.under_way and self._listener.now_s() < deadline_s:
            await asyncio.sleep(DRAIN_POLL_S)
        await self._listener.close()
        if rpc:
            await rpc
        self._upstream.close()

    # The door.

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        dialect: Dialect = self._sagemaker if path.startswith("/endpoints/") else self._kserve
        self.under_way += 1
        try:
            return await self._route(request, path)
        except Refused as error:
            return self._refusal(dialect, error)
        except Exception:
            log.exception("%s %s", request.method, path)
            return dialect.refused(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "the gateway failed: see its log"))
        finally:
            self.under_way -= 1

    def _refusal(self, dialect: Dialect, error: Refused) -> web.Response:
        response = dialect.refused(error)
        if self.draining or error.status is HTTPStatus.REQUEST_TIMEOUT:
            response.force_close()
        return response

    async def _route(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        if health := self._health(path):
            return health
        self._check(request)
        if path.startswith("/endpoints/"):
            return await self._invocation(request, path)
        if path in ("/v2", "/v2/"):
            return json_response({"name": "mmesim", "version": mmesim.__version__, "extensions": EXTENSIONS})
        asked = model_path(path)
        _must_be(request, "POST" if asked.verb == "infer" else "GET")
        if asked.verb == "infer":
            return await self._infer(request, asked)
        return await self._look(request, asked)

    def _health(self, path: str) -> web.Response | None:
        if path == "/v2/health/live":
            return web.Response()
        if path in ("/ping", "/v2/health/ready"):
            return web.Response(status=HTTPStatus.OK if self.ready else HTTPStatus.SERVICE_UNAVAILABLE)
        return None

    def _check(self, request: web.BaseRequest) -> None:
        if not has_token(request.headers, self._token):
            raise Refused(HTTPStatus.FORBIDDEN, "the token is missing or wrong")
        if self.draining:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the gateway is being shut down")

    # What is served.

    async def _invocation(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """SageMaker's InvokeEndpoint."""
        if path != f"/endpoints/{self.endpoint.name}/invocations":
            raise Refused(HTTPStatus.BAD_REQUEST, f"there is no {path[:100]} here, only the endpoint "
                          f"{self.endpoint.name} and its invocations")
        _must_be(request, "POST")
        asked = ModelPath(target(request), "", "infer")
        body = await read_body(request, self.settings)
        outcome = await self._ask(asked, head("POST", asked.path(), to_triton(request.raw_headers), body), body)
        if outcome.answer is None:
            return self._sagemaker.failed(outcome)
        return await self._sagemaker.answered(request, outcome, outcome.answer)

    async def _infer(self, request: web.BaseRequest, asked: ModelPath) -> web.StreamResponse:
        """KServe's inference, and what else is passed on to wherever the model is loaded."""
        body = await read_body(request, self.settings) if request.method == "POST" else NO_BODY
        outcome = await self._ask(asked, head(request.method, asked.path(), request.raw_headers, body), body)
        if outcome.answer is None:
            return self._kserve.failed(outcome)
        return await self._kserve.answered(request, outcome, outcome.answer)

    async def _look(self, request: web.BaseRequest, asked: ModelPath) -> web.StreamResponse:
        """A model's metadata, configuration or statistics. They count as no request of a model that is loaded; any
        other is loaded for them. Readiness alone loads nothing."""
        server = self.endpoint.holder(asked.model)
        if asked.verb == "ready" and server is None:
            return json_response({"error": "the model is not loaded"}, HTTPStatus.BAD_REQUEST)
        if server is None:
            return await self._infer(request, asked)
        try:
            answer = await self._upstream.ask(server.address.http, head("GET", asked.path(), request.raw_headers,
                                              NO_BODY), (), self.endpoint.invocation_timeout_s)
        except (ServerDown, TimeoutError) as error:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        return web.Response(status=answer.status, headers=answer.headers, body=b"".join(answer.body))

    async def _ask(self, asked: ModelPath, request_head: bytes, body: Body) -> Outcome[Answer]:
        """Asks wherever the model is loaded."""
        async def send(ticket: Ticket, server: Server, left_s: float) -> Answer:
            answer = await self._upstream.ask(server.address.http, request_head, body.pieces, left_s, ticket)
            if answer.status >= HTTPStatus.BAD_REQUEST and not asked.version and _is_unknown(answer, asked.model):
                raise ServerDown(f"{server.name} no longer has {asked.model}: it was restarted")
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and is_broken(answer.text()):
                self.endpoint.broken(ticket)
            return answer

        return await invoke(self.endpoint, asked.model, send,
                            lambda answer: answer is not None and answer.status >= HTTPStatus.BAD_REQUEST)


def _is_unknown(answer: Answer, model: str) -> bool:
    """Triton's words for a model that it does not serve (2.51)."""
    return f"Request for unknown model: '{model}'" in answer.text()


def _must_be(request: web.BaseRequest, method: str) -> None:
    if request.method != method:
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not possible here, only {method}")


async def serve(endpoint: Endpoint, settings: GatewaySettings) -> Gateway:
    """A gateway that listens. Raises InputError for an unfit token or certificate, OSError for a port that is taken."""
    gateway = Gateway(endpoint, settings)
    await gateway.start()
    return gateway
