"""The report of a comparison: every number with its interval, the bound last, whatever was compared."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from comparison_example import example, interval
from html_pages import Checked

from mmesim.core.types import Tier
from mmesim.errors import InputError
from mmesim.report import intervals
from mmesim.report.comparison import intervals as changes
from mmesim.report.comparison import scatter, tables
from mmesim.report.comparison.data import downloads, variants_csv
from mmesim.report.comparison.html import render_comparison, write_comparison_figures, write_comparison_report
from mmesim.report.comparison.lines import thinned
from mmesim.report.comparison.looks import looks
from mmesim.report.comparison.models import against_baseline, rankings
from mmesim.report.comparison.rows import cold_total
from mmesim.report.theme import NAME_LENGTH, shorten
from mmesim.results.comparison import METRICS, Comparison, Interval

FILES = ["differences", "latency-tail", "memory-curve", "trade-off", "cold-starts", "models", "over-time"]


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return example(4, models=60)


@pytest.fixture(scope="module")
def page(comparison: Comparison) -> str:
    return render_comparison(comparison)


# ---- the page


def test_the_page_is_whole_and_needs_nothing_else(page: str) -> None:
    checked = Checked(page)
    assert checked.outside == [] and checked.images == len(FILES)
    assert not re.search(r"url\((?!#)|@import|<link|https?://(?!www\.w3\.org|purl\.org)", page)
    assert "#fe00" not in page, "a stand-in colour was left"
    used, declared = set(re.findall(r"var\(--(\w+)\)", page)), set(re.findall(r"--(\w+):", page))
    assert used <= declared


def test_the_order_is_baseline_ranking_bound(page: str, comparison: Comparison) -> None:
    table = page[page.index('class="sortable main"'):page.index("</table>")]
    named = [re.sub("<[^>]*>", "", text) for text in re.findall(r'<th scope="row".*?</th>', table)]
    assert comparison.bound is not None
    assert named == [f"{comparison.baseline.name} baseline", *(each.name for each in comparison.variants[1:]),
                     f"{comparison.bound.name} bound"]
    assert table.index("<tfoot>") < table.index(comparison.bound.name)


def test_no_number_without_its_interval(page: str, comparison: Comparison) -> None:
    table = page[page.index('class="sortable main"'):page.index("</table>")]
    assert table.count("<b>") == len(re.findall(r"</b><span class=\"interval\">\[", table)) > 80
    changes = re.findall(r'<span class="change[^"]*">([^<]*)<span class="interval">\[', table)
    assert len(changes) == table.count('<span class="change') == 3 * len(comparison.metrics)


def test_the_same_comparison_gives_the_same_page(page: str, comparison: Comparison, tmp_path: Path) -> None:
    write_comparison_report(comparison, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == page
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_names_are_text_not_markup(comparison: Comparison) -> None:
    name = '<b>&"\\1 $x$'
    variants = [replace(comparison.baseline, name=name), *comparison.variants[1:]]
    odd = replace(comparison, name=name, variants=variants,
                  cells=comparison.cells.replace(comparison.baseline.name, name),
                  models=comparison.models.replace(comparison.baseline.name, name))
    page = render_comparison(odd)
    Checked(page)
    assert "<b>&" not in page and "&lt;b&gt;&amp;" in page


@pytest.mark.parametrize("odd", [
    {"variants": 2, "seeds": 1, "curve": False}, {"variants": 1}, {"variants": 3, "priced": False, "bounded": False},
    {"variants": 3, "seeds": 2, "missing": [each.key for each in METRICS if each.key not in (
        "cache.hit_ratio", "residency.loads")]}], ids=["one seed", "alone", "no price, no bound", "hardly a metric"])
def test_any_comparison_can_be_drawn(odd: dict[str, object]) -> None:
    Checked(render_comparison(example(models=8, **odd)))  # type: ignore[arg-type]


def test_nothing_asked_nothing_answered(comparison: Comparison) -> None:
    """Tables without rows, and latencies that do not exist."""
    hollow = replace(comparison, models=comparison.models.iloc[:0], series=comparison.series.iloc[:0], verdicts=[],
                     curve=comparison.curve.iloc[:0], scenario={"objective": {}}, timing={}, bound=None,
                     variants=[replace(each, sketch=np.zeros_like(each.sketch), met_objective=None)
                               for each in comparison.variants])
    page = render_comparison(hollow)
    assert Checked(page).images == 3 and "--memory" in page
    unknown = comparison.models.assign(mean_ms=math.nan)
    Checked(render_comparison(replace(comparison, models=unknown)))


def test_one_seed_says_so_and_colours_nothing(tmp_path: Path) -> None:
    page = render_comparison(example(2, seeds=1, models=8))
    table = page[page.index('class="sortable main"'):page.index("</table>")]
    assert "one seed (1): no interval" in page and "[" not in re.sub("<[^>]*>", "", table)
    assert table.count("<b>") <= table.count(intervals.NO_INTERVAL)
    assert 'class="change better"' not in table and 'class="change worse"' not in table


def test_thirty_variants_of_5000_models_stay_a_modest_file(tmp_path: Path) -> None:
    write_comparison_report(example(30, models=5000), tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 5e6
    text = (tmp_path / "report.html").read_text()
    assert "22 others" in text and "1,200 models asked for most are drawn, of 5,000" in text


def test_figures_are_files_too(comparison: Comparison, tmp_path: Path) -> None:
    paths = write_comparison_figures(comparison, tmp_path / "figures")
    assert [path.name for path in paths] == [f"{name}.{kind}" for name in FILES for kind in ("png", "svg")]
    assert all(path.stat().st_size > 5000 for path in paths)
    assert "#fe00" not in (tmp_path / "figures" / "models.svg").read_text()
    first = paths[1].read_bytes()
    assert write_comparison_figures(comparison, tmp_path / "figures", ("svg",))[0].read_bytes() == first
    with pytest.raises(InputError):
        write_comparison_figures(comparison, tmp_path, ("gif",))


# ---- numbers


@pytest.mark.parametrize(("value", "unit", "mean", "ends"), [
    (Interval(0.82349, 0.8222, 0.8247, 5), "ratio", "82.35 %", "[82.22, 82.47]"),
    (Interval(2513.0, 2433.0, 2593.0, 5), "ms", "2.51 s", "[2.43, 2.59]"),
    (Interval(14.2, 14.2, 14.2, 5), "ms", "14.2 ms", "[14.2, 14.2]"),
    (Interval(3.78, 3.78, 3.7800000000000002, 5), "USD/h", "$3.78/h", "[3.78, 3.78]"),
    (Interval(14581.0, 12063.0, 17099.0, 5), "", "14,581", "[12,063, 17,099]"),
    (Interval(0.0, 0.0, 0.0, 5), "ratio", "0 %", "[0, 0]"),
    (Interval(7.0, -math.inf, math.inf, 1), "", "7.00", "no interval")])
def test_numbers_have_the_digits_their_interval_bears(value: Interval, unit: str, mean: str, ends: str) -> None:
    text = intervals.shown(value, unit)
    assert (text.mean, text.interval) == (mean, ends)


def test_a_difference_carries_its_sign() -> None:
    text = intervals.shown(Interval(-0.161, -0.177, -0.146, 5), "ratio", signed=True)
    assert (text.mean, text.interval) == ("−16.1 %", "[−17.7, −14.6]")
    assert intervals.shown(Interval(0.05, -0.01, 0.11, 5), "ratio", signed=True).interval == "[−1, +11]"


def test_better_and_worse_only_when_the_sign_is_known(comparison: Comparison) -> None:
    variant, metric = comparison.variants[1], comparison.metric("latency.all.p99")
    for value, expected in (((-2.0, -3.0, -1.0), "better"), ((2.0, 1.0, 3.0), "worse"), ((2.0, -1.0, 5.0), "")):
        changed = replace(variant, differences={metric.key: Interval(*value, 5)}, relative={})
        assert changes.verdict(changed, metric) == expected
        in_part = replace(variant, relative={metric.key: Interval(*value, 5)})
        assert changes.verdict(in_part, metric) == expected, "what is coloured is what is shown"
    assert changes.verdict(replace(variant, differences={"use.gpu.mean": Interval(2, 1, 3, 5)}),
                             comparison.metric("use.gpu.mean")) == ""


def test_ratios_differ_in_points_and_a_zero_baseline_in_its_unit(comparison: Comparison) -> None:
    variant = comparison.variants[1]
    value, unit = changes.change(variant, comparison.metric("cache.hit_ratio")) or (None, "")
    assert unit == "points" and value == variant.differences["cache.hit_ratio"]
    bare = replace(variant, relative={})
    assert changes.change(bare, comparison.metric("load_s")) == (variant.differences["load_s"], "s")
    assert changes.change(comparison.baseline, comparison.metric("load_s")) is None


def test_the_sum_of_cold_starts_has_its_own_interval(comparison: Comparison) -> None:
    """The tiers of a seed go together, so the interval of the sum is not the sum of intervals."""
    cells = comparison.cells[comparison.cells["variant"] == "gdsf"]
    total = cells["cache.cold_starts.disk"] + cells["cache.cold_starts.s3"] + cells["cache.cold_starts.failed"]
    assert cold_total(comparison, "gdsf") == interval(total)


# ---- what is against what


def test_the_front_is_what_no_other_beats() -> None:
    points = {"cheap": (1.0, 9.0), "dear": (3.0, 2.0), "beaten": (2.0, 9.5), "middle": (2.0, 5.0), "same": (3.0, 2.0)}
    assert scatter.front(points) == ["cheap", "middle", "dear"]


def test_p99_stands_against_what_varies(comparison: Comparison) -> None:
    assert scatter.price_of(comparison).key == "cost.per_hour"  # type: ignore[union-attr]
    unpriced = scatter.price_of(example(4, priced=False, models=5))
    assert unpriced is not None and unpriced.key == "instances.mean" and "No price" in unpriced.why
    same = scatter.price_of(example(2, models=5))
    assert same is not None and same.key == "cache.hit_ratio" and "same" in same.why
    assert scatter.price_of(example(2, models=5, missing=["latency.all.p99"])) is None


def test_winners_save_the_most_waiting(comparison: Comparison) -> None:
    name = comparison.variants[1].name
    models, ranking = against_baseline(comparison, name), rankings(comparison)[0]
    assert models["saved_s"].to_numpy() == pytest.approx(
        models["invocations"] * (models["before_ms"] - models["after_ms"]) / 1e3)
    assert [row[0].text for row in ranking.winners] == list(models.nlargest(10, "saved_s")["model"])
    assert [row[0].text for row in ranking.losers] == list(models.nsmallest(10, "saved_s")["model"])


def test_a_variant_like_the_baseline_has_no_winners(comparison: Comparison) -> None:
    base, twin = (each.name for each in comparison.variants[:2])
    own = comparison.models[comparison.models["variant"] == base]
    others = comparison.models[~comparison.models["variant"].isin([base, twin])]
    models = pd.concat([own, own.assign(variant=twin), others])
    page = render_comparison(replace(comparison, models=models))
    assert "no model is faster or slower" in page
    assert re.findall(r"<details open><summary>.*?</svg>(.*?) <", page) == [comparison.variants[2].name]


def test_long_names_keep_both_ends() -> None:
    names = [f"gdsf, cost=aggregate_delay, half_life={k}min, {n} instances" for k in (1, 10) for n in (3, 4)]
    assert all(len(shorten(name)) == NAME_LENGTH and shorten(name).startswith("gdsf, cost") for name in names)
    assert shorten(names[0]).endswith("3 instances") and shorten("short") == "short"


def test_a_variant_looks_the_same_everywhere_and_like_no_other() -> None:
    all_looks = list(looks(example(8, models=5)).values())[:-1]
    assert len({(look.colour, look.dash, look.marker) for look in all_looks}) == 8
    assert len({look.colour for look in all_looks}) == len({look.marker for look in all_looks}) == 8


def test_thin_series_keep_counts_and_the_worst(comparison: Comparison) -> None:
    table = comparison.series[comparison.series["variant"] == "gdsf"]
    few = thinned(table, 10)
    assert len(few) <= 10 and few["loads"].sum() == pytest.approx(table["loads"].sum())
    assert few["interval_s"].sum() == table["interval_s"].sum() and few["p99_ms"].max() == table["p99_ms"].max()
    mean = np.average(table["hit_ratio"], weights=table["invocations"])
    assert np.average(few["hit_ratio"], weights=few["invocations"]) == pytest.approx(mean)


# ---- to take along


def test_downloads_hold_the_numbers(comparison: Comparison) -> None:
    files = {each.file: base64.b64decode(each.uri.partition("base64,")[2]).decode() for each in downloads(comparison)}
    runs = pd.read_csv(io.StringIO(files[f"{comparison.name}-runs.csv"]))
    assert len(runs) == 20 and runs["latency.all.p99"].tolist() == pytest.approx(comparison.cells["latency.all.p99"])
    table = pd.read_csv(io.StringIO(files[f"{comparison.name}-variants.csv"])).set_index(["variant", "metric"])
    gdsf = next(each for each in comparison.variants if each.name == "gdsf")
    assert table.loc[("gdsf", "latency.all.p99"), "relative_low"] == pytest.approx(
        gdsf.relative["latency.all.p99"].low, rel=1e-5)
    whole = json.loads(files[f"{comparison.name}.json"])
    assert [each["name"] for each in whole["variants"]] == [each.name for each in comparison.variants]
    assert len(whole["cells"]) == 20 and len(whole["curve"]) == len(comparison.curve)


def test_an_interval_that_is_not_there_is_empty() -> None:
    table = pd.read_csv(io.StringIO(variants_csv(example(2, seeds=1, models=5))))
    assert table["mean"].notna().all() and table["low"].isna().all() and table["difference_high"].isna().all()


def test_who_meets_the_objective_is_told(comparison: Comparison) -> None:
    told = tables.objective(comparison)
    assert told["targets"] == ["p99 latency at most 9 s", "error rate at most 1.0 %"]
    assert told["kinds"] == {"met": ([], -6), "missed": ([each.name for each in comparison.variants], -2)}
    assert tables.objective(replace(comparison, scenario={"objective": {"p99_ms": None}})) == {}


@pytest.mark.parametrize(("value", "unit", "mean"), [
    (Interval(0.0, 0.0, 0.0, 3), "s", "0 s"), (Interval(4e-17, -1e-16, 2e-16, 3), "s", "0 s"),
    (Interval(0.0, 0.0, 0.0, 3), "ms", "0 ms"), (Interval(1e-12, 0.0, 2e-12, 3), "USD", "$0")])
def test_nothing_is_written_in_the_unit_itself(value: Interval, unit: str, mean: str) -> None:
    assert intervals.shown(value, unit) == intervals.Shown(mean, "[0, 0]")
    alone = Interval(value.mean, -math.inf, math.inf, 1)
    assert intervals.shown(alone, unit) == intervals.Shown(mean, intervals.NO_INTERVAL)


@pytest.mark.parametrize("tiers", [slice(Tier.DISK, None), slice(Tier.GPU, Tier.GPU + 1), slice(None)],
                         ids=["no cold start", "no hit", "no answer"])
def test_answers_of_one_kind_only_can_be_drawn(comparison: Comparison, tiers: slice, tmp_path: Path) -> None:
    def without(sketch: np.ndarray) -> np.ndarray:
        return np.where(np.isin(np.arange(len(sketch)), np.arange(len(sketch))[tiers])[:, None], 0, sketch)

    variants = [replace(each, sketch=without(each.sketch)) for each in comparison.variants]
    names = [path.name for path in write_comparison_figures(replace(comparison, variants=variants), tmp_path, ["svg"])]
    assert ("latency-tail.svg" in names) == (tiers != slice(None))
