"""The command line: the first user of the public API, and the one place that makes an exit status of an outcome."""

from __future__ import annotations

import gc
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
    """Run the command line of this process and end it by SystemExit with the status."""
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
    if hasattr(gc, "freeze"):  # PyPy has none
        gc.freeze()
    raise SystemExit(status)


def _status_of(leaving: SystemExit) -> int:
    if leaving.code is None:
        return 0
    return leaving.code if isinstance(leaving.code, int) else 1
