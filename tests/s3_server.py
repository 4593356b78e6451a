"""A real S3-compatible server (moto) as a process on loopback, with a bucket, for whoever tests against S3."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3

from mmesim.triton.processes import DIE_WITH_PARENT

BUCKET = "models"
START_S = 30
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
"""What boto3 is to find in the environment; the server accepts any."""


@dataclass(frozen=True)
class S3Server:
    """A running server with the bucket `models`."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Any:
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="me",
                            aws_secret_access_key="secret")

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Puts objects into the bucket, one part each."""
        client = self.client()
        for key, body in objects.items():
            client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def empty(self) -> None:
        client = self.client()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            keys = [{"Key": one["Key"]} for one in page.get("Contents", ())]
            if keys:
                client.delete_objects(Bucket=BUCKET, Delete={"Objects": keys})


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server of one's own on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*DIE_WITH_PARENT, sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        server = S3Server(port)
        server.client().create_bucket(Bucket=BUCKET)
        yield server
    finally:
        process.kill()
        process.wait(10)


def _wait(port: int) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline_s, "the server does not answer"
            time.sleep(0.05)
