"""The boundary of the package: what the system cannot give for its own work is told as ProcessError, under the name of the call.

A verb imports what it needs at its first use, opens descriptors, starts threads: where a limit of the process leaves none of these,
or where the interpreter's files are out of sight (chroot(2), setuid(2)), something in the midst of it fails.
"""

from __future__ import annotations

from errno import EMFILE, ENFILE

from .errors import ProcessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

_OURS = __name__.partition("._base.")[0]
_NONE_LEFT = (EMFILE, ENFILE)
_OURSELVES = ("unknown encoding: utf-8-sig", "unknown encoding: utf-8")
# A coroutine function, as `inspect` tells it: CO_COROUTINE.
_COROUTINE = 0x80


def bounded(call: F) -> F:
    """Return `call`, whose errors of this kind are ProcessErrors. What a callback of the program raises goes through as it is."""
    code: Any = getattr(call, "__code__", None)
    if code.co_flags & _COROUTINE:

        async def abounded(*words: Any, **named: Any) -> Any:
            try:
                return await call(*words, **named)
            except ProcessError:
                raise
            except (OSError, ImportError, LookupError, RuntimeError) as error:
                if not _is_scarcity(error):
                    raise
                raise _told(call, error) from error

        return _named_as(call, abounded)

    def sbounded(*words: Any, **named: Any) -> Any:
        try:
            return call(*words, **named)
        except ProcessError:
            raise
        except (OSError, ImportError, LookupError, RuntimeError) as error:
            if not _is_scarcity(error):
                raise
            raise _told(call, error) from error

    return _named_as(call, sbounded)


def _named_as(call: F, made: Any) -> F:
    """Give a function the names of another one, as functools.wraps does, which is a twentieth of what `run` may cost."""
    for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
        setattr(made, name, getattr(call, name))
    made.__wrapped__ = call
    return made  # type: ignore[no-any-return]


def bounded_verbs(kind: type) -> None:
    """Make all public methods of a class `bounded`."""
    for name, value in [*vars(kind).items()]:
        if not name.startswith("_") and hasattr(value, "__code__"):
            setattr(kind, name, bounded(value))


def _told(call: Callable[..., Any], error: BaseException) -> ProcessError:
    name = call.__name__.strip("_").replace("_", " ")
    return ProcessError(f"{name} failed for want of descriptors, threads, or files of the interpreter: {error}")


def _is_scarcity(error: BaseException) -> bool:
    if isinstance(error, ImportError):
        # Of a module that is there: it could not be read.
        wanted = isinstance(error, ModuleNotFoundError) is False or str(error.name).startswith(_OURS)
    elif isinstance(error, LookupError):
        wanted = str(error) in _OURSELVES  # of every other one the name is the program's
    elif isinstance(error, RuntimeError):
        wanted = "start new thread" in str(error)
    else:
        wanted = isinstance(error, OSError) and error.errno in _NONE_LEFT
    return wanted and _is_our_work(error.__traceback__)


def _is_our_work(trace: TracebackType | None) -> bool:
    """Whether the error came out of our code, or of the standard library or an import on its behalf, and not of a callback."""
    is_ours = False
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__"))
        is_ours = name.startswith(_OURS) or (is_ours and _is_standard(name))
        trace = trace.tb_next
    return is_ours


def _is_standard(name: str) -> bool:
    import sys

    standard = getattr(sys, "stdlib_module_names", None)
    return name.partition(".")[0] in (standard or ("importlib", "encodings", "threading", "queue", "asyncio", "codecs", "json"))
