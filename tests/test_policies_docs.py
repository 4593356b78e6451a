"""docs/policies.md: its examples run, its listing is the example file, its tables are the registry's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmesim.policies.registry import KINDS, Parameter, describe, resolve

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
LISTING, *EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def row(name: str, parameter: Parameter) -> str:
    """One line of a table."""
    return f"| `{name}` | {parameter.type} | {parameter.default_text} | {parameter.doc} |"


def reference() -> str:
    """The reference part of the page, from the policies themselves."""
    lines = []
    for kind in KINDS:
        lines += [f"### {kind}", ""]
        for policy in describe(kind):
            lines += [f"**`{policy.name}`** {policy.summary}", ""]
            if policy.parameters:
                lines += ["| parameter | type | default | |", "|---|---|---|---|"]
                lines += [row(p.name, p) for p in policy.parameters]
                lines += [row(f"{p.name}: {inner.name}", inner) for p in policy.parameters for inner in p.inner] + [""]
    return "\n".join(lines)


def test_the_listing_is_the_file() -> None:
    assert (ROOT / "docs" / "examples" / "my_policies.py").read_text(encoding="utf-8") == LISTING


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_run(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(code, "docs/policies.md", "exec"), {})


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2


def test_the_reference_is_up_to_date() -> None:
    told = TEXT.partition("has the source and the exact rule.\n\n")[2]
    assert told.strip() == reference().strip(), "regenerate: python tests/test_policies_docs.py"


def test_the_yaml_of_the_tutorial_makes_the_policy() -> None:
    use, keep = re.findall(r'gpu: {use: "([^"]+)", keep_bytes: (\w+)}', TEXT)[0]
    policy = resolve("eviction", use, {"keep_bytes": keep}, ROOT / "docs" / "examples")
    assert policy.keep_bytes == 100 << 20  # type: ignore[attr-defined]


if __name__ == "__main__":
    head, mark, _ = TEXT.partition("has the source and the exact rule.\n\n")
    (ROOT / "docs" / "policies.md").write_text(head + mark + reference(), encoding="utf-8")
