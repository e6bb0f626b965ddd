"""Log records as `event key=value` text with the same fields as `extra`; never argv, environment, cwd or output.

`logging` is not imported for a program that did not import it: such a program could not see the record.
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
    """Return `logger`, else the package's own, else None if the program has not imported `logging`."""
    global _own
    if logger is None and _own is None:
        logging = sys.modules.get("logging")
        if logging is not None:
            _own = logging.getLogger(NAME)
            # Without it a program that has set up no logging would get our warnings on stderr, because asyncio imports logging.
            _own.addHandler(logging.NullHandler())
    return _own if logger is None else logger


def listens(logger: Any, level: int) -> bool:
    """Return whether a record of `level` would be handled."""
    found = listener(logger)
    return found is not None and bool(found.isEnabledFor(level))


def log(logger: Any, level: int, event: str, **fields: object) -> None:
    """Send one record to a logger that `listener` returned; nothing is formatted unless the level is enabled."""
    if logger is not None and logger.isEnabledFor(level):
        text = " ".join(f"{key}={value}" for key, value in fields.items())
        logger.log(level, f"{event} {text}", extra=fields)


def enable_logging() -> bool:
    """Import `logging`, so that from now on records go to the logger named `processkit`; returns True."""
    import logging

    logging.getLogger(NAME)
    return True


def warn_left_open(text: str, source: object) -> None:
    """Issue the ResourceWarning of a finalizer."""
    _warn(text, ResourceWarning, source)


def warn_left_alive(text: str) -> None:
    """Issue the RuntimeWarning of a tree that could not be killed."""
    _warn(text, RuntimeWarning, None)


def _warn(text: str, category: type[Warning], source: object) -> None:
    try:
        import warnings
    except ImportError:
        return  # the end of the interpreter
    warnings.warn(text, category, source=source, stacklevel=4)
