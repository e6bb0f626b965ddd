"""Reports errors that no caller can handle."""

from __future__ import annotations


class _Ignored:
    """Raises `error` in its finalizer: Python hands that to sys.unraisablehook, whose argument cannot be made by hand."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __del__(self) -> None:
        raise self.error


def ignore(error: BaseException) -> None:
    """Report `error`, which no caller can handle, through sys.unraisablehook."""
    _Ignored(error)
