"""Whatever stands in a file: a document with line numbers, or one clear message, quickly."""

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmesim.errors import InputError, Problem, format_problems
from mmesim.yamldoc import MAX_DEPTH, MAX_FILE_BYTES, MAX_VALUES, load_document, parse_document

SECONDS = 2.0
LAUGHS = "a0: &a0 [ha]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2 * MAX_DEPTH))

BAD = {
    "tab": ("a:\n\tb: 1\n", 2, "tab"),
    "bracket": ("a: 1\nb: [1, 2\nc: 3\n", 3, "is not YAML"),
    "quote": ("a: 'b\n", 2, "is not YAML"),
    "indentation": ("a: 1\n  b: 2\n", 2, "is not YAML"),
    "duplicate key": ("a: 1\nb: {c: 1, c: 2}\n", 2, "b.c is written twice"),
    "cyclic anchor": ("a: 1\nb: &b\n  - 1\n  - *b\n", 4, "inside its own anchor"),
    "cyclic anchor in a mapping": ("b: &b {c: {d: *b}}\n", 1, "inside its own anchor"),
    "unknown anchor": ("a: 1\nb: *nobody\n", 2, "no anchor"),
    "billion laughs": (LAUGHS, None, f"{MAX_VALUES:,} values"),
    "nesting by aliases": (CHAIN, None, f"{MAX_DEPTH} levels"),
    "deep lists": ("a: " + "[" * 100_000, 1, f"{MAX_DEPTH} levels"),
    "deep mappings": ("a: " + "{a: " * 100_000, 1, f"{MAX_DEPTH} levels"),
    "too many values": ("a: [" + "1," * 2_000_000 + "]", 1, "values"),
    "tag": ("a: !!python/object/apply:os.system [ls]\n", 1, "tag"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "second document"),
    "list": ("- 1\n- 2\n", 1, "holds a list"),
    "text": ("just text\n", 1, "single value"),
    "empty": ("", 0, "empty"),
    "comments only": ("# nothing\n", 0, "empty"),
    "null": ("a: \0\n", 1, "U+0000"),
    "key that is a list": ("? [1, 2]\n: 3\n", 1, "name"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_text_gets_one_message_with_its_line(case: str) -> None:
    text, line, words = BAD[case]
    started = time.process_time()
    with pytest.raises(InputError) as raised:
        parse_document(text, "my.yaml")
    assert time.process_time() - started < SECONDS
    problem, = raised.value.problems
    assert problem.file == "my.yaml" and problem.hint
    assert line is None or problem.line == line
    assert words in f"{problem.message} {problem.hint}" and len(str(problem)) < 400


@pytest.mark.parametrize(("raw", "words"), [
    (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not UTF-8"), (b"a: 1\nb: \xff\n", "byte 0xff"),
    ("a: 1\n".encode("utf-16"), "not UTF-8"), (b"a: 1\n\x07\n", "U+0007"), (os.urandom(10_000), "")])
def test_binary_junk(tmp_path: Path, raw: bytes, words: str) -> None:
    file = tmp_path / "junk.yaml"
    file.write_bytes(raw)
    with pytest.raises(InputError, match=r"junk\.yaml") as raised:
        load_document(file)
    assert words in str(raised.value)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    with file.open("wb") as raw:
        raw.truncate(100 * 10**6)
    started = time.process_time()
    with pytest.raises(InputError, match=f"has 100 MB; settings files are limited to {MAX_FILE_BYTES // 10**6} MB"):
        load_document(file)
    assert time.process_time() - started < 0.1


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "spike.yaml").write_text("a: 1", encoding="utf-8")
    for path, words in ((tmp_path / "spkie.yaml", "did you mean 'spike.yaml'"),
                        (tmp_path / "no" / "x.yaml", "no folder"),
                        (tmp_path, "is a folder"), (tmp_path / "spike.yaml" / "x.yaml", "cannot be read"),
                        (Path("a\0b"), "cannot be read"), (Path("/dev/null"), "not a regular file"),
                        (Path("x" * 5000), "cannot be read")):
        with pytest.raises(InputError) as raised:
            load_document(path)
        assert words in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    file = tmp_path / "secret.yaml"
    file.write_text("a: 1", encoding="utf-8")
    file.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        load_document(file)


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    file = tmp_path / "windows.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    document = load_document(file)
    assert document.data == {"a": 1, "b": 2} and document.line_of(("b",)) == 2


def test_scalars_follow_yaml_1_2() -> None:
    document = parse_document(
        "on: yes\nno: 1e3\ntime: 12:30\nversion: 24.10\ntext: '1'\n7: ~\nlong: 1234567890123456789012\n", "f")
    assert document.data == {"on": "yes", "no": 1000.0, "time": "12:30", "version": 24.1, "text": "1", "7": None,
                             "long": 1234567890123456789012.0}


def test_an_alias_is_a_copy() -> None:
    data = parse_document("a: &a {b: [1]}\nc: *a\n", "f").data
    data["a"]["b"].append(2)
    assert data["c"] == {"b": [1]}


def test_lines() -> None:
    document = parse_document("a:\n  b:\n    - c: 1\n    - d: 2\n  'ml.g4dn.xlarge': {e: 3}\n", "f")
    lines = {("a",): 1, ("a", "b"): 2, ("a", "b", 0, "c"): 3, ("a", "b", 1): 4, ("a", "b", 1, "nothing"): 4,
             ("a", "ml.g4dn.xlarge", "e"): 5, ("a", "x", "y", "z"): 1, ("x",): 0}
    assert {path: document.line_of(path) for path in lines} == lines


@settings(max_examples=150, deadline=2000)
@given(st.one_of(st.text(), st.text(alphabet="ab:- []{}&*!|>'\"#%@`,?\n\t~<=0.e")))
def test_any_text_is_a_document_or_an_input_error(text: str) -> None:
    try:
        document = parse_document(text, "any.yaml")
    except InputError as error:
        assert all(problem.message for problem in error.problems)
    else:
        assert isinstance(document.data, dict)


@settings(max_examples=50, deadline=2000)
@given(st.binary(max_size=2000))
def test_any_bytes_are_a_document_or_an_input_error(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "any.yaml"
    file.write_bytes(raw)
    with suppress(InputError):
        load_document(file)


def test_problems_are_grouped_by_file() -> None:
    error = InputError([Problem("is wrong", path="a.b", file="x.yaml", line=3, hint="write it right"),
                        Problem("is odd", path="c", file="y.yaml"), Problem("is bad", file="x.yaml", line=9)])
    assert format_problems(error) == ("2 problems in x.yaml:\n  line 3: a.b: is wrong\n      write it right\n"
                                      "  line 9: is bad\n1 problem in y.yaml:\n  c: is odd")
