"""The committed example is what its command makes."""

from __future__ import annotations

import json
from pathlib import Path

from program import mmesim

ROOT = Path(__file__).resolve().parent.parent


def test_quickstart_example_is_up_to_date(tmp_path: Path) -> None:
    done = mmesim("run", "quickstart", "--no-report", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kept = json.loads((ROOT / "reports" / "examples" / "quickstart.json").read_text())
    assert json.loads(done.stdout) == kept, "run `mmesim run quickstart` and copy its summary.json and report.html"
