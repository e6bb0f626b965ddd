"""`run`: the keyword form that users of `subprocess.run` know, contained."""

from __future__ import annotations

from .._base.validate import arguments
from .command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._base.result import ProcessResult
    from .._base.types import Args, ReadableBuffer, StrPath


def run(
    argv: Args,
    *,
    cwd: StrPath | None = None,
    env: Mapping[str, str] | None = None,
    input: str | ReadableBuffer | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> ProcessResult:
    """Run `argv` (program first), capture its text and return the result; nothing of its tree is left.

    `cwd`: working directory (default: ours). `env`: the whole environment (default: a copy of ours). `input`: text (as UTF-8) or
    bytes for stdin (default: none, stdin is at its end). `timeout`: seconds until the tree is killed (default: no limit).
    `check`: raise NonZeroExit, Signalled or Timeout unless it succeeded (default True).

    Also raises the errors of `Command.output`; ValueError for an empty `argv` or a bad `timeout`, TypeError for a value of
    the wrong type.
    """
    words = arguments(argv, "argv")
    if not words:
        raise ValueError("argv must name a program")
    command = Command(words[0], words[1:]).timeout_opt(timeout)
    if cwd is not None:
        command = command.cwd(cwd)
    if env is not None:
        command = command.env_clear().envs(env)
    if input is not None:
        command = command.stdin_text(input) if isinstance(input, str) else command.stdin_bytes(input)
    result = command.output()
    return result.ensure_success() if check else result
