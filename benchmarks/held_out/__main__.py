"""Plans on the first part of a real trace, judged on the rest; writes the tables of docs/plan-held-out.md.

    python -m benchmarks.held_out DATA [WORLD ...] [--work FOLDER] [--seeds 5] [--processes 2]

DATA holds `traces/` (made by others, not part of the program); worlds are genai, azure-1350 and azure-500. Every run is
stored in FOLDER, so what was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.held_out.tables import facts, rows
from benchmarks.held_out.trial import held_out
from benchmarks.held_out.worlds import WORLDS
from benchmarks.page import filled
from mmesim.parallel import Workers

PAGE = Path(__file__).parents[2] / "docs" / "plan-held-out.md"


def main(arguments: Sequence[str]) -> None:
    """Plan, judge, print, and write each table into the page as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("worlds", nargs="*", choices=[*WORLDS, []], default=list(WORLDS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("build/held-out"))
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args(arguments)
    for name in given.worlds:
        held = held_out(WORLDS[name], given.data, given.work / name, seeds=given.seeds,
                        workers=Workers(given.processes))
        tables = {name: rows(held), f"{name} facts": facts(held)}
        print(f"\n## {held.world.title}\n\n{tables[name]}\n\n{tables[f'{name} facts']}")
        given.page.write_text(filled(given.page.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
