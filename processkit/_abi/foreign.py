"""How a foreign function is declared: a stub with C parameter names, C types as annotations, and one rule for failure.

Every module that declares with this imports on every system: a library is opened by its first call. The stubs are
checked by the C compiler (`tools/check_syscalls.py`), which reads `Library.prototypes` and the header comments.
"""

from __future__ import annotations

import ctypes
import os

c_int = ctypes.c_int
c_uint = ctypes.c_uint
c_long = ctypes.c_long
c_ulong = ctypes.c_ulong
size_t = ctypes.c_size_t
void_p = ctypes.c_void_p
const_void_p = ctypes.c_void_p
const_char_p = ctypes.c_char_p
pid_t = ctypes.c_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


def minus_one(result: int | None) -> bool:
    """POSIX: -1 (for a pointer: all bits set) is failure, the cause is in errno."""
    return result in (-1, ctypes.c_void_p(-1).value)


class Prototype:
    """One foreign function. Calling it returns the C result or raises OSError under the function's own name."""

    __slots__ = ("_call", "fails", "library", "name", "parameters", "result", "variadic")

    def __init__(self, library: Library, stub: Callable[..., Any], fails: Callable[[Any], bool], variadic: bool) -> None:
        annotations = dict(stub.__annotations__)
        self.library = library
        self.name = stub.__name__
        self.result: str = annotations.pop("return")
        self.parameters: dict[str, str] = annotations
        self.fails = fails
        self.variadic = variadic
        self._call: Any = None

    def __call__(self, *arguments: Any) -> Any:
        call = self._call or self._bind()
        result = call(*arguments)
        if self.fails(result):
            code = ctypes.get_errno()
            raise OSError(code, f"{self.name}: {os.strerror(code)}")
        return result

    def _bind(self) -> Any:
        function = self.library.open()[self.name]
        types = self.library.types
        function.argtypes = [types[text] for text in self.parameters.values()]
        function.restype = types[self.result]
        self._call = function
        return function


class Library:
    """A shared object that is opened by the first call into it."""

    __slots__ = ("_handle", "path", "prototypes", "types")

    def __init__(self, path: str | None, types: dict[str, Any]) -> None:
        self.path = path
        self.types = types
        self.prototypes: dict[str, Prototype] = {}
        self._handle: Any = None

    def open(self) -> Any:
        """The ctypes handle; the same one every time."""
        if self._handle is None:
            self._handle = ctypes.CDLL(self.path, use_errno=True)
        return self._handle

    def prototype(
        self, *, fails: Callable[[Any], bool], variadic: bool = False
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare the decorated stub as a function of this library that has failed when `fails(result)`."""

        def declare(stub: Callable[..., Any]) -> Callable[..., Any]:
            declared = Prototype(self, stub, fails, variadic)
            self.prototypes[declared.name] = declared
            return declared

        return declare


def function_at(address: int) -> Callable[[int], int]:
    """The machine code at `address` as a function of one pointer; the GIL is released while it runs."""
    return ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p)(address)


def buffer_address(memory: Any) -> int:
    """Where a writable buffer (an mmap, say) lies; it cannot be closed or resized any more."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def address(data: Any) -> int:
    """Where a ctypes object lies; valid while the object lives."""
    return ctypes.addressof(data)


def buffer(data: bytes) -> Any:
    """A mutable copy of `data`, without a terminator added."""
    return (ctypes.c_char * len(data)).from_buffer_copy(data)


def c_string(data: bytes) -> Any:
    """A NUL-terminated copy of `data`."""
    return ctypes.create_string_buffer(data)


def string_array(strings: list[bytes]) -> Any:
    """A NULL-terminated `char *[]` that keeps its strings alive."""
    return (ctypes.c_char_p * (len(strings) + 1))(*strings, None)
