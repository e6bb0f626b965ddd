"""Signals as users name them."""

from __future__ import annotations

from .._os import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2

#: A system without some of them has the names all the same, and refuses them where they are sent.
NAMES = {"term": SIGTERM, "kill": SIGKILL, "int": SIGINT, "hup": SIGHUP, "quit": SIGQUIT, "usr1": SIGUSR1, "usr2": SIGUSR2}
LAST = 64


def signal_number(value: object, name: str = "signal") -> int:
    """The number of a signal given by name or number (api.md §9.3)."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a str or an int, not bool")
    if isinstance(value, int):
        if not 1 <= value <= LAST:
            raise ValueError(f"invalid signal number {value}: {name} must be in 1..{LAST}")
        return value
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str or an int, not {type(value).__name__}")
    short = value.lower()
    if short.startswith("sig"):  # noqa: FURB188 (removeprefix would be as long)
        short = short[3:]
    if short not in NAMES:
        raise ValueError(f"{name} must be one of {', '.join(NAMES)} or a number, not {value!r}")
    return NAMES[short]
