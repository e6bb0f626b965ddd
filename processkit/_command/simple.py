"""The keyword form that users of `subprocess.run` know, contained."""

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
    """Run `argv` and return its result; with `check` raise unless it succeeded. `env` replaces the whole environment."""
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
