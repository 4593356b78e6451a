"""The options of `mmesim live load`, and what their texts mean."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.live.load.bodies import BodyOptions


class Api(StrEnum):
    """What the target speaks."""

    SAGEMAKER = "sagemaker"
    KSERVE = "kserve"


TO, SENT = "Target", "What is sent"
Scenario = Annotated[str, typer.Argument(help="A scenario file, or the name of a packaged example.")]
Target = Annotated[str, typer.Option(
    help="Address of the endpoint, e.g. http://127.0.0.1:8080.", rich_help_panel=TO, show_default=False)]
ApiOption = Annotated[Api, typer.Option(
    "--api", help="sagemaker: POST /endpoints/NAME/invocations. kserve: POST /v2/models/MODEL/infer (a bare Triton).",
    rich_help_panel=TO)]
EndpointName = Annotated[str, typer.Option(
    help="Name of the SageMaker endpoint; default: the scenario's name.", rich_help_panel=TO, show_default=False)]
TargetModel = Annotated[str, typer.Option(help="TargetModel of a model.", rich_help_panel=TO)]
Aws = Annotated[bool, typer.Option(
    "--aws", help="Invoke through boto3, with the credentials and the region that it finds (at --target, if given).",
    rich_help_panel=TO)]
TokenEnv = Annotated[str, typer.Option(
    help="Environment variable with a bearer token.", rich_help_panel=TO, show_default=False)]
Speed = Annotated[float, typer.Option(
    help="Let the workload's time pass so many times as fast: arrivals, stages and think times; not retries.")]
Duration = Annotated[str | None, typer.Option(
    help="How much of the scenario, in its own time, e.g. 5m; default: all.", show_default=False)]
Set = Annotated[list[str] | None, typer.Option(
    "--set", metavar="PATH=VALUE", help="Override a setting of the scenario. Repeatable.", show_default=False)]
Body = Annotated[Path | None, typer.Option(
    help="File with the body of every request: JSON, or JSON and binary tensors after it.", rich_help_panel=SENT,
    show_default=False)]
BodyFor = Annotated[list[str] | None, typer.Option(
    help="The same for models by name, e.g. 'bert-*=bert.json'. Repeatable.", metavar="PATTERN=FILE",
    rich_help_panel=SENT, show_default=False)]
Input = Annotated[list[str] | None, typer.Option(
    "--input", help="An input of every model, without the batch, e.g. INPUT:FP32:3,224,224. Repeatable.",
    metavar="NAME:TYPE:SHAPE", rich_help_panel=SENT, show_default=False)]
MaxInFlight = Annotated[int, typer.Option(
    help="Most requests under way; default 10000, with --aws 256 (a thread each).", show_default=False, min=0)]
Timeout = Annotated[str | None, typer.Option(
    help="Give up on an answer after; default: the scenario's invocation_timeout + 10s.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Folder for results; each run gets OUT/<name>/.")]
Name = Annotated[str | None, typer.Option(help="Name of the run; default: <scenario>-live.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Do not draw report.html.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no notes.")]


def body_options(body: Path | None, body_for: list[str] | None, inputs: list[str] | None) -> BodyOptions:
    """What the options say of bodies. Raises InputError."""
    from mmesim.live.load.bodies import BodyOptions
    files = []
    for text in body_for or ():
        pattern, found, file = text.rpartition("=")
        if not found or not pattern:
            raise InputError(Problem(f"{text!r} is not PATTERN=FILE", path="--body-for", hint="'bert-*=bert.json'"))
        files.append((pattern, Path(file)))
    return BodyOptions(body, tuple(files), tuple(inputs or ()))


def seconds_of(text: str, option: str) -> float:
    """A positive duration. Raises InputError."""
    from mmesim.units import parse_duration_s
    try:
        value_s = parse_duration_s(text)
        if value_s <= 0:
            raise ValueError(f"{text!r} is not above zero")
        return value_s
    except ValueError as error:
        raise InputError(Problem(str(error), path=option)) from None
