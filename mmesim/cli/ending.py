"""How a command ends: every way out has its message and its exit code.

0 ok · 1 the objective is missed (`run --check`, `plan --check`), or what was examined is not in order (`check-policy`,
`doctor`) · 2 wrong input, or a machine that refuses (disk full, no permission) ·
3 our own mistake, with a traceback · 130 stopped by Ctrl-C, 143 by SIGTERM.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec

import typer

from mmesim import __version__
from mmesim.errors import InputError, Problem, format_problems

EXIT_NOT_MET = 1
EXIT_WRONG_INPUT = 2
EXIT_INTERNAL = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE}
"""Errors that the machine or its owner has to mend, not we."""

P = ParamSpec("P")


def ended(command: Callable[P, None]) -> Callable[P, None]:
    """The command, with the endings above."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        """Ends as the module says."""
        signal.signal(signal.SIGTERM, _terminate)
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except typer.Exit:
            raise
        except InputError as error:
            _end(EXIT_WRONG_INPUT, format_problems(error))
        except KeyboardInterrupt:
            _end(EXIT_INTERRUPTED, "interrupted")
        except BrokenPipeError:  # whoever read us has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Exception as error:
            _end(*_explained(error))

    return run


def _explained(error: Exception) -> tuple[int, str]:
    """Exit code and message of an exception that nobody expected."""
    if isinstance(error, OSError) and error.errno in REFUSALS:
        where = str(error.filename) if error.filename else ""
        problem = Problem(f"{where}: {error.strerror}" if where else error.strerror,
                          hint="make room or give permission, or name another folder")
        return EXIT_WRONG_INPUT, format_problems(InputError(problem))
    import traceback
    trace = "".join(traceback.format_exception(error))
    return EXIT_INTERNAL, (f"{trace}\nThis is a mistake in mmesim {__version__}, not in your input. Please report it "
                           "with the lines above and the scenario.")


def _end(code: int, message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)


def _terminate(signum: int, frame: object) -> NoReturn:
    """SIGTERM ends as an exception does: what was begun is cleared away."""
    sys.exit(EXIT_TERMINATED)
