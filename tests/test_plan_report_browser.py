"""The plan's page in a real browser: nothing goes wrong, nothing is fetched, tables sort, phones and paper work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, Page, browser
from plan_parts import PLANS, autoscaled, crowded
from test_report_browser import OVERFLOW, ROWS, SHADE, brightness, check_figures, sort_by

from mmesim.report.plan.html import write_plan_report


@pytest.fixture(scope="module")
def running() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plans")
    for name, make in PLANS.items():
        write_plan_report(make(), folder / f"{name}.html", deploy=["endpoint.json"])
    return folder


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_opens_on_a_desk_and_on_a_phone(running: Browser, folder: Path, name: str) -> None:
    page = Page(running, folder / f"{name}.html")
    check_figures(page, at_least=0)
    assert page.run(OVERFLOW) == 0
    page.resize(375)
    assert page.run(OVERFLOW) == 0
    assert page.run("document.querySelectorAll('table:not(:has(caption))').length") == 0
    assert page.run("document.querySelectorAll('thead th:not([scope])').length") == 0
    assert page.complaints() == []


def test_options_sort_by_cost_and_by_a_target(running: Browser, folder: Path) -> None:
    page, plan = Page(running, folder / "crowded.html"), crowded()
    by_cost = sorted(plan.options, key=lambda each: each.cost_per_month.mean)  # type: ignore[union-attr]
    assert page.run(ROWS) == [each.name for each in plan.options]
    rows, order = sort_by(page, "p99 latency")
    fastest = min(plan.options, key=lambda each: each.values["latency.all.p99"].mean)
    assert order == "ascending" and rows[0] == fastest.name
    sort_by(page, "cost per month")
    rows, order = sort_by(page, "cost per month")
    assert order == "descending" and plan.option(rows[0]).cost_per_month == by_cost[-1].cost_per_month
    assert page.complaints() == []


def test_dark_is_dark(running: Browser, folder: Path) -> None:
    page = Page(running, folder / "autoscaled.html")
    light = page.run(SHADE)
    page.media(dark=True)
    assert brightness(light) > 220 and brightness(page.run(SHADE)) < 40


def test_paper_shows_everything(running: Browser, folder: Path, tmp_path: Path) -> None:
    page = Page(running, folder / "autoscaled.html")
    tables = page.run("document.querySelectorAll('details table').length")
    page.media("print")
    assert tables >= 4
    assert page.run("[...document.querySelectorAll('details table')].filter(t => t.checkVisibility()).length") == tables
    page.resize(1040)
    assert page.run(OVERFLOW) == 0, "A4, landscape: no table is cut"
    page.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000


def test_names_in_the_scatter_do_not_cover_each_other(running: Browser, folder: Path) -> None:
    """Boxes of the labels of the answer's options."""
    boxes = """[...document.querySelectorAll('svg[role=img]')].flatMap(svg => [...svg.querySelectorAll('text')])
        .filter(text => /^(chosen|runner-up|as written|next cheaper): /.test(text.textContent))
        .map(text => { const box = text.getBoundingClientRect();
            return [box.left, box.top, box.right, box.bottom]; })"""
    for name in ("autoscaled", "crowded", "per_model", "mixed"):
        found = Page(running, folder / f"{name}.html").run(boxes)
        assert len(found) >= 3
        for k, (left, top, right, bottom) in enumerate(found):
            for other in found[k + 1:]:
                apart = other[0] >= right or other[2] <= left or other[1] >= bottom - 1 or other[3] <= top + 1
                assert apart, (name, found)


def test_the_files_to_deploy_are_seen(running: Browser, folder: Path) -> None:
    assert autoscaled().chosen is not None
    page = Page(running, folder / "autoscaled.html")
    assert page.run("document.querySelector('ul.files').innerText") == "endpoint.json"
