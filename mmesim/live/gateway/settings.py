"""Where the gateway listens, who may call it, and what it puts up with. Closed by default: the loopback alone.

A token is a secret and does not stand in a settings file: the file names where it is.
"""

from __future__ import annotations

import hmac
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from mmesim.errors import InputError, Problem
from mmesim.settings import Bytes, Count, Duration, Settings, Whole, wrong
from mmesim.units import MIB

SAGEMAKER_BODY_BYTES = 6 * MIB
"""Largest body of InvokeEndpoint (botocore 1.43 sagemaker-runtime 2017-05-13, BodyBlob)."""
Port = Annotated[Whole, Field(ge=0, le=65535)]
"""0: a free one."""


class ListenSettings(Settings):
    """An address, and who may call there."""

    host: str = "127.0.0.1"
    """Address to listen on. Anything but the loopback is open to the network: set a token and TLS."""
    port: Port = 8080
    """TCP port; 0 takes a free one."""
    token_env: str | None = None
    """Name of the environment variable that holds the bearer token. Callers send it as `Authorization: Bearer …` or,
    since boto3 signs with that header, as `X-Mmesim-Token`."""
    token_file: Path | None = None
    """File that holds the bearer token, instead of an environment variable."""
    tls_cert: Path | None = None
    """Certificate chain, PEM. With `tls_key`: HTTPS only."""
    tls_key: Path | None = None
    """Private key of the certificate, PEM."""

    @model_validator(mode="after")
    def _pairs(self) -> ListenSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise wrong("tls_cert and tls_key belong together", "give both, or neither")
        if self.token_env and self.token_file:
            raise wrong("token_env and token_file exclude each other", "give one of them")
        return self

    def read_token(self) -> str:
        """The token; empty: none is asked for. Raises InputError when it is not where the settings say."""
        if self.token_env is None and self.token_file is None:
            return ""
        place = f"environment variable {self.token_env}" if self.token_env else str(self.token_file)
        try:
            token = os.environ[self.token_env] if self.token_env else self.token_file.read_text()  # type: ignore[union-attr]
        except (OSError, KeyError) as error:
            raise InputError(Problem(f"no token: {error}", path=place, hint="put the token there")) from error
        if not token.strip():
            raise InputError(Problem("the token is empty", path=place, hint="put the token there"))
        return token.strip()

    def tls(self) -> ssl.SSLContext | None:
        """What the listener encrypts with; None: plain. Raises InputError when the files are not fit for it."""
        if self.tls_cert is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise InputError(Problem(f"no certificate and key: {error}", file=str(self.tls_cert),
                                     hint="PEM files of a certificate chain and of its private key")) from error
        return context


class GatewaySettings(ListenSettings):
    """The data plane: SageMaker Runtime API, KServe v2 over HTTP and gRPC."""

    grpc_port: Port | None = None
    """Port of the KServe v2 gRPC service; null: not offered."""
    max_body: Bytes = SAGEMAKER_BODY_BYTES
    """Larger request bodies are refused unread."""
    max_connections: Annotated[Count, Field(ge=1)] = 10_000
    """Further connections are answered 503 and closed."""
    header_timeout: Duration = 10.0
    """From the first byte of a request to the end of its headers; slower clients are cut off."""
    body_timeout: Duration = 60.0
    """From the end of the headers to the end of the body; slower clients get 408. And how long an answer waits for a
    client that does not read on."""
    idle_timeout: Duration = 120.0
    """A connection without a request for so long is closed."""
    drain_timeout: Duration = 65.0
    """How long requests under way may take to finish when the gateway is stopped."""


def has_token(given: Mapping[str, str], token: str) -> bool:
    """Whether headers (or metadata) carry the token; its comparison takes a time that does not tell how much is right.
    An empty token: none is needed."""
    shown = given.get("x-mmesim-token") or given.get("authorization", "").removeprefix("Bearer ")
    return not token or hmac.compare_digest(shown.encode(errors="surrogateescape"), token.encode())
