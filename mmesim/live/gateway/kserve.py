"""The open inference protocol (KServe v2) over HTTP, as tritonclient and perf_analyzer speak it
(github.com/kserve/open-inference-protocol, triton-inference-server/server docs/protocol)."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import unquote

from aiohttp import web

from mmesim.core.types import Failure
from mmesim.live.gateway.dialect import Refused, checked_name, respond, returned
from mmesim.live.gateway.invocation import Outcome
from mmesim.live.gateway.upstream import Answer

_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/(\d+))?(?:/(infer|ready|config|stats))?")
EXTENSIONS = ("classification", "model_configuration", "schedule_policy", "binary_tensor_data", "parameters",
              "statistics")
"""What passes through to the servers (Triton's names)."""
STATUS = {Failure.MODEL_NOT_READY: HTTPStatus.SERVICE_UNAVAILABLE, Failure.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
          Failure.THROTTLED: HTTPStatus.SERVICE_UNAVAILABLE, Failure.QUEUE_FULL: HTTPStatus.SERVICE_UNAVAILABLE,
          Failure.LOAD_FAILED: HTTPStatus.INTERNAL_SERVER_ERROR, Failure.NO_SUCH_MODEL: HTTPStatus.NOT_FOUND,
          Failure.INSTANCE_LOST: HTTPStatus.SERVICE_UNAVAILABLE}
"""As Triton answers in the like case: unavailable 503, deadline 504, unknown 404, internal 500."""


class ModelPath(NamedTuple):
    """What a path asks of a model. An empty verb: its metadata."""

    model: str
    version: str
    verb: str

    def path(self) -> str:
        """As a server is asked."""
        version = f"/versions/{self.version}" if self.version else ""
        return f"/v2/models/{self.model}{version}" + (f"/{self.verb}" if self.verb else "")


def model_path(path: str) -> ModelPath:
    """What a path means. Raises Refused: nothing."""
    found = _MODEL.fullmatch(path)
    if not found:
        raise Refused(HTTPStatus.NOT_FOUND, f"no such path: {path[:100]}")
    return ModelPath(checked_name(unquote(found[1])), found[2] or "", found[3] or "")


class KServe:
    """Answers and errors that clients of Triton understand."""

    def refused(self, error: Refused) -> web.Response:
        """A request that no server has seen."""
        return json_response({"error": str(error)}, error.status)

    def failed(self, outcome: Outcome[Answer]) -> web.Response:
        """A request that ended without an answer."""
        return json_response({"error": outcome.message()}, STATUS[outcome.failure], outcome.headers())

    async def answered(self, request: web.BaseRequest, outcome: Outcome[Answer], answer: Answer) -> web.StreamResponse:
        """What a server has answered, as it is."""
        return await respond(request, answer.status, [*returned(answer), *outcome.headers().items()], answer.body)


def json_response(value: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> web.Response:
    """A value as JSON."""
    return web.Response(status=status, body=json.dumps(value).encode(),
                        headers={"Content-Type": "application/json"} | (headers or {}))
