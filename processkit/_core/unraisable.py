"""Errors that nobody is there to handle."""

from __future__ import annotations


class _Ignored:
    """Python itself hands what a finaliser raises to sys.unraisablehook, whose argument cannot be made by hand."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __del__(self) -> None:
        raise self.error


def ignore(error: BaseException) -> None:
    """Report through sys.unraisablehook an error that nobody is there to handle."""
    _Ignored(error)
