"""The management API: on a port of its own, with a token of its own, so that whoever may invoke may not rule.

    GET    /models               every model, and where its copies are
    POST   /models               {"name": …}: an archive that was put into the store may be invoked from now on
    DELETE /models/NAME          no longer to be invoked
    POST   /models/NAME/load     loads a copy now; answers when it is READY
    GET    /state                the control plane's table: servers, copies, memory, what is under way
    POST   /reconcile            compares it with what the servers hold; answers the differences, which are resolved
    POST   /drain                {"timeout_s": …}: no new requests; answers when those under way are over
    GET    /metrics              Prometheus, under CloudWatch's and Triton's names
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from aiohttp import web

from mmesim.live.gateway.dialect import Refused, checked_name
from mmesim.live.gateway.kserve import json_response
from mmesim.live.gateway.settings import ListenSettings, Port, has_token
from mmesim.live.ports import FetchFailed, LoadRefused, ServerDown

log = logging.getLogger("mmesim.live")
JSON = Mapping[str, Any]
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
STATUS: Mapping[type[Exception], HTTPStatus] = {
    KeyError: HTTPStatus.NOT_FOUND, LoadRefused: HTTPStatus.CONFLICT, FetchFailed: HTTPStatus.BAD_GATEWAY,
    ServerDown: HTTPStatus.SERVICE_UNAVAILABLE, TimeoutError: HTTPStatus.GATEWAY_TIMEOUT}


class ManagementSettings(ListenSettings):
    """The management API."""

    port: Port = 8081
    """TCP port; 0 takes a free one."""


class Management(Protocol):
    """What it calls. Everything returned can be written as JSON. An unknown model is a KeyError; a load that fails is
    FetchFailed, LoadRefused or ServerDown."""

    async def models(self) -> Sequence[JSON]:
        """A row for each model."""

    async def add(self, name: str) -> JSON:
        """Looks for the model's archive in the store; its row."""

    async def remove(self, name: str) -> None:
        """The model is no longer to be invoked."""

    async def load(self, name: str) -> JSON:
        """A READY copy somewhere; its row."""

    async def state(self) -> JSON:
        """The control plane's table."""

    async def reconcile_now(self) -> JSON:
        """Differences by server; they are resolved."""

    async def drain(self, timeout_s: float) -> int:
        """No new requests; how many were left at the end."""

    def metrics(self) -> bytes:
        """Prometheus's text format."""


class ManagementApi:
    """A listener for it."""

    def __init__(self, management: Management, settings: ManagementSettings, drain_timeout_s: float) -> None:
        self._it, self._settings, self._drain_timeout_s = management, settings, drain_timeout_s
        self._token = settings.read_token()
        app = web.Application(middlewares=[self._door])
        app.add_routes([
            web.get("/models", self._models), web.post("/models", self._add),
            web.delete("/models/{name}", self._remove), web.post("/models/{name}/load", self._load),
            web.get("/state", self._state), web.post("/reconcile", self._reconcile), web.post("/drain", self._drain),
            web.get("/metrics", self._metrics)])
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=60.0, shutdown_timeout=1.0)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Listens. Raises InputError for an unfit token or certificate, OSError for a port that is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._settings.host, self._settings.port,
                          ssl_context=self._settings.tls()).start()

    async def close(self) -> None:
        """Ends it."""
        await self._runner.cleanup()

    @web.middleware
    async def _door(self, request: web.Request,
                    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """Lets in who may, and says what went wrong."""
        if not has_token(request.headers, self._token):
            return json_response({"error": "the token is missing or wrong"}, HTTPStatus.FORBIDDEN)
        try:
            return await handler(request)
        except Refused as error:
            return json_response({"error": str(error)}, error.status)
        except (KeyError, LoadRefused, FetchFailed, ServerDown, TimeoutError) as error:
            text = f"there is no {error}" if isinstance(error, KeyError) else str(error)
            return json_response({"error": text}, next(STATUS[kind] for kind in STATUS if isinstance(error, kind)))
        except web.HTTPException as error:
            return json_response({"error": error.reason}, error.status)
        except Exception:
            log.exception("management: %s %s", request.method, request.path)
            return json_response({"error": "it failed: see the log"}, HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _models(self, request: web.Request) -> web.Response:
        return json_response({"models": list(await self._it.models())})

    async def _add(self, request: web.Request) -> web.Response:
        name = (await _given(request)).get("name")
        if not isinstance(name, str):
            raise Refused(HTTPStatus.BAD_REQUEST, 'the body must be {"name": "NAME"}')
        return json_response(await self._it.add(checked_name(name)), HTTPStatus.CREATED)

    async def _remove(self, request: web.Request) -> web.Response:
        await self._it.remove(_name(request))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _load(self, request: web.Request) -> web.Response:
        return json_response(await self._it.load(_name(request)))

    async def _state(self, request: web.Request) -> web.Response:
        return json_response(await self._it.state())

    async def _reconcile(self, request: web.Request) -> web.Response:
        return json_response(await self._it.reconcile_now())

    async def _drain(self, request: web.Request) -> web.Response:
        timeout_s = (await _given(request)).get("timeout_s", self._drain_timeout_s)
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or timeout_s < 0:
            raise Refused(HTTPStatus.BAD_REQUEST, 'the body must be {"timeout_s": SECONDS}, or empty')
        return json_response({"left": await self._it.drain(float(timeout_s))})

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._it.metrics(), headers={"Content-Type": PROMETHEUS})


def _name(request: web.Request) -> str:
    return checked_name(request.match_info["name"])


async def _given(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request; empty when it has no body. Raises Refused."""
    text = await request.read()
    try:
        given = json.loads(text) if text else {}
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
    return given


async def serve_management(management: Management, settings: ManagementSettings,
                           drain_timeout_s: float) -> ManagementApi:
    """A management API that listens. Raises InputError, OSError."""
    api = ManagementApi(management, settings, drain_timeout_s)
    await api.start()
    return api
