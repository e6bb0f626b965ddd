"""The child's environment on POSIX, from ours and what was asked for, at the moment of the spawn."""

from __future__ import annotations

import os


class Environment:
    """`entries` is what execve takes; `path` is the PATH in it, None when there is none."""

    __slots__ = ("entries", "path")

    def __init__(self, entries: list[bytes], path: str | None) -> None:
        self.entries = entries
        self.path = path


def environment(clear: bool, inherit: tuple[str, ...], overrides: dict[str, str | None]) -> Environment:
    """Ours, or nothing (`clear`), or the named part of ours; then the overrides, None removing a name."""
    ours = os.environb
    if clear or inherit:
        wanted = [os.fsencode(name) for name in inherit]
        variables = {name: ours[name] for name in wanted if name in ours}
    else:
        variables = dict(ours)
    for name, value in overrides.items():
        key = os.fsencode(name)
        if value is None:
            variables.pop(key, None)
        else:
            if b"=" in key or not key:
                raise ValueError(f"an environment variable cannot be named {name!r}")
            variables[key] = os.fsencode(value)
    path = variables.get(b"PATH")
    return Environment([b"%s=%s" % item for item in variables.items()], None if path is None else os.fsdecode(path))
