"""`mmesim plan`: the cheapest fleet that meets the objective."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmesim.cli.ending import EXIT_INTERRUPTED, EXIT_NOT_MET
from mmesim.cli.output import figure_formats, note, page, print_json
from mmesim.cli.progress import no_steps, steps
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.planner.plan.question import Question, Scaled
    from mmesim.profile import ModelProfile
    from mmesim.results.plan import Plan
    from mmesim.scenario.schema import Scenario

Say = Callable[[str], None]


def plan(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a packaged example.")],
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="PATH=VALUE", help="Override a setting, e.g. plan.instances.max=40. Repeatable.")] = None,
    instance_types: Annotated[str | None, typer.Option(
        metavar="TYPE,TYPE", help="Choose among these; default: multi-model types with the scenario's GPU.")] = None,
    instances: Annotated[str | None, typer.Option(metavar="MIN..MAX", help="Size of the fleet; default 1..20.")] = None,
    choose: Annotated[list[str] | None, typer.Option(
        metavar="PATH=V1,V2", help="A setting to choose; several make every combination.")] = None,
    tune: Annotated[list[str] | None, typer.Option(
        metavar="PATH=LOW..HIGH", help="A number to find, with its unit: 30..90, 1ms..20ms. Repeatable.")] = None,
    survive: Annotated[str | None, typer.Option(
        metavar="nothing|instance|zone", help="The objective also holds while that is lost.")] = None,
    confidence: Annotated[str | None, typer.Option(help="Of each claim (default 95%).")] = None,
    seeds: Annotated[int | None, typer.Option(min=3, max=1000, help="Of a candidate, at most; default 10.")] = None,
    check: Annotated[bool, typer.Option(
        "--check", help="Exit 1 when what is written misses the objective for sure, or nothing meets it.")] = False,
    check_cost: Annotated[str | None, typer.Option(
        metavar="10%", help="With --check: exit 1 also when it costs so much more than the plan.")] = None,
    no_reasons: Annotated[bool, typer.Option("--no-reasons", help="The plan alone: no limits, no growth.")] = False,
    processes: Annotated[int, typer.Option(help="At most so many at once; -1: one for each core.")] = -1,
    cluster: Annotated[str | None, typer.Option(metavar="tcp://…|ray://…", help="A Dask or Ray cluster.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for results; each plan gets OUT/<name>/.")] = Path("reports"),
    name: Annotated[str | None, typer.Option(help="Name of the plan; default: <scenario>-plan.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole plan as JSON.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do not draw report.html.")] = False,
    figures: Annotated[str | None, typer.Option(
        metavar="png,svg", help="The report's figures as files too, in OUT/<name>/figures.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no notes.")] = False,
) -> None:
    """Find the cheapest fleet, with its policies and settings, that meets the scenario's objective; say why.

    What may be chosen stands in the scenario's `plan` section, or in the options. Finished runs are stored: a plan that
    was stopped goes on where it was. OUT/<name>/ gets plan.json, report.html and deploy/ (SageMaker, CloudFormation,
    Terraform, live serve).

    Examples:

      mmesim plan quickstart

      mmesim plan my.yaml --instance-types ml.g4dn.xlarge,ml.g5.xlarge --instances 1..12 --survive instance

      mmesim plan my.yaml --choose endpoint.eviction.gpu=lru,gdsf --tune endpoint.autoscaling.0.target=30..90

      mmesim plan my.yaml --check --check-cost 10%
    """
    from mmesim.cli.plan_options import as_settings
    own = as_settings(instance_types=instance_types, instances=instances, choose=choose, tune=tune, survive=survive,
                      confidence=confidence, seeds=seeds)
    say: Say = (lambda _: None) if quiet else note
    question = _question(scenario, [*(set_ or ()), *own], out / (name or f"{Path(scenario).stem}-plan"), processes,
                         cluster)
    formats = figure_formats(figures)
    most_cost = None if check_cost is None else _more(check_cost)
    made, chosen = _planned(question, say, bar=not quiet, reasons=not no_reasons)
    _write(made, chosen, question.folder, say, formats, report=not no_report)
    _show(made, as_json)
    if check and (why := _failing(made, most_cost)):
        say(f"check: {why}")
        raise typer.Exit(EXIT_NOT_MET)


def _question(scenario: str, overrides: list[str], folder: Path, processes: int, cluster: str | None) -> Question:
    """Raises InputError when the folder holds something else."""
    from mmesim.parallel import Workers
    from mmesim.planner.plan.question import Question
    from mmesim.results.plan_files import check_folder
    check_folder(folder)
    return Question(scenario, overrides, folder, Workers(processes, cluster), _scaled, folder.name,
                    shlex.join(["mmesim", *sys.argv[1:]]))


def _scaled(profile: ModelProfile, gpu: str) -> Scaled | None:
    """By the rule of `mmesim profile scale`."""
    from mmesim.calibrate.serving.scaled import scaled_name, scaled_text
    from mmesim.calibrate.serving.scaling import curves_of_profiles, scaling
    from mmesim.planner.plan.question import Scaled
    from mmesim.profile import load_profile, profile_names
    if profile.file.latency is None:
        return None
    curves = curves_of_profiles(map(load_profile, profile_names()))
    rule = scaling(curves, profile.gpu, gpu, profile.file.backend, profile.file.precision)
    if rule is None:
        return None
    return Scaled(scaled_text(profile, rule, scaled_name(profile, gpu)), rule.described(), rule.median_error or 0.2)


def _planned(question: Question, say: Say, *, bar: bool, reasons: bool) -> tuple[Plan, Scenario | None]:
    """The plan, and the scenario as it has chosen."""
    from mmesim.dataplane.compiled import warm_up
    from mmesim.planner.answer.assemble import answer
    from mmesim.planner.plan.run import search
    show = steps if bar else no_steps
    question.check()
    warm_up(say)
    try:
        found = search(question, show, say)
        return answer(found, say, reasons=reasons), found.chosen.scenario if found.chosen else None
    except KeyboardInterrupt:
        say("stopped; what is finished is stored: the same command goes on from there")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _write(plan: Plan, chosen: Scenario | None, folder: Path, say: Say, formats: Sequence[str], *,
           report: bool) -> None:
    from mmesim.planner.deploy import write_deployment
    from mmesim.results.plan_files import DEPLOY, in_place, save
    with in_place(folder) as scratch:
        files = write_deployment(chosen, scratch / DEPLOY, name=chosen.name, notes=plan.notes) if chosen else []
        save(plan, scratch)
        if report:
            from mmesim.report.plan.html import write_plan_report
            write_plan_report(plan, scratch / "report.html", sorted(path.name for path in files))
        if formats:
            from mmesim.report.plan.html import write_plan_figures
            write_plan_figures(plan, scratch / "figures", formats)
    say(f"\nresults in {folder}/" + (f"; open {folder}/report.html" if report else ""))


def _show(plan: Plan, as_json: bool) -> None:
    if as_json:
        from mmesim.results.plan_files import as_json as as_data
        print_json(as_data(plan))
        return
    from mmesim.report.plan.terminal import print_plan
    with page() as console:
        print_plan(plan, console)


def _more(text: str) -> float:
    from mmesim.units import parse_fraction
    try:
        return parse_fraction(text)
    except ValueError as error:
        raise InputError(Problem(str(error), file="--check-cost", hint="e.g. --check-cost 10%")) from None


def _failing(plan: Plan, more: float | None) -> str:
    """Why the check fails; "": it does not."""
    if plan.chosen is None:
        return "nothing in the space meets the objective"
    written = next(one for one in plan.alternatives if one.kind == "as written")
    stands = next(option for option in plan.options if option.name == plan.written)
    if stands.status == "missed":
        return f"the scenario as written misses the objective: {stands.why}"
    best = plan.chosen.cost_per_month
    if more is not None and best and written.cost_per_month and written.cost_per_month > best.mean * (1 + more):
        return (f"the scenario as written costs ${written.cost_per_month:,.0f} a month, {plan.chosen.name} "
                f"${best.mean:,.0f}: more than {more:.0%} less")
    return ""
