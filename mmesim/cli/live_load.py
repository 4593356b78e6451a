"""`mmesim live load`: a scenario's workload, sent to a real endpoint."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mmesim.cli import live_load_options as opt
from mmesim.cli.ending import EXIT_INTERRUPTED
from mmesim.cli.live_serve import missing
from mmesim.cli.output import note
from mmesim.cli.progress import passing_time
from mmesim.cli.run import Say, show
from mmesim.errors import InputError, Problem
from mmesim.units import NS_PER_S

if TYPE_CHECKING:
    from mmesim.live.load.aim import Aim
    from mmesim.live.load.bodies import BodyOptions
    from mmesim.live.load.generator import Progress
    from mmesim.live.load.targets import Target
    from mmesim.results.run import Run
    from mmesim.scenario.build import Build
    from mmesim.scenario.schema import Scenario


def load(
    scenario: opt.Scenario, target: opt.Target = "", api: opt.ApiOption = opt.Api.SAGEMAKER,
    endpoint_name: opt.EndpointName = "", target_model: opt.TargetModel = "{model}.tar.gz", aws: opt.Aws = False,
    token_env: opt.TokenEnv = "", speed: opt.Speed = 1.0, duration: opt.Duration = None, set_: opt.Set = None,
    body: opt.Body = None, body_for: opt.BodyFor = None, input_: opt.Input = None, max_in_flight: opt.MaxInFlight = 0,
    timeout: opt.Timeout = None, out: opt.Out = Path("reports"), name: opt.Name = None, as_json: opt.Json = False,
    no_report: opt.NoReport = False, quiet: opt.Quiet = False,
) -> None:
    """Send a scenario's workload to a real endpoint; write the same results as `mmesim run`.

    Requests are sent at their times, whatever the answers: latency counts from
    the time at which a request was to be sent. When the generator itself was
    late, or out of CPU, it says so. What to send is taken from the model's
    configuration, which the endpoint tells, or from --input or --body. Ctrl-C
    ends a run early and keeps what there is (exit code 130).

    Examples:

      mmesim live load my.yaml --target http://127.0.0.1:8080 --speed 5

      mmesim live load my.yaml --target http://127.0.0.1:8000 --api kserve

      mmesim live load my.yaml --aws --endpoint-name my-endpoint --body x.json
    """
    try:
        from mmesim.live.load.aim import Aim
    except ImportError as error:
        raise missing(error) from error
    from mmesim.scenario.load import load_scenario
    if not speed > 0:
        raise InputError(Problem(f"{speed:g} is no speed", path="--speed", hint="10: ten times as fast as written"))
    loaded = load_scenario(scenario, [*(set_ or ()), *([f"duration={duration}"] if duration else ())])
    aim = Aim(target, api, endpoint_name or loaded.name, target_model, aws, _token(token_env),
              opt.seconds_of(timeout, "--timeout") if timeout else None, max_in_flight)
    built, make = _prepared(loaded, aim, opt.body_options(body, body_for, input_), speed)
    say: Say = (lambda _: None) if quiet else note
    result, folder = _load_to(built, make, aim, speed, out / (name or f"{loaded.name}-live"), bar=not quiet,
                              report=loaded.output.report and not no_report)
    show(result, folder, as_json, say)
    if result.partial:
        raise typer.Exit(EXIT_INTERRUPTED)


def _prepared(scenario: Scenario, aim: Aim, options: BodyOptions, speed: float) -> tuple[Build, Callable[[], Target]]:
    """Everything that can be wrong is found here, before anything is sent."""
    from mmesim.live.load.aim import take_aim
    from mmesim.live.load.speed import at_speed
    from mmesim.scenario.build import build
    quiet = scenario.output.model_copy(update={"trace": False})  # a client sees nothing to put there
    built = at_speed(build(scenario.model_copy(update={"output": quiet})), speed)
    return built, take_aim(built, aim, options)


def _load_to(built: Build, make: Callable[[], Target], aim: Aim, speed: float, folder: Path, *, bar: bool,
             report: bool) -> tuple[Run, Path]:
    """Send, count, write to `folder`; nothing is left behind when it fails."""
    from mmesim.live.load.run import load_test
    from mmesim.results.output import OutputWriter
    writer = OutputWriter(folder)
    facts = {"target": aim.shown, "api": str(aim.api), "speed": speed}
    try:
        with passing_time(built.scenario.name, built.duration_ns, wanted=bar) as show_progress:
            result = load_test(built, make, facts, max_in_flight=aim.most, out=writer,
                               progress=show_progress and _told(show_progress))
        result.write(writer)
        if report:
            from mmesim.report.html import write_report
            write_report(result, writer.path("report.html"))
        return result, writer.commit()
    except BaseException:
        writer.discard()
        raise


def _told(show_progress: Callable[[int, str], None]) -> Callable[[Progress], None]:
    """Rate since the last call, in flight, failed."""
    last = [0, 0]

    def tell(at: Progress) -> None:
        rate = (at.issued - last[1]) / max(1, at.now_ns - last[0]) * NS_PER_S
        last[:] = at.now_ns, at.issued
        show_progress(at.now_ns, f"{rate:,.0f}/s, {at.in_flight:,} in flight, {at.failed:,} failed")

    return tell


def _token(variable: str) -> str:
    """The bearer token in an environment variable. Raises InputError."""
    if variable and not os.environ.get(variable):
        raise InputError(Problem(f"there is no {variable} in the environment", path="--token-env"))
    return os.environ.get(variable, "").strip()
