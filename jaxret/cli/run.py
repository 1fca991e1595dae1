"""What every command shares: errors in one line, the exit status, and files that results are to be written to."""

from __future__ import annotations

import functools
import gc
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxret.cli.compilation_cache import forget_damaged, keep_compiled_programs
from jaxret.errors import ConfigError, JaxretError
from jaxret.files import with_free_space
from jaxret.plain_text import print_text

__all__ = ["check_writable", "put_off_collection", "run_command"]

USAGE_ERROR = 2
STOPPED = 130

_OBJECTS_OF_A_START = 300_000
"""More than the modules of a search are made of."""


def run_command(main: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Call `main(arguments)`; our own errors become one line on stderr and exit status 2.

    A warning of a decoder, or of a compiled program that is damaged, is one line that names the file. Ctrl-C ends with
    status 130, a closed pipe (as by `| head`) quietly.
    """
    put_off_collection()
    keep_compiled_programs()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("always", module=r"PIL\.")  # for each file, not for the first alone
            warnings.showwarning = functools.partial(_show_warning, warnings.showwarning)
            return main(sys.argv[1:] if argv is None else argv) or 0
    except BrokenPipeError:
        # Python flushes stdout at exit and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (JaxretError, ValueError, TypeError, OSError, OverflowError, MemoryError) as error:
        if not isinstance(error, JaxretError) and os.environ.get("JAXRET_TRACEBACK"):
            raise
        print_text(f"jaxret: error: {with_free_space(error) or _in_words(error)}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("jaxret: interrupted", file=sys.stderr)
        return STOPPED


def put_off_collection() -> None:
    """Let the first collection of garbage wait until there are more objects than imports make, all of them of use.

    To look through them again and again takes a tenth of the time of a search. Later collections come as usual.
    """
    usual = gc.get_threshold()
    if not 0 < usual[0] < _OBJECTS_OF_A_START:
        return

    def as_usual(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            gc.set_threshold(*usual)
            gc.callbacks.remove(as_usual)

    gc.set_threshold(_OBJECTS_OF_A_START, *usual[1:])
    gc.callbacks.append(as_usual)


def _in_words(error: BaseException) -> str:
    """The message of an error; one of the system's as the file and what is wrong, without its number."""
    if isinstance(error, MemoryError):
        return f"more memory is needed than there is: {error}"
    if isinstance(error, OSError) and not isinstance(error, JaxretError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def _show_warning(usual: Callable[..., None], message: Warning | str, *rest: Any, **names: Any) -> None:
    if (entry := forget_damaged(str(message))) is not None:
        print_text(f"jaxret: warning: {entry} was damaged; the program is compiled and kept anew", file=sys.stderr)
        return
    # A warning comes from the thread that decodes; the module is there if one does.
    decoding = sys.modules.get("jaxret.data.decode.errors")
    path = None if decoding is None else decoding.file_being_read()
    if path is None:
        usual(message, *rest, **names)
    else:
        print_text(f"jaxret: warning: {path}: {message}", file=sys.stderr)


def check_writable(path: Path) -> None:
    """Refuse a file that could not be written, before the work whose result it is to hold.

    Raises:
      ConfigError: it is a folder, or it is to lie where no folder is.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: give the name of a file")
    if not path.parent.is_dir():
        raise ConfigError(f"{path} cannot be written: there is no folder {path.parent}")
