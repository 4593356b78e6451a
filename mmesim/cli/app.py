"""The `mmesim` program: its commands. How they end stands in :mod:`mmesim.cli.ending`."""

from __future__ import annotations

import typer

from mmesim import __version__
from mmesim.cli import (
    calibrate,
    compare,
    explain,
    plan,
    policies,
    profile_analyze,
    profile_fit,
    profile_import,
    profile_scale,
    profile_show,
    profile_validate,
    replay,
    results,
    run,
    scenarios,
    sweep,
    system,
    trace_describe,
    trace_fit,
    trace_import,
    twins,
    what_if,
)
from mmesim.cli.ending import ended
from mmesim.cli.live import live

EPILOG = """Start with a packaged example, from any folder:

  mmesim run quickstart

Copy the examples, to read and to change:

  mmesim init  &&  mmesim run scenarios/quickstart.yaml --set seed=8

Exit codes: 0 ok, 1 objective missed (run, plan --check), 2 wrong input, 3 a mistake of ours, 130 stopped by Ctrl-C."""

app = typer.Typer(
    name="mmesim", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG,
    help="Simulate a multi-model GPU endpoint (SageMaker MME with Triton) before you pay for it.")

COMMANDS = {"run": run.run, "compare": compare.compare, "sweep": sweep.sweep, "plan": plan.plan,
            "explain": explain.explain, "replay": replay.replay, "report": results.report, "what-if": what_if.what_if,
            "init": scenarios.init, "schema": scenarios.schema, "twins": twins.twins, "policies": policies.policies,
            "check-policy": policies.check_policy, "catalog": system.catalog, "doctor": system.doctor}
for _name, _command in COMMANDS.items():
    app.command(_name)(ended(_command))

profile_app = typer.Typer(no_args_is_help=True, help="Model profiles: shipped, measured, imported, fitted, validated.")
PROFILE_COMMANDS = {"list": profile_show.profile_list, "show": profile_show.profile_show,
                    "analyze": profile_analyze.profile_analyze,
                    "import": profile_import.profile_import,
                    "fit": profile_fit.profile_fit,
                    "scale": profile_scale.profile_scale,
                    "validate": profile_validate.profile_validate}
for _name, _command in PROFILE_COMMANDS.items():
    profile_app.command(_name)(ended(_command))
app.add_typer(profile_app, name="profile")

trace_app = typer.Typer(no_args_is_help=True, help="Request traces: import, describe, fit a synthetic workload.")
TRACE_COMMANDS = {"import": trace_import.trace_import, "describe": trace_describe.trace_describe,
                  "fit": trace_fit.trace_fit}
for _name, _command in TRACE_COMMANDS.items():
    trace_app.command(_name)(ended(_command))
app.add_typer(trace_app, name="trace")

calibrate_app = typer.Typer(no_args_is_help=True, help="What was measured elsewhere, predicted from its beginning.")
calibrate_app.command("load-test")(ended(calibrate.load_test))
app.add_typer(calibrate_app, name="calibrate")
app.add_typer(live, name="live")


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and end.")) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the program."""
    app()
