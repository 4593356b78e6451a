"""The report of a plan: the answer, its reasons and every option on one page, whatever was found."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from dataclasses import replace
from html import escape
from pathlib import Path

import pandas as pd
import pytest
from html_pages import Checked
from plan_parts import PLANS, autoscaled, crowded, infeasible, level, mixed, per_model, ruled_out, single, unpriced
from rich.console import Console

from mmesim.errors import InputError
from mmesim.report.plan import front, tables, words
from mmesim.report.plan.html import downloads, render_plan, sheets, write_plan_figures, write_plan_report
from mmesim.report.plan.scale import Scale
from mmesim.report.plan.terminal import print_plan
from mmesim.results.comparison import Interval
from mmesim.results.plan import Commitment, Headroom, Limit, Plan, Swing, TargetFound
from mmesim.results.plan_files import as_json

FIGURES = {"autoscaled": ["limits", "headroom", "cost-and-latency", "tornado", "alternatives"],
           "infeasible": ["limits", "cost-and-latency", "alternatives"],
           "unpriced": ["limits", "headroom", "cost-and-latency", "tornado"], "single": [],
           "crowded": ["headroom", "cost-and-latency", "tornado", "alternatives"],
           "per_model": ["limits", "headroom", "cost-and-latency", "tornado", "alternatives"],
           "mixed": ["limits", "headroom", "cost-and-latency", "tornado", "alternatives"]}
HOSTILE = '<script>alert("1")</script> & \\1 $x$ {{ 7 * 7 }}'


def text_of(page: str) -> str:
    """What a reader sees."""
    main = page[page.index("<main>"):page.index("</main>")].replace("\u00a0", " ")
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", main))


def printed(plan: Plan, width: int = 140) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    print_plan(plan, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


# ---- the page


@pytest.mark.parametrize("name", PLANS)
def test_the_page_is_whole_and_needs_nothing_else(name: str) -> None:
    plan = PLANS[name]()
    page = render_plan(plan)
    checked = Checked(page)
    assert checked.outside == [] and checked.images == len(FIGURES[name])
    assert [sheet.file for sheet in sheets(plan)] == FIGURES[name]
    assert not re.search(r"url\((?!#)|@import|<link|https?://(?!www\.w3\.org|purl\.org)", page)
    assert "default-src 'none'" in page and "#fe00" not in page
    used, declared = set(re.findall(r"var\(--(\w+)\)", page)), set(re.findall(r"--(\w+):", page))
    assert used <= declared
    assert all(escape(option.name) in page for option in plan.options)
    assert "None" not in text_of(page) and "nan" not in re.findall(r"\w+", text_of(page))


def test_the_same_plan_gives_the_same_page(tmp_path: Path) -> None:
    write_plan_report(autoscaled(), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == render_plan(autoscaled())
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_answer_comes_first() -> None:
    plan = autoscaled()
    seen = text_of(render_plan(plan))
    assert plan.chosen is not None and plan.runner_up is not None
    order = [f"Deploy {plan.chosen.name}", "$3,568", plan.sentences[0], "What limits it", "Headroom",
             "Cost and latency", f"Runner-up: {plan.runner_up.name}", "Sensitivity", "Other endpoints",
             "When something is lost", "Commitments", "Cheapest first.", "What it rests on"]
    places = [seen.index(each) for each in order]
    assert places == sorted(places)


def test_nothing_found_is_said_with_what_blocks_and_what_could_be_met() -> None:
    plan = infeasible()
    seen = text_of(render_plan(plan))
    assert plan.nearest is not None
    assert "Nothing in the space meets the objective" in seen and f"Nearest: {plan.nearest.name}." in seen
    assert "p99 latency is 99.9 ms, 25 % above the limit of 80 ms." in seen
    assert "What blocks it: loads." in seen
    assert "The nearest objective that can be met: p99 latency at most 104 ms" in seen
    assert "Headroom" not in seen and "Deploy" not in seen


def test_nothing_at_all_can_be_said_too() -> None:
    out = [ruled_out("ml.g5.xlarge", n, "Its GPU would be busy 180 % of the time.") for n in (1, 2)]
    plan = replace(infeasible(), nearest=None, options=out, pareto=[], limits=[], alternatives=[], written="")
    seen = text_of(render_plan(plan))
    assert Checked(render_plan(plan)).images == 0
    assert "No option could be simulated" in seen and "None was simulated." in seen
    assert "at least $1,028" in seen and "2 ruled out without simulation" in seen
    assert "Nothing in the space meets the objective" in printed(plan)


def test_names_are_text_not_markup() -> None:
    plan = autoscaled()
    options = [replace(each, name=f"{HOSTILE} {each.name}", why=HOSTILE, settings={HOSTILE: HOSTILE},
                       instance_type=HOSTILE) for each in plan.options]
    chosen = next(each for each in options if each.status == "met")
    odd = replace(
        plan, name=HOSTILE, options=options, chosen=chosen, runner_up=options[-1], written=options[0].name,
        pareto=[each.name for each in options], sentences=[HOSTILE], notes=[HOSTILE], command="mmesim plan '<b>'",
        limits=[Limit(HOSTILE, HOSTILE, True, HOSTILE, 2.0, 1.0)], headroom=[Headroom("traffic", 1.0, 2.0, HOSTILE)],
        swings=[Swing(HOSTILE, HOSTILE, HOSTILE, HOSTILE, f"models.{HOSTILE}.p99_ms", 1.0, 2.0, 3.0, True, False)],
        alternatives=[replace(each, why=HOSTILE, parts=[{HOSTILE: HOSTILE}]) for each in plan.alternatives],
        commitments=[Commitment(HOSTILE, 1.0, 1, 2.0, 0.1)],
        survival=[TargetFound(f"p99_ms, {HOSTILE}", 1.0, "ms", level(2.0), "missed")])
    page = render_plan(odd, deploy=[HOSTILE])
    Checked(page)
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page and "<b>'" not in page
    assert page.count("<script>") == 1 and "{{ 7 * 7 }}" in text_of(page)
    assert HOSTILE[:8] in printed(odd)


def test_files_to_deploy_are_named_where_there_are_any() -> None:
    assert "Ready to use" not in render_plan(autoscaled())
    page = render_plan(autoscaled(), deploy=["endpoint.json", "autoscaling.json"])
    assert "Ready to use" in page and "<code>endpoint.json</code>" in page


def test_the_chosen_can_be_run_alone() -> None:
    plan = autoscaled()
    assert plan.chosen is not None
    assert words.how_to_run(plan, plan.chosen) == (
        "mmesim run day.yaml --set endpoint.instance_type=ml.g4dn.2xlarge --set endpoint.eviction.gpu=gdsf "
        "--set endpoint.instances=4")


def test_sixty_options_stay_a_modest_page(tmp_path: Path) -> None:
    write_plan_report(crowded(), tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 1e6
    table = render_plan(crowded())
    assert table.count('<th scope="row" data-v="') == 60


def test_figures_are_files_too(tmp_path: Path) -> None:
    paths = write_plan_figures(autoscaled(), tmp_path / "figures")
    files = [f"{name}.{kind}" for name in FIGURES["autoscaled"] for kind in ("png", "svg")]
    assert [path.name for path in paths] == files
    assert all(path.stat().st_size > 4000 for path in paths)
    first = paths[5].read_bytes()
    assert b"#fe00" not in first
    assert write_plan_figures(autoscaled(), tmp_path / "figures", ("svg",))[2].read_bytes() == first
    with pytest.raises(InputError):
        write_plan_figures(autoscaled(), tmp_path, ("gif",))


def test_downloads_hold_every_option_and_the_whole_plan() -> None:
    plan = autoscaled()
    table, whole = (base64.b64decode(each.uri.partition("base64,")[2]) for each in downloads(plan))
    read = pd.read_csv(io.BytesIO(table))
    assert list(read["option"]) == [each.name for each in plan.options]
    assert read["cost_per_month"].tolist() == pytest.approx([each.cost_per_month.mean for each in plan.options
                                                             if each.cost_per_month])
    assert json.loads(whole) == as_json(plan)


# ---- what stands in it


def test_ruled_out_options_stand_apart_with_their_reason() -> None:
    plan = autoscaled()
    examined, out = tables.rows(plan, False), tables.rows(plan, True)
    assert len(examined) + len(out) == len(plan.options) and {row.option.status for row in out} == {"ruled out"}
    assert out[0].cost.shown is not None and out[0].cost.shown.mean.startswith("at least $")
    assert all(row.option.why in text_of(render_plan(plan)) for row in out)


def test_many_targets_leave_the_tightest_in_the_table() -> None:
    plan = per_model(40)
    assert plan.chosen is not None
    shown = tables.columns(plan)
    assert shown[0] == "p99_ms" and len(shown) == tables.MOST_COLUMNS
    margins = [each.margin for each in plan.chosen.targets if each.name in shown[1:]]
    others = [each.margin for each in plan.chosen.targets if each.name not in shown and each.margin is not None]
    assert max(each for each in margins if each is not None) <= min(others)
    assert "and 37 more" in text_of(render_plan(plan))


def test_roles_name_each_option_once() -> None:
    plan = autoscaled()
    assert plan.chosen is not None and plan.runner_up is not None
    found = words.roles(plan)
    assert found[plan.chosen.name] == "chosen" and found[plan.runner_up.name] == "runner-up"
    cheaper = plan.option(next(name for name, role in found.items() if role == "next cheaper"))
    costs = [each.cost_per_month.mean for each in plan.options if each.is_whole and each.cost_per_month]
    assert cheaper.cost_per_month and plan.chosen.cost_per_month
    assert cheaper.cost_per_month.mean == max(cost for cost in costs if cost < plan.chosen.cost_per_month.mean)
    assert set(words.roles(single()).values()) == {"chosen"} and set(words.roles(infeasible()).values()) >= {"nearest"}


def test_effort_says_what_trying_all_would_have_taken() -> None:
    said = " ".join(tables.effort(autoscaled()))
    assert "86 runs" in said and "13.8 % of that was simulated" in said and "2 cores" in said
    assert tables.effort(single()) == []


# ---- numbers and names


@pytest.mark.parametrize(("name", "title", "unit"), [
    ("p99_ms", "p99 latency", "ms"), ("warm_p50_ms", "p50 latency of hits", "ms"),
    ("models.bert-*.p99_ms", "p99 latency of bert-*", "ms"), ("error_rate", "error rate", "ratio"),
    ("models.odd, v1.2.error_rate", "error rate of odd, v1.2", "ratio"), ("cost_per_hour", "cost per hour", "USD/h"),
    ("p99_ms, an instance lost", "p99 latency, an instance lost", "ms"),
    ("models.a.b.p99_ms, a zone lost", "p99 latency of a.b, a zone lost", "ms")])
def test_targets_have_names_and_units(name: str, title: str, unit: str) -> None:
    assert (words.target_title(name), words.unit_of(name)) == (title, unit)


@pytest.mark.parametrize(("cost", "mean", "interval"), [
    (Interval(3567.9, 3532.2, 3603.6, 5), "$3,568", "[3,532, 3,604]"), (Interval(686.2, 686.2, 686.2, 5), "$686", ""),
    (Interval(686.2, 686.1, 686.3, 5), "$686", ""), (Interval(12.4, 12.4, 12.4, 0), "$12.40", ""),
    (Interval(0.0, 0.0, 0.0, 3), "$0", ""), (Interval(900.0, -math.inf, math.inf, 1), "$900", "no interval"),
    (None, "price unknown", "")])
def test_costs_are_whole_dollars_with_an_interval_where_it_has_a_width(cost: Interval | None, mean: str,
                                                                      interval: str) -> None:
    shown = words.per_month(cost)
    assert (shown.mean, shown.interval) == (mean, interval)


def test_margins_say_on_which_side() -> None:
    def margin(mean: float, limit: float = 500.0) -> str:
        return words.margin(TargetFound("p99_ms", limit, "ms", level(mean), "open"))
    assert (margin(400.0), margin(600.0), margin(5000.0)) == ("20 % below", "20 % above", "10 × it")
    assert margin(1.0, 0.0) == "" and words.margin(TargetFound("p99_ms", 5.0, "ms", None, "met")) == ""


def test_headroom_in_words() -> None:
    assert words.headroom_words(Headroom("traffic", 1.5, 1.75, "p99_ms")) == \
        "up to 1.5 × as much holds; at 1.75 × p99 latency fails"
    assert words.headroom_words(Headroom("models", 8.0, None, "")) == \
        "up to 8 × as many holds; nothing failed up to there"
    assert words.headroom_words(Headroom("traffic", 1.0, 1.1, "")).startswith("no growth was seen to hold")


def test_what_binds_in_words() -> None:
    plan = autoscaled()
    assert words.binding(plan) == "GPU memory"
    assert "no single resource" in words.binding(replace(plan, limits=[replace(each, binds=False)
                                                                       for each in plan.limits]))
    two = words.binding(replace(plan, limits=[replace(each, binds=True) for each in plan.limits[:2]]))
    assert two == "GPU memory and GPU time: either would do alone"


def test_different_targets_share_a_scale_as_multiples_of_their_limits() -> None:
    plan = per_model()
    same = Scale.of(plan, ["p99_ms", "p99_ms"])
    assert same.at("p99_ms", 400.0) == 400.0 and same.limit == 800.0 and same.text(400.0) == "400 ms"
    both = Scale.of(plan, ["p99_ms", "models.bert-*.p99_ms"])
    assert both.at("p99_ms", 400.0) == 0.5 and both.limit == 1.0 and both.text(0.5) == "0.5 ×"
    assert both.at("models.bert-*.p99_ms", None) is None and both.at("unheard_of", 1.0) is None


def test_without_prices_instances_stand_in_their_place() -> None:
    plan = unpriced()
    assert not front.is_priced(plan) and len(front.points(plan)) == len(plan.options)
    seen = text_of(render_plan(plan))
    assert "No price is known" in seen and "the catalog has no price" in seen
    assert all(row.cost.shown is None for row in tables.rows(plan, False))
    assert not front.can_be_drawn(single())


def test_a_front_of_ratios_is_drawn_too() -> None:
    Checked(render_plan(replace(autoscaled(), front="cache.cold_start_ratio")))
    none = [replace(each, values={}) for each in autoscaled().options]
    assert not front.can_be_drawn(replace(autoscaled(), options=none))


# ---- the terminal


@pytest.mark.parametrize("name", PLANS)
def test_the_answer_fits_one_screen(name: str) -> None:
    plan = PLANS[name]()
    text = printed(plan)
    assert text.count("\n") <= 42
    answer = plan.chosen or plan.nearest
    assert answer is not None and answer.name.split(",")[0] in re.sub(r"\s+", " ", text)
    assert all(len(line) <= 80 for line in printed(plan, 80).splitlines())


def test_the_terminal_says_what_and_why() -> None:
    text = re.sub(r"\s+", " ", printed(autoscaled(), 200))
    for said in ("Deploy at least 4 x ml.g4dn.2xlarge, gdsf", "$3,568 [3,533, 3,604]", "409 ms [392, 425]", "≤ 500 ms",
                 "runner-up", "as written", "next cheaper", "limited by GPU memory",
                 "traffic: up to 1.5 × as much holds", "serverless: not possible"):
        assert said in text
    blocked = re.sub(r"\s+", " ", printed(infeasible()))
    assert "Nothing in the space meets the objective" in blocked and "blocked by loads" in blocked
    assert "as written: falls short" in re.sub(r"\s+", " ", printed(mixed()))
