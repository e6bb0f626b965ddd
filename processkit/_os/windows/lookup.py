"""Finds the file of a program name on Windows: only in the given directories, never in the current one."""

from __future__ import annotations

import os
import sys

from ..errors import NotExecutable, NotFound

if sys.platform != "win32":
    raise ImportError("this room is for Windows")

#: The default of cmd.exe where PATHEXT is not set.
DEFAULT_EXTENSIONS = ".COM;.EXE;.BAT;.CMD"


def find_program(program: str, first: tuple[str, ...], path: str | None, to_launch: bool = False) -> str:  # noqa: ARG001
    """The absolute path of `program`: itself when it is a path, else found in `first` and then in `path` (PATH's text)."""
    extensions = [name for name in os.environ.get("PATHEXT", DEFAULT_EXTENSIONS).split(";") if name]
    if os.sep in program or "/" in program or os.path.splitdrive(program)[0]:
        return probe(program, extensions)
    directories = [*first, *(part.strip('"') for part in (path or "").split(os.pathsep) if part.strip('"'))]
    denied = None
    if program not in ("", ".", ".."):
        for directory in directories:
            try:
                return probe(os.path.join(directory, program), extensions)
            except NotExecutable as refusal:
                denied = refusal if os.path.isfile(refusal.path) else denied
            except NotFound:
                continue
    if denied is not None:
        raise denied
    raise NotFound(os.pathsep.join(directories))


def probe(path: str, extensions: list[str]) -> str:
    """`path`, made absolute, if it is a file; a name without an extension is first tried with those of PATHEXT in turn."""
    plain = os.path.splitext(path)[1] != ""
    candidates = [path + extension for extension in extensions]
    for candidate in [path, *candidates] if plain else [*candidates, path]:
        if os.path.isfile(candidate):
            if os.path.splitext(candidate)[1] == "":
                break  # not a program: Windows decides by the extension
            return os.path.abspath(candidate)
    if os.path.exists(path):
        raise NotExecutable(path)
    raise NotFound(None)
