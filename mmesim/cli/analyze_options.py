"""The options of `mmesim profile analyze`, and what their texts mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmesim.errors import InputError, Problem, alternatives

Repository = Annotated[Path | None, typer.Argument(help="Triton's model repository.", show_default=False)]
Models = Annotated[str, typer.Option(help="Only these models, comma-separated.", metavar="NAMES")]
Out = Annotated[Path | None, typer.Option(
    help="The run's folder; default analyze-REPOSITORY. The same command continues a run that was stopped.",
    show_default=False)]
Only = Annotated[str, typer.Option(
    help="Measure only these: grid, load, memory, work, slowdown, interference, artifact.", metavar="KINDS")]
Skip = Annotated[str, typer.Option(help="Measure all but these.", metavar="KINDS")]
BatchSizes = Annotated[str, typer.Option(help="Items in a request.")]
Concurrency = Annotated[str, typer.Option(help="Requests in flight.")]
Instances = Annotated[str, typer.Option(help="Instance counts besides the model's own, e.g. 1,2.")]
Runs = Annotated[int, typer.Option(help="How often loads, unloads and extractions are repeated.", min=1)]
Parallel = Annotated[str, typer.Option(help="So many loads at once.")]
Window = Annotated[str, typer.Option(help="Length of one measurement under load.")]
Shape = Annotated[list[str] | None, typer.Option(
    help="NAME:3,224,224 for an input with open dimensions; repeatable.", show_default=False)]
Archive = Annotated[list[str] | None, typer.Option(
    help="MODEL=s3://… or MODEL=https://…: measure its download; repeatable.", show_default=False)]
TritonServer = Annotated[Path | None, typer.Option(
    help="The tritonserver program; default: on PATH, else the one of mmesim\\[triton].", show_default=False)]
Url = Annotated[str, typer.Option(
    help="HTTP address of a running server instead; it needs --model-control-mode=explicit.")]
GrpcUrl = Annotated[str, typer.Option(help="Its gRPC address; default: port 8001 beside --url.")]
MetricsUrl = Annotated[str, typer.Option(help="Its metrics; default: port 8002 beside --url.")]
GpuName = Annotated[str, typer.Option(
    help="What the server computes on: T4 … or cpu; default: as nvidia-smi says. Needed with --url.")]
Precision = Annotated[str, typer.Option(help="For the profile, e.g. fp16: no server tells it.")]
Example = Annotated[Path | None, typer.Option(
    help="Write a repository of four small models to try, and end.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and how long it takes.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def models(repository: Path | None, url: str, names: str) -> tuple[str, ...]:
    """Names of the models that are meant. Raises InputError."""
    from mmesim.calibrate.analyze.settings import find_models
    wanted = tuple(filter(None, map(str.strip, names.split(","))))
    if repository is not None:
        return find_models(repository, wanted)
    if not url:
        raise InputError(Problem("no model repository is named", hint="mmesim profile analyze REPOSITORY; one to try: "
                                 "mmesim profile analyze --example FOLDER; a running server: --url"))
    if not wanted:
        raise InputError(Problem("no models are named", path="--models", hint="with --url and without a repository, "
                                 "name the models: --models a,b"))
    return wanted


def kinds(only: str, skip: str) -> tuple[str, ...]:
    """What is measured, in the order of `KINDS`. Raises InputError."""
    from mmesim.calibrate.analyze import KINDS
    chosen = _words(only, "--only", KINDS) or tuple(KINDS)
    left_out = _words(skip, "--skip", KINDS)
    return tuple(kind for kind in KINDS if kind in chosen and kind not in left_out)


def _words(text: str, option: str, known: dict[str, str]) -> tuple[str, ...]:
    words = tuple(filter(None, map(str.strip, text.split(","))))
    for word in words:
        if word not in known:
            raise InputError(Problem(f"{word!r} cannot be measured", path=option, hint=alternatives(word, known)))
    return words


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Numbers above 0, sorted, each once. Raises InputError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdigit() and int(part) for part in parts):
        raise InputError(Problem(f"{text!r} is not a list of numbers above 0", path=option, hint="write e.g. 1,2,4"))
    return tuple(sorted(set(map(int, parts))))


def seconds(text: str) -> float:
    """Seconds of a duration. Raises InputError."""
    from mmesim.units import parse_duration_s
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise InputError(Problem(str(error), path="--window")) from None


def shape(text: str) -> tuple[str, tuple[int, ...]]:
    """(input, dimensions). Raises InputError."""
    name, _, sizes = text.rpartition(":")
    if not name:
        raise InputError(Problem(f"{text!r} is not a shape", path="--shape", hint="write e.g. INPUT:3,224,224"))
    return name, tuple(int(size) for size in _ordered(sizes, text))


def _ordered(sizes: str, text: str) -> list[str]:
    parts = sizes.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise InputError(Problem(f"{text!r} is not a shape", path="--shape", hint="write e.g. INPUT:3,224,224"))
    return parts


def archive(text: str) -> tuple[str, str]:
    """(model, URL). Raises InputError."""
    model, _, address = text.partition("=")
    if not model or not address.startswith(("s3://", "http://", "https://")):
        raise InputError(Problem(f"{text!r} is not MODEL=URL", path="--archive",
                                 hint="write e.g. resnet50=s3://bucket/resnet50.tar.gz"))
    return model, address


def urls(url: str, grpc_url: str, metrics_url: str, gpu: str) -> dict[str, str]:
    """The three addresses of a running server; Triton's own ports where they are not given."""
    if not url:
        return {}
    if not gpu:
        raise InputError(Problem("what does the server compute on?", path="--gpu", hint="write --gpu T4, or --gpu cpu"))
    from urllib.parse import urlsplit
    full = url if "//" in url else f"http://{url}"
    host = urlsplit(full).hostname or ""
    return {"url": full, "grpc_url": grpc_url or f"{host}:8001",
            "metrics_url": metrics_url or f"http://{host}:8002/metrics"}
