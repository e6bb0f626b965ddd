"""Errors in the midst of a cleanup: no step is kept from its work by them, and those that no caller can handle are reported."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


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


def first_error(*steps: Callable[[], object]) -> BaseException | None:
    """Take every step, whatever became of the one before it; return the first exception, or the first that is no Exception."""
    first: BaseException | None = None
    for step in steps:
        try:
            step()
        except BaseException as error:
            if first is None or (isinstance(first, Exception) and not isinstance(error, Exception)):
                first = error
    return first


def insist(step: Callable[[], object]) -> None:
    """Take a step in a finalizer, again if a signal handler raised in it: nobody else takes it up again."""
    for another in (True, True, False):
        try:
            step()
            return
        except BaseException:
            if not another:
                raise


def take_all(*steps: Callable[[], object]) -> None:
    """Take every step, whatever became of the one before it, then raise the first error."""
    raised = first_error(*steps)
    if raised is not None:
        raise raised
