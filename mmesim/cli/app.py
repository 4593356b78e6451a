"""The `mmesim` program: its commands, and how it ends.

Exit codes: 0 ok, 1 the objective is missed (`--check`), 2 wrong input, 3 our own mistake (traceback), 130 Ctrl-C.
"""

from __future__ import annotations

import sys

import typer

from mmesim import __version__
from mmesim.cli import policies, results, run, scenarios, system
from mmesim.errors import InputError, format_problems

EXIT_WRONG_INPUT = 2
EXIT_INTERNAL = 3
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="mmesim", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Simulate a multi-model GPU endpoint (SageMaker MME with Triton) before you pay for it.",
    epilog="Examples:  [bold]mmesim run quickstart[/bold]   ·   mmesim init   ·   mmesim run my.yaml "
           "--set endpoint.instances=4   ·   mmesim doctor")

app.command("run")(run.run)
app.command("report")(results.report)
app.command("init")(scenarios.init)
app.command("schema")(scenarios.schema)
app.command("check-policy")(policies.check_policy)
app.command("policies")(policies.policies)
app.command("catalog")(system.catalog)
app.command("doctor")(system.doctor)
app.add_typer(system.profile_app, name="profile")


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and end.")) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the program and end it with the right exit code."""
    try:
        app()
    except InputError as error:
        print(format_problems(error), file=sys.stderr)
        sys.exit(EXIT_WRONG_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception:
        import traceback
        traceback.print_exc()
        print(f"\nThis is a mistake in mmesim {__version__}, not in your input. Please report it with the lines above "
              "and the scenario.", file=sys.stderr)
        sys.exit(EXIT_INTERNAL)
