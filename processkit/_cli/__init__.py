"""The command line: the first user of the public API, and the one place that makes an exit status of an outcome."""

from __future__ import annotations

import atexit
import gc
import os
import sys

from .status import INTERRUPTED, complain, flushed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit status. SystemExit for usage errors and help."""
    from .options import parse

    options = parse(list(sys.argv[1:] if argv is None else argv))
    if options.subcommand == "doctor":
        from .doctor import doctor

        return doctor(options.json)
    from .run import run

    return run(options)


def main_and_exit() -> NoReturn:
    """Run the command line of this process and end it with the status, by SystemExit where that makes a difference."""
    # This process does one thing and ends, and its memory with it: no collection is worth its time.
    gc.disable()
    try:
        status = main()
    except KeyboardInterrupt:
        complain("interrupted")
        status = INTERRUPTED
    except SystemExit as leaving:
        status = _status_of(leaving)
    status = flushed(status)
    if _is_alone():
        _leave(status)
    raise SystemExit(status)


def _is_alone() -> bool:
    """Whether nothing but us runs in this interpreter, so that its end is ours: no other thread, no debugger, no profiler."""
    monitoring = getattr(sys, "monitoring", None)
    return (
        sys.implementation.name == "cpython"
        and "threading" not in sys.modules
        and not sys.flags.inspect
        and sys.gettrace() is None
        and sys.getprofile() is None
        and (monitoring is None or not any(map(monitoring.get_tool, range(6))))
    )


def _leave(status: int) -> NoReturn:
    """Do what the interpreter does at its end, but do not take it apart: that is a fifteenth of what `run` costs."""
    try:
        atexit._run_exitfuncs()
        status = flushed(status)
    finally:
        os._exit(status)


def _status_of(leaving: SystemExit) -> int:
    if leaving.code is None:
        return 0
    return leaving.code if isinstance(leaving.code, int) else 1
