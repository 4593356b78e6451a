"""The download of a model's archive: from a real S3-compatible server and a real HTTP server, both on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mmesim.calibrate.analyze.files import measure_download
from mmesim.errors import InputError

boto3 = pytest.importorskip("boto3", reason="boto3 comes with the extra `profile`")
pytest.importorskip("moto.server", reason="moto[server] comes with the extra `test`")
RUNS = 3
ARCHIVE = np.random.default_rng(1).bytes(20 << 20)
"""20 MiB: boto3 fetches it in several ranges."""


@contextmanager
def server(*command: str) -> Iterator[str]:
    """A server process on a free port ({port} in the command); its URL, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, *(word.format(port=port) for word in command)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int) -> None:
    deadline_s = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline_s, "the server does not answer"
            time.sleep(0.1)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an archive in a bucket of an S3-compatible server, which boto3 finds by the environment."""
    with server("-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}") as url:
        for name, value in (("AWS_ENDPOINT_URL_S3", url), ("AWS_ACCESS_KEY_ID", "me"),
                            ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_DEFAULT_REGION", "us-east-1")):
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="models")
        client.put_object(Bucket="models", Key="a/model.tar.gz", Body=ARCHIVE)
        yield "s3://models/a/model.tar.gz"


def download(url: str, folder: Path) -> dict[str, Any]:
    settings = SimpleNamespace(archives={"m": url}, folder=folder, runs=RUNS)
    return measure_download(SimpleNamespace(settings=settings), "m")  # type: ignore[arg-type]


def well_measured(found: dict[str, Any]) -> None:
    times = found["download_s"]
    assert found["artifact_bytes"] == len(ARCHIVE)
    assert times["runs"] == RUNS
    assert 0 < times["min"] <= times["value"] <= times["max"] < 30


def test_an_archive_comes_from_s3(bucket: str, tmp_path: Path) -> None:
    well_measured(download(bucket, tmp_path))
    assert not list(tmp_path.iterdir())


def test_an_archive_comes_over_http(tmp_path: Path) -> None:
    served, work = tmp_path / "served", tmp_path / "work"
    served.mkdir(), work.mkdir()
    (served / "model.tar.gz").write_bytes(ARCHIVE)
    with server("-m", "http.server", "{port}", "--bind", "127.0.0.1", "-d", str(served)) as url:
        well_measured(download(f"{url}/model.tar.gz", work))
        with pytest.raises(InputError, match=r"cannot download .*404"):
            download(f"{url}/nothing", work)


def test_what_is_not_in_the_bucket_is_one_clear_error(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot download s3://models/b: .*404"):
        download("s3://models/b", tmp_path)
    with pytest.raises(InputError, match=r"cannot download s3://nowhere/b"):
        download("s3://nowhere/b", tmp_path)
