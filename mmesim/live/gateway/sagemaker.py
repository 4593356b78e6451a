"""The SageMaker Runtime API, InvokeEndpoint, as boto3 speaks it (botocore sagemaker-runtime 2017-05-13, rest-json).

A body in Triton's binary form says in its Content-Type how long its JSON part is, as Triton's own SageMaker front end
takes it (triton-inference-server/server src/sagemaker_server.cc); the v2 protocol says that in a header of its own.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from aiohttp import web

from mmesim.core.types import Failure
from mmesim.live.gateway.dialect import Refused, checked_name, respond
from mmesim.live.gateway.invocation import Outcome
from mmesim.live.gateway.upstream import Answer

VARIANT = "AllTraffic"
TARGET_MODEL = "X-Amzn-SageMaker-Target-Model"
CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
BINARY = "application/vnd.sagemaker-triton.binary+json;json-header-size="
_BINARY = re.compile(re.escape(BINARY).replace(";", r"\s*;\s*").encode() + rb"(\d+)", re.IGNORECASE)
CODES = {HTTPStatus.BAD_REQUEST: "ValidationError", HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "ValidationError",
         HTTPStatus.FORBIDDEN: "AccessDeniedException", HTTPStatus.NOT_FOUND: "UnknownOperationException",
         HTTPStatus.METHOD_NOT_ALLOWED: "UnknownOperationException", HTTPStatus.REQUEST_TIMEOUT: "RequestTimeout",
         HTTPStatus.TOO_MANY_REQUESTS: "ModelNotReadyException", HTTPStatus.FAILED_DEPENDENCY: "ModelError",
         HTTPStatus.INTERNAL_SERVER_ERROR: "InternalFailure", HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailable"}
"""HTTP status -> what boto3 finds as the error's code."""
ORIGINAL_STATUS = {Failure.TIMEOUT: 0, Failure.QUEUE_FULL: 503, Failure.LOAD_FAILED: 500}
"""What a ModelError that no model has answered says of the model; a time-out is 0 on SageMaker too."""


def target(request: web.BaseRequest) -> str:
    """The model's name: the archive's key below the prefix, without ``.tar.gz``. Raises Refused."""
    given = request.headers.get(TARGET_MODEL, "")
    if not given:
        raise Refused(HTTPStatus.BAD_REQUEST, f"a multi-model endpoint needs the header {TARGET_MODEL}")
    return checked_name(given.removeprefix("/").removesuffix(".tar.gz"))


def to_triton(headers: tuple[tuple[bytes, bytes], ...]) -> list[tuple[bytes, bytes]]:
    """A request's headers in the words of the v2 protocol."""
    mapped = []
    for name, value in headers:
        found = _BINARY.fullmatch(value) if name.lower() == b"content-type" else None
        if found:
            mapped += [(b"Content-Type", b"application/octet-stream"), (b"Inference-Header-Content-Length", found[1])]
        else:
            mapped.append((name, value))
    return mapped


def _from_triton(answer: Answer) -> dict[str, str]:
    """What a caller of InvokeEndpoint gets of an answer's headers."""
    given = {name.lower(): value for name, value in answer.headers}
    headers = {"X-Amzn-Invoked-Production-Variant": VARIANT}
    if CUSTOM_ATTRIBUTES in given:
        headers[CUSTOM_ATTRIBUTES] = given[CUSTOM_ATTRIBUTES]
    if "content-encoding" in given:
        headers["Content-Encoding"] = given["content-encoding"]
    if "inference-header-content-length" in given:
        headers["Content-Type"] = BINARY + given["inference-header-content-length"]
    elif "content-type" in given:
        headers["Content-Type"] = given["content-type"]
    return headers


class SageMaker:
    """Answers and errors that boto3 understands."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def refused(self, error: Refused) -> web.Response:
        """A request that no server has seen."""
        return _error(error.status, {"Message": str(error)})

    def failed(self, outcome: Outcome[Answer]) -> web.Response:
        """A request that ended without an answer."""
        message, status = outcome.message(), HTTPStatus(outcome.failure.http_status)
        if status is not HTTPStatus.FAILED_DEPENDENCY:
            return _error(status, {"Message": message}, outcome.headers())
        return self._model_error(outcome, ORIGINAL_STATUS[outcome.failure], message)

    async def answered(self, request: web.BaseRequest, outcome: Outcome[Answer], answer: Answer) -> web.StreamResponse:
        """What a server has answered; an error of its own becomes a ModelError."""
        if answer.status >= HTTPStatus.BAD_REQUEST:
            return self._model_error(outcome, answer.status, answer.text())
        return await respond(request, answer.status, _from_triton(answer) | outcome.headers(), answer.body)

    def _model_error(self, outcome: Outcome[Answer], status: int, message: str) -> web.Response:
        kind = "client" if 400 <= status < 500 else "server"
        stream = f"log-group:/aws/sagemaker/Endpoints/{self._endpoint}:log-stream:{VARIANT}/{outcome.ticket.instance}"
        return _error(HTTPStatus.FAILED_DEPENDENCY, {
            "Message": f'Received {kind} error ({status}) from primary with message "{message}".',
            "OriginalStatusCode": status, "OriginalMessage": message,
            "LogStreamArn": f"arn:aws:logs:local:000000000000:{stream}"}, outcome.headers())


def _error(status: HTTPStatus, body: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    kind = {"x-amzn-errortype": CODES[status], "Content-Type": "application/json"}
    return web.Response(status=status, headers=kind | (headers or {}), body=json.dumps(body).encode())
