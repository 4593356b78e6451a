"""What the dialects of the data plane have in common: names, refusals, and how a request and its answer are handed on.

Bodies and headers pass as they are, but for those of the connection itself (RFC 9110, 7.6.1) and what is meant for the
gateway alone: its token and AWS's signature.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import LooseHeaders

from mmesim.live.gateway.invocation import Outcome
from mmesim.live.gateway.settings import GatewaySettings
from mmesim.live.gateway.upstream import Answer

NAME = re.compile(r"\w[\w.+=@,~-]{0,1023}", re.ASCII)
OF_THE_CONNECTION = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade",
                               b"host", b"transfer-encoding", b"content-length", b"expect"))
OF_THE_GATEWAY = frozenset((b"authorization", b"x-mmesim-token"))
_NOT_FORWARDED = OF_THE_CONNECTION | OF_THE_GATEWAY
_NOT_RETURNED = frozenset(name.decode() for name in OF_THE_CONNECTION)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Refused(Exception):
    """A request that is answered at the door."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Dialect(Protocol):
    """How errors and answers look to one kind of client."""

    def refused(self, error: Refused) -> web.Response:
        """A request that no server has seen."""

    def failed(self, outcome: Outcome[Answer]) -> web.Response:
        """A request that ended without an answer."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body as it came: in pieces."""

    pieces: Sequence[bytes]
    size_bytes: int


def checked_name(name: str) -> str:
    """A model's name that can stand in a path and in a folder. Raises Refused."""
    if not NAME.fullmatch(name) or ".." in name:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{name[:100]!r} is no name of a model")
    return name


async def read_body(request: web.BaseRequest, settings: GatewaySettings) -> Body:
    """The whole body; a client that waits to be asked for it is asked. Raises Refused: too large, too slow, damaged."""
    too_large = Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        f"the body is larger than the {settings.max_body} bytes that are accepted")
    if (request.content_length or 0) > settings.max_body:
        raise too_large
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(CONTINUE)
        request.writer.output_size = 0
    content, pieces, size_bytes = request.content, [], 0
    try:
        async with asyncio.timeout(None if content.is_eof() else settings.body_timeout):
            while not content.at_eof():
                piece, _ = await content.readchunk()
                size_bytes += len(piece)
                if size_bytes > settings.max_body:
                    raise too_large
                if piece:
                    pieces.append(piece)
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time") from None
    except web.RequestPayloadError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is damaged: {error}") from error
    return Body(pieces, size_bytes)


def head(method: str, path: str, headers: Iterable[tuple[bytes, bytes]], body: Body) -> bytes:
    """Request line and headers for a server."""
    lines = [b"%b: %b\r\n" % (name, value) for name, value in headers
             if (low := name.lower()) not in _NOT_FORWARDED and not low.startswith(b"x-amz-")]
    return b"%b %b HTTP/1.1\r\nHost: triton\r\nContent-Length: %d\r\n%b\r\n" % (
        method.encode(), path.encode(), body.size_bytes, b"".join(lines))


def returned(answer: Answer) -> list[tuple[str, str]]:
    """The headers of an answer that its client gets."""
    return [(name, value) for name, value in answer.headers if name.lower() not in _NOT_RETURNED]


async def respond(request: web.BaseRequest, status: int, headers: LooseHeaders, body: Sequence[bytes]
                  ) -> web.StreamResponse:
    """An answer whose pieces are written as they are."""
    if len(body) <= 1:
        return web.Response(status=status, headers=headers, body=body[0] if body else None)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = sum(map(len, body))
    await response.prepare(request)
    for piece in body:
        await response.write(piece)
    return response
