"""The child's environment on POSIX, made of ours and the caller's changes at the moment of the spawn."""

from __future__ import annotations

import os
import struct
import sys

from ..._abi.foreign import Cells


class Strings:
    """A NULL-terminated `char *[]` with its strings."""

    __slots__ = ("_pointers", "_text", "address")

    def __init__(self, strings: list[bytes]) -> None:
        self._text = Cells(b"\0".join((*strings, b"")))
        place = self._text.address
        pointers = []
        for string in strings:
            pointers.append(place)
            place += len(string) + 1
        # An unsigned long is as wide as a pointer, in each of Linux's ABIs.
        self._pointers = Cells(struct.pack(f"{len(pointers) + 1}L", *pointers, 0))
        #: The address of the pointers; valid as long as this object lives.
        self.address = self._pointers.address


class Environment:
    """`block` is the form of `entries` that execve takes; `path` is the PATH in it, None when there is none. Never changed."""

    __slots__ = ("block", "entries", "path")

    def __init__(self, variables: dict[bytes, bytes]) -> None:
        self.entries = [b"%s=%s" % item for item in variables.items()]
        self.block = Strings(self.entries)
        path = variables.get(b"PATH")
        self.path = None if path is None else os.fsdecode(path)


if sys.platform != "linux":
    raise ImportError("this room is for Linux")


# Our own environment at the last spawn, and the `Environment` made of it: it seldom changes between two spawns.
_last: tuple[dict[bytes, bytes], Environment] | None = None


def _ours() -> dict[bytes, bytes]:
    """A snapshot of os.environb. If its private dict is the known one, that is copied, which saves a Python call per variable."""
    data = getattr(os.environb, "_data", None)
    return dict(data) if type(data) is dict else dict(os.environb)


def environment(clear: bool, inherit: tuple[str, ...], overrides: dict[str, str | None]) -> Environment:
    """Our environment, nothing of it (`clear`), or the names in `inherit`; then the overrides, of which None removes a name."""
    global _last
    if not (clear or inherit or overrides):
        last = _last
        if last is None or last[0] != getattr(os.environb, "_data", None):
            variables = _ours()
            _last = last = variables, Environment(variables)
        return last[1]
    variables = {} if clear or inherit else _ours()
    for name in inherit:
        value = os.environb.get(os.fsencode(name))
        if value is not None:
            variables[os.fsencode(name)] = value
    for name, text in overrides.items():
        key = os.fsencode(name)
        if text is None:
            variables.pop(key, None)
            continue
        if b"=" in key or not key:
            raise ValueError(f"a variable cannot be named {name!r}")
        variables[key] = os.fsencode(text)
        if b"\0" in key or b"\0" in variables[key]:
            raise ValueError("it contains a NUL byte, which no program can be given")
    return Environment(variables)
