"""Errors that nobody is there to handle, and what finalizers have to say."""

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


def warn_left_open(text: str, source: object) -> None:
    """A ResourceWarning of a finalizer; none while the interpreter takes itself apart, which cannot import any more."""
    try:
        import warnings
    except ImportError:
        return
    warnings.warn(text, ResourceWarning, source=source, stacklevel=3)
