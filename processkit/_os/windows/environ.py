"""The child's environment on Windows: names ignore case, and the block is sorted UTF-16. CreateProcessW"""

from __future__ import annotations

import os
import sys

from ..._abi.foreign import wide_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if sys.platform != "win32":
    raise ImportError("this room is for Windows")


class Environment:
    """`block` is the form of `entries` that CreateProcessW takes; `path` is its PATH, None when there is none. Never changed."""

    __slots__ = ("block", "entries", "path")

    def __init__(self, variables: dict[str, str]) -> None:
        self.entries = [f"{name}={variables[name]}" for name in sorted(variables)]
        self.block: Any = wide_text("\0".join(self.entries) + "\0" * (1 if self.entries else 2))
        self.path = variables.get("PATH")


def environment(clear: bool, inherit: tuple[str, ...], overrides: dict[str, str | None]) -> Environment:
    """Our environment, nothing of it (`clear`), or the names in `inherit`; then the overrides, of which None removes a name."""
    # os.environ keeps its names in upper case, as the system compares them.
    variables = {} if clear or inherit else dict(os.environ)
    for name in inherit:
        value = os.environ.get(name)
        if value is not None:
            variables[name.upper()] = value
    for name, text in overrides.items():
        key = name.upper()
        if text is None:
            variables.pop(key, None)
            continue
        if "=" in key or not key:
            raise ValueError(f"a variable cannot be named {name!r}")
        if "\0" in key or "\0" in text:
            raise ValueError("it contains a NUL byte, which no program can be given")
        variables[key] = text
    return Environment(variables)
