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
    from typing import Any, Callable, Literal


def minus_one(result: int | None) -> bool:
    """POSIX: -1 (for a pointer: all bits set) is failure, the cause is in errno."""
    return result in (-1, ctypes.c_void_p(-1).value)


def zero(result: int | None) -> bool:
    """Windows: 0, FALSE or NULL is failure, the cause is in GetLastError."""
    return not result


def negative(result: int) -> bool:
    """Windows NT: a negative NTSTATUS is failure and its own cause."""
    return result < 0


#: INVALID_HANDLE_VALUE as ctypes returns it from a function of type `void *`.
ALL_BITS = ctypes.c_void_p(-1).value


def invalid_handle(result: int | None) -> bool:
    """Windows: INVALID_HANDLE_VALUE or NULL is failure, the cause is in GetLastError."""
    return result in (None, ALL_BITS)


def never(result: object) -> bool:
    """Never a failure: the call cannot fail, or the caller reads its result."""
    return False


POSIX, WIN32, NT, COM = "posix", "win32", "nt", "com"


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
            raise self.library.error(self.name, result)
        return result

    def _bind(self) -> Any:
        function = self.library.open()[self.name]
        types = self.library.types
        function.argtypes = [types[text] for text in self.parameters.values()]
        function.restype = None if self.result == "None" else types[self.result]
        self._call = function
        return function


class Library:
    """A shared library, opened by the first call into it; `kind` says how its functions are called and report failure."""

    __slots__ = ("_handle", "kind", "path", "prototypes", "types")

    def __init__(self, path: str | None, types: dict[str, Any], kind: str = POSIX) -> None:
        self.path = path
        self.kind = kind
        self.types = types
        self.prototypes: dict[str, Prototype] = {}
        self._handle: Any = None

    def open(self) -> Any:
        """The ctypes handle; the same one every time."""
        if self._handle is None:
            if self.kind == POSIX:
                self._handle = ctypes.CDLL(self.path, use_errno=True)
            else:
                self._handle = ctypes.WinDLL(self.path, use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
        return self._handle

    def error(self, name: str, result: Any) -> OSError:
        """The error of the call `name` that has just failed with `result`."""
        if self.kind == POSIX:
            code = ctypes.get_errno()
            return OSError(code, f"{name}: {os.strerror(code)}")
        if self.kind == NT:
            return OSError(0, f"{name}: NTSTATUS {result & 0xFFFFFFFF:#x}", None, self.open().RtlNtStatusToDosError(result))
        if self.kind == COM:
            return windows_error(name, result & 0xFFFF)  # an HRESULT's own code: HRESULT_CODE
        return windows_error(name, ctypes.get_last_error())  # type: ignore[attr-defined,unused-ignore]

    def prototype(
        self, *, fails: Callable[[Any], bool], variadic: bool = False
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare the decorated stub as a function of this library that has failed when `fails(result)`."""

        def declare(stub: Callable[..., Any]) -> Callable[..., Any]:
            declared = Prototype(self, stub, fails, variadic)
            self.prototypes[declared.name] = declared
            return declared

        return declare


def last_error() -> int:
    """The error code that GetLastError gave after this thread's last call into a Windows library."""
    return ctypes.get_last_error()  # type: ignore[attr-defined,no-any-return,unused-ignore]


def windows_error(name: str, code: int) -> OSError:
    """The OSError of the call `name` with the Windows error `code`; Python derives the errno and the subclass from it."""
    text = ctypes.FormatError(code).strip()  # type: ignore[attr-defined,unused-ignore]
    return OSError(0, f"{name}: {text}", None, code)


def function_at(address: int) -> Callable[[int], int]:
    """The machine code at `address` as a function of one pointer; the GIL is released while it runs."""
    return ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p)(address)


def store_at(address: int, data: bytes) -> None:
    """Copy `data` to `address`, which lies in memory of this process."""
    ctypes.memmove(address, data, len(data))


def address(data: Any) -> int:
    """The address of a ctypes object; valid while the object lives."""
    return ctypes.addressof(data)


def reference(data: Any) -> Any:
    """A pointer to a ctypes object, to be used only as an argument of a call."""
    return ctypes.byref(data)


def size_of(data: Any) -> int:
    """The size of a ctypes object or type in bytes."""
    return ctypes.sizeof(data)


def memory(size: int) -> Any:
    """`size` bytes of zeros."""
    return ctypes.create_string_buffer(size)


class Cells:
    """Memory that the kernel reads and writes: numbers of one format of `struct`, at a fixed address as long as this object lives.

    Not an array: that module imports collections.abc, which costs a command line more than all that is done with it. And no ctypes
    array, which would be a new type for every length.
    """

    __slots__ = ("_held", "address", "cells", "size")

    def __init__(self, content: bytes, format: Literal["B", "I", "i", "q"] = "B") -> None:
        data = bytearray(content or 1)
        self._held = ctypes.c_char.from_buffer(data)
        #: Where it lies, and how many bytes there are.
        self.address: int = ctypes.addressof(self._held)
        self.size = len(content)
        self.cells = memoryview(data).cast(format)

    def __getitem__(self, index: int) -> int:
        return self.cells[index]

    def __setitem__(self, index: int, value: int) -> None:
        self.cells[index] = value


def bytes_at(address: int, size: int) -> bytes:
    """A copy of the `size` bytes at `address`."""
    return ctypes.string_at(address, size)


def wide_buffer(size: int) -> Any:
    """A buffer for `size` wide characters."""
    return ctypes.create_unicode_buffer(size)


def wide_text(text: str) -> Any:
    """A mutable copy of `text`; characters after its first NUL are kept."""
    return ctypes.create_unicode_buffer(text)


def array_of(kind: Any, values: list[int]) -> Any:
    """A C array of `values`."""
    return (kind * len(values))(*values)
