"""Documents that are drawn from the code show the code as it is."""

from __future__ import annotations

from pathlib import Path

from mmesim.core.lifecycle import mermaid

ROOT = Path(__file__).resolve().parent.parent


def test_lifecycle_diagram_is_the_table() -> None:
    assert mermaid() in (ROOT / "docs" / "architecture.md").read_text()


def test_tree_names_every_package() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = [path.parent.name for path in (ROOT / "mmesim").glob("*/__init__.py")]
    assert [name for name in packages if f"  {name}/" not in text] == []
