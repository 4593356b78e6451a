"""The report: one file that needs nothing else, with every figure and number, whatever the run was like."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from html_pages import Checked
from rich.console import Console
from small_run import small_run

from mmesim.report import swimlanes, wording
from mmesim.report.findings import findings
from mmesim.report.html import render_html, write_report
from mmesim.report.terminal import print_summary
from mmesim.report.timeline import coarse, timeline
from mmesim.results.run import Run

TITLES = ("Latency over time", "Distribution of latency", "How many are slower", "Where time goes, over time",
          "Requests and failures", "Hits and cold starts", "Loads and evictions", "Which models were on which instance",
          "Instances and their cost", "CPU use of each instance")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("small")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return small_run(folder)


@pytest.fixture(scope="module")
def page(run: Run) -> str:
    return render_html(run)


def test_the_page_is_whole_and_needs_nothing_else(page: str) -> None:
    checked = Checked(page)
    assert checked.outside == [] and checked.images == len(TITLES) + 2
    assert not re.search(r"url\((?!#)|@import|<script|<link", page)
    for title in (*TITLES, "GPU use of each instance", "GPU memory of each instance"):
        assert f"<h3>{title}</h3>" in page


def test_figures_follow_the_theme(page: str) -> None:
    assert "#fe00" not in page, "a stand-in colour was left"
    used, declared = set(re.findall(r"var\(--(\w+)\)", page)), set(re.findall(r"--(\w+):", page))
    assert used <= declared and {"ink", "blue", "amber"} <= used
    drawn = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", page))
    assert drawn <= {"#ffffff"}, f"colours that do not follow the theme: {drawn}"


def test_numbers_of_the_summary_are_on_the_page(page: str, run: Run) -> None:
    latency, cost = run.summary["latency"]["all"], run.summary["cost"]
    for text in (wording.ms(latency["p99"]), wording.percent(run.summary["cache"]["hit_ratio"]),
                 wording.money(cost["per_hour"]), wording.money(cost["per_month"]),
                 wording.money(cost["per_million_invocations"]), "mmesim run small.yaml", "instance crashed"):
        assert text in page, text
    for name, each in run.summary["requests"]["failures"].items():
        assert wording.FAILURES[name] in page and str(each["http_status"]) in page
    assert "nan" not in re.sub(r"<[^>]*>", " ", page).lower().split()


def test_the_same_run_gives_the_same_page(page: str, run: Run, folder: Path) -> None:
    write_report(Run.load(folder / "out"), folder / "report.html")
    assert (folder / "report.html").read_text() == page == render_html(run)
    assert not list(folder.glob(".*")), "no draft is left"


def test_names_are_text_not_markup(run: Run) -> None:
    lanes, models = run.lanes.copy(), run.models.copy()
    for table in (lanes, models):
        table["model"] = "<b>&" + table["model"]
    summary = {**run.summary, "description": "<script>alert(1)</script>"}
    page = render_html(replace(run, summary=summary, lanes=lanes, models=models))
    Checked(page)
    assert "<script>" not in page and "<b>&" not in page and "&lt;b&gt;&amp;" in page


@pytest.mark.parametrize("overrides", [
    ("workload.arrivals.rate_rps=0.000001", "duration=2m", "warmup=0s"),
    ("duration=95s", "faults=[]", "workload.surges=[]"),
    ("endpoint.instance_type=ml.m5.2xlarge", "models=[{profile: xgboost-cpu, count: 3}]", "faults=[]", "duration=3m"),
    ("output.interval=1s",), ("objective={}", "faults=[{use: zone_loss, at: 2m, zone: 0, for: 1m}]")],
    ids=["nothing asked", "five seconds", "no GPU", "many rows", "no objective"])
def test_any_run_can_be_drawn(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    odd = small_run(tmp_path, *overrides)
    Checked(render_html(odd))
    print_summary(odd, Console(width=100, file=(tmp_path / "terminal").open("w")))


# ---- swim lanes


def bars(svg: str, name: str, instance: int) -> float:
    """Pixels covered by the solid bars of a model on an instance."""
    group = re.search(rf"<title>{name} on instance {instance}:.*?</g>", svg)
    if group is None:
        return 0.0
    solid = re.findall(r'<path d="([^"]*)"/>', group[0])[0]
    return sum(float(width) for width in re.findall(r"h([\d.]+)v", solid))


def test_bars_are_as_long_as_the_models_were_ready(run: Run) -> None:
    time = timeline(run)
    svg = swimlanes.swim_lanes(run, time)
    pixels_per_ns = (swimlanes.WIDTH - swimlanes.LEFT - swimlanes.RIGHT) / (time.end_s * 1e9)
    chosen = swimlanes.choose(run)
    compared = 0
    for (instance, name), stays in run.lanes.groupby(["instance", "model"]):
        until = stays["unload_ns"].where(stays["unload_ns"] >= 0, stays["end_ns"])
        held_ns = (until - stays["ready_ns"])[stays["ready_ns"] >= 0].sum()
        if name in chosen.names:
            assert bars(svg, name, instance) == pytest.approx(held_ns * pixels_per_ns, abs=0.6 * len(stays) + 0.6)
            compared += 1
    assert compared > 12


def test_all_others_are_one_area(run: Run) -> None:
    chosen = swimlanes.choose(run)
    assert len(chosen.names) == swimlanes.MOST_MODELS and chosen.others == 26 - swimlanes.MOST_MODELS
    requests = run.models.set_index("model")["Invocations"]
    assert requests[list(chosen.names[:8])].min() >= requests.drop(list(chosen.names)).max()
    others = run.lanes[~run.lanes["model"].isin(chosen.names) & (run.lanes["instance"] == 0)
                       & (run.lanes["ready_ns"] >= 0)]
    until = others["unload_ns"].where(others["unload_ns"] >= 0, others["end_ns"]).to_numpy()
    ready = others["ready_ns"].to_numpy()
    most = max(int(((ready <= at) & (until > at)).sum()) for at in ready)
    svg = swimlanes.swim_lanes(run, timeline(run))
    assert abs(int(re.search(r"at most (\d+) at once", svg)[1]) - most) <= 1, "what falls into one pixel may cancel"


def test_many_instances_are_a_choice_that_is_told(run: Run) -> None:
    lives = [{"number": n, "slot": n, "zone": 0, "launched_ns": 0, "joined_ns": n * 10**9, "ended_ns": None,
              "reason": ""} for n in range(60)]
    crowded = replace(run, details={**run.details, "fleet": lives})
    shown = [[life.number for life in lives] for lives in swimlanes.shown_slots(crowded)]
    assert shown == [[n] for n in range(swimlanes.MOST_LANES)]
    assert "the first 24 of 60 lanes" in swimlanes.note(crowded)


def test_instances_that_follow_each_other_share_a_lane(run: Run) -> None:
    lanes = [[life.number for life in lives] for lives in swimlanes.shown_slots(run)]
    assert [1, 3] in lanes and sorted(number for lane in lanes for number in lane) == [0, 1, 2, 3]


# ---- series, words


def test_coarse_rows_keep_sums_and_the_worst(run: Run) -> None:
    few = coarse(run.metrics, 5)
    assert len(few) <= 5 and few["Invocations"].sum() == run.metrics["Invocations"].sum()
    assert few["latency_p99_ms"].max() == run.metrics["latency_p99_ms"].max()
    assert (few["start_s"].iloc[0], few["end_s"].iloc[-1]) == (0, 540)
    assert coarse(run.metrics) is run.metrics


@pytest.mark.parametrize(("fraction", "text"), [
    (0.0, "0 %"), (1.0, "100 %"), (0.5, "50.0 %"), (0.9995, "99.950 %"), (0.00012, "0.012 %"), (None, "–")])
def test_percentages_are_told_from_nothing_and_all(fraction: float | None, text: str) -> None:
    assert wording.percent(fraction) == text


@pytest.mark.parametrize(("dollars", "text"), [
    (0.0, "$0.00"), (0.012, "$0.012"), (1.88, "$1.88"), (999.5, "$999.50"), (12345.6, "$12,346"), (None, "–")])
def test_money(dollars: float | None, text: str) -> None:
    assert wording.money(dollars) == text


def test_units_stay_with_their_numbers() -> None:
    assert wording.unbroken("10.9 % of 20 models in 3 min") == "10.9\u00a0% of 20 models in 3\u00a0min"


def changed(summary: dict[str, Any], **parts: dict[str, Any]) -> dict[str, Any]:
    return {name: {**value, **parts[name]} if name in parts else value for name, value in summary.items()}


def test_findings_speak_when_there_is_something_to_say(run: Run) -> None:
    calm = changed(run.summary, objective={"targets": {}}, requests={"error_rate": 0.0}, residency={"loads": 0},
                   use={"gpu": {"mean": 50.0, "peak": 60.0}, "cpu": {"mean": 50.0, "peak": 60.0}},
                   instances={"ended": {}}, time={name: {"share": 0.0} for name in run.summary["time"]})
    assert findings(calm) == []
    missed = {"targets": {"p99_ms": {"target": 1000, "value": 2500, "met": False, "attainment": 0.97}}}
    assert findings(changed(calm, objective=missed)) == [
        "Objective missed: p99 latency is 2.5 s, asked for was 1 s; 97.0 % of all requests were answered within it."]
    assert "Thrashing" in findings(changed(calm, residency={"loads": 100, "thrash": {
        "reload_share": 0.5, "reload_window_s": 600.0}}))[0]
    assert "stopped" in findings(changed(calm, run={"partial": True}))[0]


def test_the_terminal_says_it_all(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        print_summary(run, Console(width=130, file=file))
    text = (tmp_path / "out").read_text()
    summary = run.summary
    for expected in ("small", "hit ratio", "from disk", "from S3", "p99.9", "GPU memory", "thrash", "per million",
                     wording.ms(summary["latency"]["warm"]["p99"]), wording.money(summary["cost"]["per_month"]),
                     wording.count(summary["requests"]["invocations"]), "instance crashed"):
        assert expected in text, expected
    assert max(map(len, text.splitlines())) <= 130 and np.all([ord(c) >= 32 or c == "\n" for c in text])
