"""Log records as `event key=value` text with the same fields as `extra`; never argv, environment, cwd or output.

`logging` is not imported for a program that did not import it: nobody would see the record.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEBUG, WARNING = 10, 30
NAME = "processkit"


_own: Any = None


def listener(logger: Any) -> Any:
    """`logger`, else the package's own, else None: nobody imported `logging`."""
    global _own
    if logger is None and _own is None:
        logging = sys.modules.get("logging")
        if logging is not None:
            _own = logging.getLogger(NAME)
            # Or a program that has set up no logging would see our warnings on its stderr, because asyncio imports logging.
            _own.addHandler(logging.NullHandler())
    return _own if logger is None else logger


def listens(logger: Any, level: int) -> bool:
    """Whether a record of `level` would be seen by somebody."""
    found = listener(logger)
    return found is not None and bool(found.isEnabledFor(level))


def log(logger: Any, level: int, event: str, **fields: object) -> None:
    """One record to a `listener`; nothing is formatted unless the level is enabled."""
    if logger is not None and logger.isEnabledFor(level):
        text = " ".join(f"{key}={value}" for key, value in fields.items())
        logger.log(level, f"{event} {text}", extra=fields)


def enable_logging() -> bool:
    """Kept for compatibility: records always go to the `processkit` logger once `logging` is in use. True."""
    import logging

    logging.getLogger(NAME)
    return True


def warn_left_open(text: str, source: object) -> None:
    """A ResourceWarning of a finalizer; none while the interpreter takes itself apart, which cannot import any more."""
    try:
        import warnings
    except ImportError:
        return
    warnings.warn(text, ResourceWarning, source=source, stacklevel=3)
