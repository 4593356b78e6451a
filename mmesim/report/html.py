"""report.html: one file with everything in it, for light and dark, wide and narrow screens, and paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmesim.report import figures, fleet_figures, swimlanes, tables, theme
from mmesim.report.findings import findings
from mmesim.report.page import Figure, render_page, write_page
from mmesim.report.timeline import MAX_POINTS, Timeline, timeline
from mmesim.results.unmeasured import Part, measured

if TYPE_CHECKING:
    from mmesim.results.run import Run

STRIPS = (("GPUUtilization", "GPU use of each instance", "Share of time the GPU computes; the darker, the busier."),
          ("GPUMemoryUtilization", "GPU memory of each instance",
           "Share of the device's memory in use. Full memory is normal here; what matters is what must leave for it."),
          ("CPUUtilization", "CPU use of each instance",
           "Share of all vCPUs: extraction of archives, pre- and post-processing."),
          ("MemoryUtilization", "Host memory of each instance", "Share of the instance's memory in use."))


def write_report(run: Run, path: Path) -> None:
    """Draw the report and put it in place at once."""
    write_page(render_html(run), path)


def render_html(run: Run) -> str:
    """The whole page. The same run gives the same bytes."""
    time = timeline(run)
    with theme.house_style():
        request_figures, instance_figures = list(_request_figures(run, time)), list(_instance_figures(run, time))
    return render_page(
        "template.html", run=run.summary, about=tables.about(run), tiles=list(tables.tiles(run.summary)),
        targets=list(tables.targets(run.summary)), findings=findings(run.summary), figures=request_figures,
        lanes=_lanes(run, time), live=list(tables.live(run.summary)), instance_figures=instance_figures,
        latency=tables.latency(run.summary), time=tables.where_time_goes(run.summary),
        outcomes=list(tables.outcomes(run.summary)), cold=list(tables.cold_starts(run.summary)),
        worst=list(tables.worst_models(run)),
        fleet=list(tables.lives(run)), written=tables.as_yaml(run.details["written"]),
        resolved=tables.as_yaml(run.details["scenario"]), coarse=len(run.metrics) > MAX_POINTS)


def _request_figures(run: Run, time: Timeline) -> Iterator[Figure | None]:
    """In the order of the page; None: what it shows was not measured."""
    yield Figure("Latency over time", "Quantiles of all answers in each interval. p99 far above a calm p50 means cold "
                 "starts; all of them rising together means queueing.", figures.latency(run, time), wide=True)
    drawn: tuple[tuple[Part | None, str, str, Callable[..., str], tuple[Any, ...]], ...] = (
        (None, "Distribution of latency", "Answers by where the model was when the request came; both scales are "
         "logarithmic. Each hump is a kind of wait.", figures.distribution, ()),
        (None, "How many are slower", "Share of requests slower than x. Where the curve of all requests levels off, "
         "the rest was never answered.", figures.exceedance, ()),
        (Part.TIME, "Where time goes, over time", "Mean time of an answered request, by what it was spent on.",
         figures.where_time_goes, (time,)),
        (None, "Requests and failures", "What was asked, and what was not answered.", figures.traffic, (time,)),
        (Part.CACHE, "Hits and cold starts", "Cold starts by where the model's files were: loading from the instance's "
         "disk skips download and extraction.", figures.cache, (time,)),
        (Part.RESIDENCY, "Loads and evictions", "Red: loads of a model that the same instance had evicted within the "
         "last 10 min. Much red is thrashing.", figures.moves, (time,)))
    for part, title, caption, draw, arguments in drawn:
        known = part is None or measured(run.summary, part)
        yield Figure(title, caption, draw(run, *arguments)) if known else None


def _cost_figure(run: Run, time: Timeline) -> Figure:
    return Figure("Instances and their cost", "Paid for from launch, in service when provisioned and joined.",
                 fleet_figures.instances_and_cost(run, time))


def _instance_figures(run: Run, time: Timeline) -> Iterator[Figure]:
    if measured(run.summary, Part.INSTANCES):
        yield _cost_figure(run, time)
    if not measured(run.summary, Part.USE):
        return
    has_gpu = "GPUUtilization" in run.instances
    for metric, title, caption in STRIPS:
        if metric in run.instances and not (has_gpu and metric == "MemoryUtilization"):
            scale = run.details["instance_type"]["vcpus"] if metric == "CPUUtilization" else 1.0
            yield Figure(title, caption, fleet_figures.use_strips(run, time, metric, scale, title))


def _lanes(run: Run, time: Timeline) -> dict[str, Any] | None:
    if not measured(run.summary, Part.RESIDENCY):
        return None
    return {"svg": swimlanes.swim_lanes(run, time), "legend": swimlanes.legend(run), "note": swimlanes.note(run)}
