"""How a command is shown: the whole line on request, a redacted form everywhere else."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .settings import Settings

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+", re.ASCII)


def quoted(word: str) -> str:
    """Return `word` quoted for a POSIX shell."""
    if _PLAIN.fullmatch(word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def command_line(settings: Settings) -> str:
    """Return program and arguments, quoted."""
    words = [quoted(settings.program)]
    if settings.arg0 is not None:
        words.append(f"[argv0={settings.arg0}]")
    words += [quoted(word) for word in settings.args]
    return " ".join(words)


_FLAGS = (
    "env_clear", "keep_stdin_open", "inherit_stdin", "kill_on_parent_death", "create_no_window", "graceful_break", "new_session",
    "leash",
)  # fmt: skip


def redacted(settings: Settings) -> str:
    """Return program, counts, names and flags, but no argument and no value of a variable."""
    parts = [repr(settings.program), f"args: {len(settings.args)}"]
    if settings.arg0 is not None:
        parts.append("arg0: <redacted>")
    if settings.env:
        parts.append(f"env: {', '.join(sorted(settings.env))}")
    if settings.cwd is not None:
        parts.append(f"cwd: {settings.cwd!r}")
    if settings.timeout is not None:
        parts.append(f"timeout: {settings.timeout}")
    parts += [name for name in _FLAGS if getattr(settings, name)]
    return f"Command({', '.join(parts)})"
