"""Whom the load is sent to: an HTTP endpoint (SageMaker Runtime API or KServe v2), or SageMaker through boto3."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from mmesim.core.types import Failure
from mmesim.errors import InputError, Problem
from mmesim.live.load.answers import WANTED, Outcome, outcome_of
from mmesim.live.load.bodies import Bodies, Body
from mmesim.live.load.http import Address, Answer, Pool, Unreachable
from mmesim.triton.client import TritonClient, TritonError

API_SAGEMAKER, API_KSERVE = "sagemaker", "kserve"
BINARY = "application/vnd.sagemaker-triton.binary+json;json-header-size={}"
"""Content type of a body whose JSON part has so many bytes (Triton's SageMaker front end, src/sagemaker_server.cc)."""
JSON = "application/json"
PROBE_S = 5.0


class Target(Protocol):
    """Sends one request and says how it ended, whatever happens."""

    async def send(self, model: int, items: int) -> Outcome:
        """One request for a model by its number; never raises but for cancellation."""

    async def close(self) -> None:
        """Ends connections; requests under way end with them."""


@dataclass(frozen=True)
class Caller:
    """How requests are addressed."""

    models: Sequence[str]
    bodies: Bodies
    timeout_s: float
    endpoint: str = "endpoint"
    """Name of the SageMaker endpoint."""
    target_model: str = "{model}.tar.gz"
    """What TargetModel is for a model."""
    token: str = ""
    """Bearer token; empty: none."""


class HttpTarget:
    """An endpoint at an address."""

    def __init__(self, address: Address, api: str, caller: Caller) -> None:
        self._head = {API_SAGEMAKER: _sagemaker_head, API_KSERVE: _kserve_head}[api]
        self._caller = caller
        self._address = address
        self._pool = Pool(address, WANTED)
        self._requests: dict[tuple[int, int], tuple[bytes, bytes]] = {}

    async def send(self, model: int, items: int) -> Outcome:
        """See :class:`Target`."""
        request = self._requests.get((model, items)) or self._request(model, items)
        try:
            return outcome_of(await self._pool.send(request, self._caller.timeout_s))
        except TimeoutError:
            return Outcome(Failure.TIMEOUT, 0, f"no answer within {self._caller.timeout_s:g} s")
        except Unreachable as error:
            return Outcome(Failure.INSTANCE_LOST, 0, str(error))

    def _request(self, model: int, items: int) -> tuple[bytes, bytes]:
        caller = self._caller
        body = caller.bodies.of(caller.models[model], items)
        path, headers = self._head(caller, caller.models[model], body)
        lines = [f"POST {self._address.path}{path} HTTP/1.1", f"Host: {self._address.host_header}",
                 f"Content-Length: {len(body.data)}", *(f"{name}: {value}" for name, value in headers.items())]
        if caller.token:
            lines.append(f"Authorization: Bearer {caller.token}")
        request = ("\r\n".join([*lines, "", ""]).encode(), body.data)
        self._requests[model, items] = request
        return request

    @property
    def opened(self) -> int:
        """Connections made so far."""
        return self._pool.opened

    async def close(self) -> None:
        """See :class:`Target`."""
        self._pool.close()


def _sagemaker_head(caller: Caller, model: str, body: Body) -> tuple[str, dict[str, str]]:
    return (f"/endpoints/{quote(caller.endpoint, safe='')}/invocations",
            {"X-Amzn-SageMaker-Target-Model": caller.target_model.format(model=model), "Content-Type": _type(body)})


def _kserve_head(caller: Caller, model: str, body: Body) -> tuple[str, dict[str, str]]:
    binary = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(body.json_bytes)}
    return f"/v2/models/{quote(model, safe='')}/infer", binary if body.json_bytes else {"Content-Type": JSON}


def _type(body: Body) -> str:
    return BINARY.format(body.json_bytes) if body.json_bytes else JSON


def check_reachable(address: Address) -> None:
    """Raises InputError when nobody listens there."""
    try:
        socket.create_connection((address.host, address.port), PROBE_S).close()
    except OSError as error:
        raise InputError(Problem(f"{address.host_header} cannot be reached: {error.strerror or error}", path="--target",
                                 hint="is it running there? nothing was sent")) from error


def ask_config(address: Address, token: str) -> Callable[[str], Mapping[str, Any]]:
    """A function that asks the endpoint for a model's configuration (raises TritonError)."""
    client = TritonClient(f"{'https' if address.tls else 'http'}://{address.host_header}", PROBE_S)
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(model: str) -> Mapping[str, Any]:
        path = f"{address.path}/v2/models/{quote(model, safe='')}/config"
        try:
            config: dict[str, Any] = json.loads(client.call("GET", path, headers=headers))
            config["input"]
        except (ValueError, LookupError, TypeError) as error:
            raise TritonError(f"GET {path}: not a configuration") from error
        return config

    return ask


class AwsTarget:
    """A SageMaker endpoint through boto3, with its credentials and region; one thread a request under way."""

    def __init__(self, client: Any, caller: Caller, threads: int) -> None:
        self._client, self._caller = client, caller
        self._threads = ThreadPoolExecutor(threads, "invoke")
        self.opened = threads

    async def send(self, model: int, items: int) -> Outcome:
        """See :class:`Target`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._invoke, model, items)

    def _invoke(self, model: int, items: int) -> Outcome:
        from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

        caller = self._caller
        name = caller.models[model]
        body = caller.bodies.of(name, items)
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=caller.endpoint, TargetModel=caller.target_model.format(model=name), Body=body.data,
                ContentType=_type(body))
            answer["Body"].read()
            return self._outcome(200, answer, "")
        except ClientError as error:
            said = error.response
            status = said["ResponseMetadata"]["HTTPStatusCode"]
            return self._outcome(status, said, said.get("Error", {}).get("Message", ""))
        except ReadTimeoutError as error:
            return Outcome(Failure.TIMEOUT, 0, str(error))
        except BotoCoreError as error:
            return Outcome(Failure.INSTANCE_LOST, 0, str(error))

    @staticmethod
    def _outcome(status: int, said: Mapping[str, Any], text: str) -> Outcome:
        headers = {name.encode(): value.encode() for name, value in said["ResponseMetadata"]["HTTPHeaders"].items()}
        return outcome_of(Answer(status, {name: value for name, value in headers.items() if name in WANTED},
                                 text.encode()))

    async def close(self) -> None:
        """See :class:`Target`; requests under way are waited for, since threads cannot be ended."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
