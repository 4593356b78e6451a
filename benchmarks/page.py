"""Tables of a benchmark in a Markdown page: made, and put between the page's markers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def table(lines: Sequence[Sequence[Any]]) -> str:
    """Markdown; the first line is the head. Texts to the left, figures to the right."""
    head, *rest = lines
    rule = ["---" if isinstance(cell, str) and "|" not in cell else "---:" for cell in (rest[0] if rest else head)]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in (head, rule, *rest))


def filled(text: str, tables: Mapping[str, str]) -> str:
    """The page with what stands between its markers (``<!-- name -->`` to ``<!-- end -->``) replaced."""
    for name, lines in tables.items():
        text, n = re.subn(f"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", lambda found, lines=lines:
                          f"{found[1]}{lines}\n{found[2]}", text, flags=re.DOTALL)
        assert n == 1, name
    return text
