"""Where a load test goes: the target is looked at, and what to send is known, before the first request is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmesim.errors import InputError, Problem
from mmesim.live.load.bodies import BodyOptions, find_bodies
from mmesim.live.load.http import Address
from mmesim.live.load.targets import (
    API_SAGEMAKER,
    AwsTarget,
    Caller,
    HttpTarget,
    Target,
    ask_config,
    check_reachable,
)
from mmesim.scenario.build import Build

MAX_IN_FLIGHT = 10_000
"""By default; each needs a connection."""
AWS_THREADS = 256
"""The same through boto3; each needs a thread and a connection."""
GRACE_S = 10.0
"""A client waits so much longer than the endpoint does: who is refused shall hear it (AWS advises 70 s for 60 s)."""


@dataclass(frozen=True)
class Aim:
    """A target and how to address it."""

    url: str
    """``http://host:port``; empty with `aws`: SageMaker itself."""
    api: str = API_SAGEMAKER
    endpoint: str = "endpoint"
    target_model: str = "{model}.tar.gz"
    aws: bool = False
    token: str = ""
    timeout_s: float | None = None
    """None: the scenario's invocation timeout and `GRACE_S`."""
    max_in_flight: int = 0
    """0: by default."""

    @property
    def most(self) -> int:
        """Requests in flight at most."""
        return self.max_in_flight or (AWS_THREADS if self.aws else MAX_IN_FLIGHT)

    @property
    def shown(self) -> str:
        """The target, for people."""
        where = self.url or "SageMaker"
        return f"{where}, endpoint {self.endpoint}" if self.api == API_SAGEMAKER else where


def take_aim(build: Build, aim: Aim, options: BodyOptions) -> Callable[[], Target]:
    """What makes the target, within an event loop. Raises InputError: no target, unreachable, no body to send."""
    if not aim.url and not aim.aws:
        raise InputError(Problem("no target is named", hint="--target http://127.0.0.1:8080, or --aws for SageMaker"))
    address = _address(aim.url) if aim.url else None
    client = _sagemaker(aim, build) if aim.aws else None
    if address is not None:
        check_reachable(address)
    groups = [group.names() for group in build.scenario.models]
    bodies = find_bodies(groups, options, None if address is None else ask_config(address, aim.token))
    caller = Caller([model.spec.name for model in build.models], bodies, _timeout_s(aim, build), aim.endpoint,
                    aim.target_model, aim.token)
    if client is not None:
        return lambda: AwsTarget(client, caller, aim.most)
    assert address is not None
    return lambda: HttpTarget(address, aim.api, caller)


def _timeout_s(aim: Aim, build: Build) -> float:
    return aim.timeout_s or build.scenario.endpoint.server.invocation_timeout + GRACE_S


def _address(url: str) -> Address:
    try:
        return Address.of(url)
    except ValueError as error:
        raise InputError(Problem(str(error), path="--target")) from None


def _sagemaker(aim: Aim, build: Build) -> Any:
    """A client of the SageMaker Runtime that never retries by itself. Raises InputError."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(max_pool_connections=aim.most, retries={"total_max_attempts": 1}, connect_timeout=5,
                    read_timeout=_timeout_s(aim, build))
    try:
        client = boto3.client("sagemaker-runtime", endpoint_url=aim.url or None, config=config)
        if not aim.url:
            _check_endpoint(boto3.client("sagemaker"), aim.endpoint)
        return client
    except (BotoCoreError, ClientError) as error:
        raise InputError(Problem(f"boto3: {error}", path="--aws", hint="set AWS_REGION and credentials as for the AWS "
                                 "command line, and --endpoint-name; nothing was sent")) from error


def _check_endpoint(sagemaker: Any, name: str) -> None:
    """Raises BotoCoreError, ClientError: there is no such endpoint. Who may not look is believed."""
    from botocore.exceptions import ClientError

    try:
        sagemaker.describe_endpoint(EndpointName=name)
    except ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
