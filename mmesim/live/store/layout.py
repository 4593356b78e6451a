"""Where in an unpacked archive the Triton model is, and whose name it bears.

Triton wants ``<repository>/<model>/config.pbtxt`` and ``<model>/<version>/…``. An archive holds that folder's content
at its root, or inside a single top folder (as SageMaker's examples for multi-model endpoints with Triton do). Triton
refuses a configuration whose ``name`` is not the folder's, yet who uploads one model under several keys leaves the
name as it was: a top-level ``name`` that differs is set to the model's, and nothing else of the file is touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mmesim.live.ports import FetchFailed

CONFIG = "config.pbtxt"
MAX_CONFIG_BYTES = 4 << 20
_STRING = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"
_TOKEN = re.compile(rf"#[^\n]*|{_STRING}|[{{}}\[\]<>]|[A-Za-z_]\w*")
_VALUE = re.compile(rf"(?:\s|#[^\n]*)*:(?:\s|#[^\n]*)*((?:{_STRING})(?:\s*(?:{_STRING}))*)")


def model_folder(tree: Path) -> Path:
    """The folder that is the model. Raises FetchFailed when there is none."""
    inside = [path for path in tree.iterdir() if not path.name.startswith(".")]
    folders = [tree, *inside] if len(inside) == 1 and inside[0].is_dir() else [tree]
    for is_model in (_has_config, _has_version):
        for folder in filter(is_model, folders):
            return folder
    raise FetchFailed(f"holds no Triton model: neither {CONFIG} nor a version at its root or in its only folder")


def _has_config(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def _has_version(folder: Path) -> bool:
    return any(path.name.isdecimal() and path.is_dir() for path in folder.iterdir())


def set_name(folder: Path, model: str) -> bool:
    """Gives the configuration in `folder` the model's name, if it has another; whether it had. The old file, which may
    be linked from elsewhere, stays as it is."""
    config = folder / CONFIG
    if not config.is_file() or config.stat().st_size > MAX_CONFIG_BYTES:
        return False
    text = config.read_text(encoding="utf-8", errors="surrogateescape")
    named = renamed(text, model)
    if named == text:
        return False
    config.unlink()
    config.write_text(named, encoding="utf-8", errors="surrogateescape")
    return True


def renamed(config: str, model: str) -> str:
    """The configuration (protobuf text format) with this name, where it has a name at all."""
    parts, done = [], 0
    for start, end in _names(config):
        parts += [config[done:start], f'"{model}"']
        done = end
    return "".join(parts) + config[done:]


def _names(config: str) -> Iterator[tuple[int, int]]:
    """Where the values of top-level fields ``name`` begin and end."""
    depth = position = 0
    while token := _TOKEN.search(config, position):
        position = token.end()
        depth += (token[0] in "{[<") - (token[0] in "}]>")
        if depth == 0 and token[0] == "name" and (value := _VALUE.match(config, position)):
            yield value.span(1)
            position = value.end()

