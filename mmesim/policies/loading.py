"""A user's policy class from ``module:Class``: a file beside the scenario or in the current folder, or an installed
module.

The file is executed once for each content, under a module name made of that content: two policies of one file share the
module, an edited file is a new one, and classes of both can be pickled within the process.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from hashlib import blake2b
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from mmesim.errors import alternatives
from mmesim.policies.errors import PolicyError

PREFIX = "mmesim_user_policies_"
"""How the names of modules that were loaded from a file begin."""


def load_class(use: str, base_dir: Path) -> type:
    """The class that ``module:Class`` or ``file.py:Class`` names. Raises PolicyError."""
    module_name, _, class_name = use.rpartition(":")
    module = _load_module(module_name, base_dir)
    found = getattr(module, class_name, None)
    if isinstance(found, type):
        return found
    own = [name for name, value in vars(module).items()
           if isinstance(value, type) and value.__module__ == module.__name__]
    raise PolicyError(f"{module_name} has no class {class_name!r}", alternatives(class_name, own))


def load_file(path: Path) -> ModuleType:
    """The module in a file. Raises PolicyError when it cannot be read or executed."""
    name = _module_name(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PolicyError(f"{path.name} cannot be loaded: {where_and_what(error, path)}", "mend the file") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def where_and_what(error: BaseException, path: Path | None = None) -> str:
    """``line 12: NameError: name 'x' is not defined``: the last line of `path` that the error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if path is not None and frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"line {line}: {text}" if line else text


def _module_name(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PolicyError(f"{path} cannot be read: {error.strerror}", "check the file's name and rights") from error
    digest = blake2b(str(path.resolve()).encode() + b"\0" + content, digest_size=8).hexdigest()
    return f"{PREFIX}{path.stem}_{digest}"


def file_of(name: str, base_dir: Path) -> Path | None:
    """The file that the module in ``module:Class`` stands for; None where it is an installed one, or nothing."""
    file = _file_name(name)
    here = () if "/" in file else (Path.cwd(),)  # packaged scenarios run with policies from where the user stands
    return next((folder / file for folder in (base_dir, *here) if (folder / file).is_file()), None)


def _file_name(name: str) -> str:
    return name if name.endswith(".py") else name.replace(".", "/") + ".py"


def _load_module(name: str, base_dir: Path) -> ModuleType:
    if (found := file_of(name, base_dir)) is not None:
        return load_file(found)
    is_path, path = name.endswith(".py"), base_dir / _file_name(name)
    hint = f"put it in {path.name} beside the scenario or in the current folder, or install the module"
    if is_path or not all(part.isidentifier() for part in name.split(".")):
        raise PolicyError(f"there is no file {path}", hint)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise PolicyError(f"{name} cannot be loaded: {where_and_what(error)}", "install what it imports") from error
        raise PolicyError(f"there is no file {path} and no installed module {name!r}", hint) from error
    except Exception as error:
        raise PolicyError(f"{name} cannot be loaded: {where_and_what(error)}", "mend the module") from error
