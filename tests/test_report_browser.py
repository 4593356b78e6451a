"""The pages in a real browser: nothing goes wrong, nothing is fetched, figures are seen, tables sort, paper works."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, Page, browser
from comparison_example import example

from mmesim.report.comparison.html import write_comparison_report
from mmesim.results.comparison import Comparison

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "reports" / "examples").glob("*.html"))
LEAST = {"quickstart": 12, "quickstart-evictions": 7, "quickstart-plan": 5}
"""Figures of each."""
ROWS = "[...document.querySelectorAll('table.main tbody tr')].map(row => row.cells[0].dataset.v)"
HEADS = "[...document.querySelectorAll('table.main thead th')]"
FIGURES = """[...document.querySelectorAll('svg[role=img]')].map(svg => { const box = svg.getBoundingClientRect();
    return {width: box.width, height: box.height, drawn: svg.querySelectorAll('path, use, rect, image').length,
            label: svg.getAttribute('aria-label')}; })"""
SHADE = "getComputedStyle(document.body).backgroundColor"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def running() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Ten variants, of which one has no cost and no p99.9 latency."""
    made = example(10, models=60)
    last = made.variants[3]
    values = {key: value for key, value in last.values.items() if key not in ("cost.per_hour", "latency.all.p99_9")}
    variants = [replace(each, values=values) if each is last else each for each in made.variants]
    return replace(made, variants=variants)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, comparison: Comparison) -> Path:
    path = tmp_path_factory.mktemp("pages") / "report.html"
    write_comparison_report(comparison, path)
    return path


@pytest.fixture
def page(running: Browser, file: Path) -> Page:
    return Page(running, file)


def test_a_complaint_is_heard(running: Browser, tmp_path: Path) -> None:
    """The tests below would notice."""
    path = tmp_path / "bad.html"
    path.write_text('<img src="http://127.0.0.1:9/picture.png"><script>console.error("one"); undefined.two</script>')
    complaints = "\n".join(Page(running, path).complaints())
    assert "picture.png" in complaints and "one" in complaints and "TypeError" in complaints


@pytest.mark.parametrize("example_page", EXAMPLES, ids=lambda path: path.stem)
def test_committed_reports_open(running: Browser, example_page: Path) -> None:
    shown = Page(running, example_page)
    check_figures(shown, at_least=LEAST[example_page.stem])
    shown.resize(375)
    assert shown.run(OVERFLOW) == 0
    assert shown.complaints() == []


def test_the_comparison_opens(page: Page) -> None:
    check_figures(page, at_least=7)
    assert page.run("document.querySelectorAll('table:not(:has(caption))').length") == 0
    assert page.run("document.querySelectorAll('thead th:not([scope])').length") == 0
    assert page.complaints() == []


def check_figures(page: Page, at_least: int) -> None:
    """All of them have a size, something in them, and words for those who cannot see them."""
    figures = page.run(FIGURES)
    assert len(figures) >= at_least
    for figure in figures:
        assert figure["width"] > 200 and figure["height"] > 60 and figure["drawn"] > 10 and figure["label"], figure


def sort_by(page: Page, title: str) -> tuple[list[str], str]:
    """Click on a head; the rows and aria-sort afterwards."""
    found = f"{HEADS}.find(head => head.textContent.trim() === '{title}')"
    page.run(f"{found}.querySelector('button').click()")
    return page.run(ROWS), page.run(f"{found}.getAttribute('aria-sort')")


def ordered(comparison: Comparison, key: str, down: bool) -> list[str]:
    have = [each for each in comparison.variants if key in each.values]
    names = [each.name for each in sorted(have, key=lambda each: each.values[key].mean, reverse=down)]
    return names + [each.name for each in comparison.variants if key not in each.values]


def test_a_click_sorts_best_first_then_worst_then_as_it_came(page: Page, comparison: Comparison) -> None:
    came = [each.name for each in comparison.variants]
    assert page.run(ROWS) == came
    for title, key, best in (("hit ratio", "cache.hit_ratio", "descending"),
                             ("p99.9 latency", "latency.all.p99_9", "ascending")):
        worst = "ascending" if best == "descending" else "descending"
        assert sort_by(page, title) == (ordered(comparison, key, best == "descending"), best)
        assert sort_by(page, title) == (ordered(comparison, key, worst == "descending"), worst)
        assert page.run(f"{HEADS}.filter(head => head.getAttribute('aria-sort') !== 'none').length") == 1
        assert sort_by(page, title) == (came, "none")
    assert page.complaints() == []


def test_the_bound_stays_last(page: Page, comparison: Comparison) -> None:
    assert comparison.bound is not None
    for title in ("hit ratio", "hit ratio", "loads", "variant"):
        sort_by(page, title)
        last = page.run("[...document.querySelector('table.main').rows].at(-1).cells[0].textContent")
        assert last.startswith(comparison.bound.name)


def test_the_keyboard_sorts_too(page: Page, comparison: Comparison) -> None:
    page.run(f"{HEADS}.find(head => head.textContent.trim() === 'loads').querySelector('button').focus()")
    page.press("Enter", 13)
    assert page.run(ROWS) == ordered(comparison, "residency.loads", down=False)


def test_runs_and_models_sort(page: Page, comparison: Comparison) -> None:
    page.run("document.querySelectorAll('table.runs thead button')[2].click()")
    first = page.run("document.querySelector('table.runs tbody tr').cells[0].textContent")
    assert first == comparison.cells.sort_values("cache.hit_ratio")["variant"].iloc[0]
    page.run("document.querySelectorAll('details table.sortable thead button')[0].click()")
    names = page.run("[...document.querySelector('details table.sortable').tBodies[0].rows]"
                     ".map(row => row.cells[0].textContent)")
    assert len(names) == 10 and names == sorted(names)


def test_a_phone_scrolls_tables_not_the_page(page: Page) -> None:
    page.resize(375)
    assert page.run(OVERFLOW) == 0
    scroll = "document.querySelector('table.main').parentElement"
    assert page.run(f"{scroll}.scrollWidth > 2 * {scroll}.clientWidth")
    page.run(f"{scroll}.scrollLeft = 600")
    name: dict[str, Any] = page.run("(box => ({left: box.left, width: box.width}))"
                                    "(document.querySelector('table.main tbody th').getBoundingClientRect())")
    assert 0 <= name["left"] < 40 and name["width"] < 190, "the variant's name stays in sight"


def test_dark_is_dark(running: Browser, file: Path) -> None:
    shown = Page(running, file)
    light, ink = shown.run(SHADE), "getComputedStyle(document.querySelector('svg[role=img] text')).fill"
    light_ink = shown.run(ink)
    shown.media(dark=True)
    assert brightness(light) > 220 and brightness(shown.run(SHADE)) < 40
    assert brightness(light_ink) < 128 < brightness(shown.run(ink)), "figures follow"


def brightness(colour: str) -> float:
    """Of ``rgb(r, g, b)``."""
    return sum(map(float, colour.strip("rgb()").split(","))) / 3


def test_paper_shows_everything(page: Page, comparison: Comparison, tmp_path: Path) -> None:
    seen = "[...document.querySelectorAll('details table')].filter(table => table.checkVisibility()).length"
    tables = page.run("document.querySelectorAll('details table').length")
    assert tables == 2 * (len(comparison.variants) - 1) + 2 and page.run(seen) == 2, "one fold is open"
    page.media("print")
    assert page.run(seen) == tables
    assert page.run("[...document.querySelectorAll('.scroll')].filter(e => getComputedStyle(e).overflowX !== 'visible')"
                    ".length") == 0
    page.resize(1040)
    assert page.run(OVERFLOW) == 0, "A4, landscape: no table is cut"
    page.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000


def test_downloads_are_in_the_page(page: Page) -> None:
    links = page.run("[...document.querySelectorAll('a[download]')].map(a => [a.download, a.href.slice(0, 5)])")
    assert [kind for _, kind in links] == ["data:"] * 3
    assert [name.rpartition(".")[2] for name, _ in links] == ["csv", "csv", "json"]


def test_thirty_variants_fit_a_phone(running: Browser, tmp_path: Path) -> None:
    path = tmp_path / "thirty.html"
    write_comparison_report(example(30, models=20), path)
    shown = Page(running, path, width=375)
    check_figures(shown, at_least=7)
    assert shown.run(OVERFLOW) == 0 and shown.complaints() == []
