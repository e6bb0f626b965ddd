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


def log(logger: Any, level: int, event: str, **fields: object) -> None:
    """One record, to `logger` or to the package's own; nothing is formatted unless somebody listens."""
    if logger is None:
        logging = sys.modules.get("logging")
        if logging is None:
            return
        logger = logging.getLogger(NAME)
    if logger.isEnabledFor(level):
        text = " ".join(f"{key}={value}" for key, value in fields.items())
        # `extra` may not use names that a LogRecord has already.
        extra = {("process_" + key if key in ("name", "args", "process", "module") else key): v for key, v in fields.items()}
        logger.log(level, f"{event} {text}", extra=extra)


def enable_logging() -> bool:
    """Kept for compatibility: records always go to the `processkit` logger once `logging` is in use. True."""
    import logging

    logging.getLogger(NAME)
    return True


enable_logging.__module__ = "processkit"
