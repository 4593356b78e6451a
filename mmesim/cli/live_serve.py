"""`mmesim live serve` and `mmesim live example`: a multi-model endpoint of one's own."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmesim.cli.output import note, print_json
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.live.serve import Live

EXTRA = "pip install 'mmesim[live]'"
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def serve(
    settings: Annotated[Path, typer.Argument(help="Settings of the endpoint, a YAML file (`mmesim live example`).")],
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="PATH=VALUE", help="Override a setting, e.g. gateway.port=9000. Repeatable.")] = None,
    shadow: Annotated[list[str] | None, typer.Option(
        metavar="PATH=VALUE", help="A second endpoint with this setting decides on the same requests, simulated in a "
        "process of its own; what it would have done goes to STATE/shadow.log. Repeatable.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Check the settings, serve nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as one line of JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings only.")] = False,
) -> None:
    """Serve many models from one or several Triton servers, under the policies of a scenario.

    Speaks the SageMaker Runtime API and KServe v2 (HTTP, gRPC). SIGTERM or Ctrl-C drains: what came in is answered.

    Examples:

      mmesim live example try && mmesim live serve try/live.yaml

      mmesim live serve live.yaml --set endpoint.eviction.gpu=gdsf --shadow endpoint.eviction.gpu=lru

      mmesim live serve live.yaml --set gateway.host=0.0.0.0 --set gateway.token_env=TOKEN
    """
    import logging
    try:
        from mmesim.live.config import load_config
        from mmesim.live.serve import serve as serve_live
    except ImportError as error:
        raise missing(error) from error
    overrides = [*(set_ or ()), *([f"shadow={list(shadow)}"] if shadow else ())]
    config = load_config(settings, tuple(overrides))
    if check:
        note(f"{config.name}: the settings are fine")
        return
    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, format=LOG_FORMAT, stream=sys.stderr)
    logging.getLogger("mmesim").setLevel(logging.WARNING if quiet else logging.INFO)
    run_loop(serve_live(config, lambda live: _tell(live, as_json, quiet)))


def example(
    folder: Annotated[Path, typer.Argument(help="A new folder.")] = Path("live-example"),
) -> None:
    """Write twelve small models and the settings of an endpoint for them, to try on a laptop without GPU and AWS.

    Examples:

      mmesim live example try && mmesim live serve try/live.yaml
    """
    from mmesim.live.example import write_live_example
    written = write_live_example(folder)
    note(f"12 models in {folder / 'models'}\nmmesim live serve {written}")


def missing(error: ImportError, hint: str = EXTRA) -> InputError:
    """What to say when a library of live mode is not installed."""
    return InputError(Problem(f"live mode needs {error.name}", hint=hint))


def run_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, on uvloop where it is installed."""
    import asyncio
    try:
        from uvloop import new_event_loop
    except ImportError:
        asyncio.run(work)
        return
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(work)


def _tell(live: Live, as_json: bool, quiet: bool) -> None:
    """Where it can be reached."""
    config, gateway = live.config, live.gateway
    scheme = "https" if config.gateway.tls_cert else "http"
    found = {"endpoint": config.name, "models": len(live.runtime.models.archives),
             "invocations": f"{scheme}://{config.gateway.host}:{gateway.port}/endpoints/{config.name}/invocations",
             "kserve": f"{scheme}://{config.gateway.host}:{gateway.port}/v2",
             "grpc": f"{config.gateway.host}:{gateway.grpc_port}" if gateway.grpc_port else None,
             "management": f"http://{config.management.host}:{live.management.port}",
             "journal": str(live.journal.folder)}
    if as_json:
        print_json(found)
        sys.stdout.flush()
    elif not quiet:
        for name, value in found.items():
            if value is not None:
                note(f"{name:<12} {value}")
