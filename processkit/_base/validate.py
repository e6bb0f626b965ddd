"""Checks of arguments (api.md §0.5): each returns the normal form or raises, naming the parameter."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


U16, U32, U64, I32 = 2**16 - 1, 2**32 - 1, 2**64 - 1, 2**31
MOST_SECONDS = 2.0**64


def path_text(value: object, name: str) -> str:
    """A path-like value as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        text = os.fspath(value)
        if isinstance(text, str):
            return text
    raise TypeError(f"{name} must be a str or an os.PathLike of str, not {type(value).__name__}")


def text(value: object, name: str) -> str:
    """A str and nothing else."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value


def sequence(value: Any, name: str) -> tuple[Any, ...]:
    """A real sequence: no bare str or bytes, set or generator."""
    from collections.abc import Sequence

    if isinstance(value, (str, bytes, bytearray, memoryview)) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a list or tuple, not {type(value).__name__}")
    return tuple(value)


def arguments(value: Any, name: str = "args") -> tuple[str, ...]:
    """An argv list as texts."""
    # list and tuple first: they do not need the import of collections.abc.
    items = value if isinstance(value, (list, tuple)) else sequence(value, name)
    return tuple([path_text(item, f"each of {name}") for item in items])


def names(value: Any, name: str) -> tuple[str, ...]:
    """A list of str."""
    return tuple(text(item, f"each of {name}") for item in sequence(value, name))


def environment(value: Any, name: str) -> dict[str, str]:
    """A mapping of str to str."""
    from collections.abc import Mapping

    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of str to str, not {type(value).__name__}")
    return {text(key, f"each key of {name}"): text(item, f"each value of {name}") for key, item in value.items()}


def unsigned(value: object, name: str, most: int = U32) -> int:
    """An int in 0..most."""
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not 0 <= value <= most:
        raise OverflowError(f"{name} must be in 0..{most}, not {value}")
    return int(value)


def positive_int(value: object, name: str) -> int:
    """An int of at least 1."""
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return int(value)


def terminal_size(cols: object, rows: object) -> tuple[int, int]:
    """(columns, rows), both or neither given."""
    if (cols is None) != (rows is None):
        raise ValueError("cols and rows must be provided together")
    return (80, 24) if cols is None else (_dimension(cols, "cols"), _dimension(rows, "rows"))


def _dimension(value: object, name: str) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be positive, not {value}")
    if value > U16:
        raise OverflowError(f"{name} must be at most {U16}, not {value}")
    return int(value)


def signed(value: object, name: str) -> int:
    """An int of 32 bits."""
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not -I32 <= value < I32:
        raise OverflowError(f"{name} must be in {-I32}..{I32 - 1}, not {value}")
    return int(value)


def label(value: object, name: str, accepted: Mapping[str, str] | tuple[str, ...]) -> str:
    """The canonical form of a case-insensitive label: what `accepted` makes of it, or itself where that is a tuple."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    short = value.lower()
    if short not in accepted:
        raise ValueError(f"{name} must be one of {', '.join(accepted)}, not {value!r}")
    return short if isinstance(accepted, tuple) else accepted[short]


def _seconds(value: object, name: str) -> float:
    if not isinstance(value, (int, float)):
        convert = getattr(type(value), "__float__", None)
        if convert is None or isinstance(value, (str, complex)):
            raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise ValueError(f"{name} must be a finite number of seconds") from None
    if not abs(seconds) < MOST_SECONDS:
        raise ValueError(f"{name} must be a finite number of seconds below 2**64, not {seconds}")
    return seconds


def positive(value: object, name: str) -> float:
    """Seconds, more than 0."""
    seconds = _seconds(value, name)
    if seconds <= 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {seconds}")
    return seconds


def non_negative(value: object, name: str) -> float:
    """Seconds, 0 or more."""
    seconds = _seconds(value, name)
    if seconds < 0:
        raise ValueError(f"{name} must not be negative, not {seconds}")
    return seconds


def callback(value: object, name: str) -> Any:
    """Anything that can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, not {type(value).__name__}")
    return value


def byte_payload(value: object, name: str) -> bytes:
    """bytes, bytearray or memoryview, copied."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"{name} must be bytes, bytearray or memoryview, not {type(value).__name__}")
    return bytes(value)


def io_priority(class_name: object, level: object) -> tuple[str, int]:
    """(class, level): `idle` takes none, the others 0..7."""
    chosen = label(class_name, "io_priority class", ("idle", "best_effort", "real_time"))
    if isinstance(level, bool):
        raise TypeError("io_priority level must be an integer, not a bool")
    if level is not None and not isinstance(level, int):
        raise TypeError(f"io_priority level must be an integer, not {type(level).__name__}")
    if chosen == "idle":
        if level is not None:
            raise ValueError("io_priority idle takes no level")
        return chosen, 0
    if level is None or not 0 <= level <= 7:
        raise ValueError(f"io_priority {chosen} needs a level in 0..7, not {level}")
    return chosen, int(level)


def success_codes(codes: Sequence[int]) -> tuple[int, ...]:
    """The accepted exit codes: a set, in order."""
    accepted = tuple(sorted({signed(code, "each of success_codes") for code in sequence(codes, "success_codes")}))
    if not accepted:
        raise ValueError("success_codes must name at least one code")
    return accepted


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if value != value:  # noqa: PLR0124 (NaN, without the import of math)
        raise ValueError(f"{name} must not be NaN")
    return float(value)


def check_timeout(timeout: object, name: str = "timeout") -> float:
    """Seconds, 0 or more."""
    seconds = _number(timeout, name)
    if seconds < 0:
        raise ValueError(f"{name} must not be negative, not {seconds}")
    return seconds


def check_interval(interval: object) -> float:
    """Seconds, more than 0."""
    if isinstance(interval, (int, float)) and not interval > 0:
        raise ValueError(f"interval must be positive, not {interval}")
    return _number(interval, "interval")
