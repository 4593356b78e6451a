"""The model's files: their size, the archive SageMaker wants (.tar.gz), its extraction, and its download."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmesim.calibrate.analyze.bench import Bench, summary
from mmesim.calibrate.analyze.settings import model_files
from mmesim.errors import InputError, Problem

GZIP_LEVEL = 6
"""gzip's own default."""
TIMEOUT_S = 600


def measure_artifact(bench: Bench, model: str) -> dict[str, Any]:
    """Packs the files as SageMaker wants them and unpacks them again, in the run's folder, on one CPU."""
    folder = bench.settings.model_folder(model)
    disk_bytes = sum(path.stat().st_size for path in model_files(folder))
    with tempfile.TemporaryDirectory(dir=bench.settings.folder) as work:
        archive = Path(work) / "model.tar.gz"
        with tarfile.open(archive, "w:gz", compresslevel=GZIP_LEVEL) as tar:
            for path in model_files(folder):
                tar.add(path, Path(model) / path.relative_to(folder))
        times = [_extraction_s(archive, Path(work) / f"out{number}") for number in range(bench.settings.runs)]
        return {"disk_bytes": disk_bytes, "artifact_bytes": archive.stat().st_size, "extract_s": summary(times)}


def _extraction_s(archive: Path, target: Path) -> float:
    """Seconds of an extraction; the archive is in the page cache."""
    started_s = time.perf_counter()
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    took_s = time.perf_counter() - started_s
    shutil.rmtree(target)
    return took_s


def measure_download(bench: Bench, model: str) -> dict[str, Any]:
    """Downloads the archive from its URL, again and again; nothing is kept."""
    url = bench.settings.archives[model]
    fetch = _fetch_s3 if url.startswith("s3://") else _fetch_http
    times, size = [], 0
    for _ in range(bench.settings.runs):
        with tempfile.TemporaryDirectory(dir=bench.settings.folder) as work:
            target = Path(work) / "archive"
            started_s = time.perf_counter()
            fetch(url, target)
            times.append(time.perf_counter() - started_s)
            size = target.stat().st_size
    return {"url": url, "artifact_bytes": size, "download_s": summary(times)}


def _fetch_http(url: str, target: Path) -> None:
    def get() -> None:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    _refused_as_input(url, get)


def _fetch_s3(url: str, target: Path) -> None:
    """As boto3 does it, with parallel ranged GETs; credentials, region and endpoint are found as AWS's tools do."""
    try:
        import boto3
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise InputError(Problem(f"cannot download {url}: boto3 is not installed", path="--archive",
                                 hint="pip install 'mmesim[profile]', or give an https:// URL")) from None
    bucket, _, key = url.removeprefix("s3://").partition("/")
    _refused_as_input(url, lambda: boto3.client("s3").download_file(bucket, key, str(target)),
                      (Boto3Error, BotoCoreError, ClientError))


def _refused_as_input(url: str, fetch: Callable[[], object], errors: tuple[type[Exception], ...] = ()) -> None:
    """Runs the download; what goes wrong is told as the URL's fault."""
    try:
        fetch()
    except (OSError, ValueError, *errors) as error:
        raise InputError(Problem(f"cannot download {url}: {error}", path="--archive")) from error
