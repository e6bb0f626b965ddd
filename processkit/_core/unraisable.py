"""Reports errors that no caller can handle."""

from __future__ import annotations

import sys


class _Ignored:
    """Raises `error` in its finalizer: Python hands that to sys.unraisablehook, whose argument cannot be made by hand."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __del__(self) -> None:
        raise self.error


class _Arguments:
    """The argument of sys.unraisablehook."""

    def __init__(self, error: BaseException) -> None:
        self.exc_type = type(error)
        self.exc_value = error
        self.exc_traceback = error.__traceback__
        self.err_msg = ""
        self.object = None


def ignore(error: BaseException) -> None:
    """Report `error`, which no caller can handle, through sys.unraisablehook."""
    if sys.implementation.name == "cpython":
        _Ignored(error)
    else:
        # Without counted references a finalizer would run at some later time. There the hook takes any object with these attributes.
        sys.unraisablehook(_Arguments(error))  # type: ignore[arg-type]
