"""The committed example is what its command makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from program import mmesim

ROOT = Path(__file__).resolve().parent.parent


def test_quickstart_example_is_up_to_date(tmp_path: Path) -> None:
    """The same layout and, within a per cent, the same numbers: other processors may round an exponential otherwise."""
    done = mmesim("run", "quickstart", "--no-report", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kept, made = json.loads((ROOT / "reports" / "examples" / "quickstart.json").read_text()), json.loads(done.stdout)
    assert {part: list(kept[part]) for part in kept if isinstance(kept[part], dict)} == \
        {part: list(made[part]) for part in made if isinstance(made[part], dict)}, "copy summary.json and report.html"
    for part, name in (("requests", "invocations"), ("cache", "hit_ratio"), ("cost", "total"), ("residency", "loads")):
        assert made[part][name] == pytest.approx(kept[part][name], rel=0.01), "copy summary.json and report.html"


def test_plan_example_is_read_and_its_page_is_its_own() -> None:
    """It loads as plans of today do, the README names its command, and every sentence of it stands on the page."""
    from html import unescape

    from mmesim.results.plan_files import as_json, from_json
    folder = ROOT / "reports" / "examples"
    kept = json.loads((folder / "quickstart-plan.json").read_text())
    plan = from_json(kept)
    assert as_json(plan) == kept
    assert plan.command in (ROOT / "reports" / "README.md").read_text()
    assert plan.chosen is not None and plan.limits and plan.headroom and plan.swings and plan.survival
    page = unescape((folder / "quickstart-plan.html").read_text()).replace("\N{NO-BREAK SPACE}", " ")
    assert [sentence for sentence in plan.sentences if sentence not in page] == []
