"""What a Command knows: plain data with defaults. `Command` builds it, `_planning` resolves it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._core.encodings import DecoderFactory

PIPE, NULL, INHERIT = "pipe", "null", "inherit"
SUCCESS = (0,)


class Redirect:
    """A standard stream that is a file."""

    __slots__ = ("append", "path")

    def __init__(self, path: str, append: bool) -> None:
        self.path = path
        self.append = append


class Settings:
    """One command's settings. Never changed after it was made: `replace` makes another."""

    __slots__ = (
        "affinity", "arg0", "args", "attributed", "create_no_window", "cwd", "env", "env_clear", "env_inherit", "gid", "graceful_break",
        "groups", "inherit_stdin", "io_priority", "keep_stdin_open", "kill_on_parent_death", "leash", "logger", "new_session",
        "prefer_local", "priority", "program", "rlimits", "stderr", "stderr_cr", "stderr_decoder", "stdin_data",
        "stdin_file", "stdout", "stdout_cr", "stdout_decoder", "success_codes", "timeout", "timeout_grace", "timeout_set",
        "timeout_signal", "uid", "umask",
    )  # fmt: skip

    def __init__(self, program: str, args: tuple[str, ...]) -> None:
        self.program = program
        self.args = args
        self.arg0: str | None = None
        self.cwd: str | None = None
        self.prefer_local: tuple[str, ...] = ()
        #: name → value, None: removed. Never changed in place.
        self.env: dict[str, str | None] = {}
        self.env_clear = False
        self.env_inherit: tuple[str, ...] = ()
        self.stdin_data: bytes | None = None
        self.stdin_file: str | None = None
        self.keep_stdin_open = False
        self.inherit_stdin = False
        self.stdout: str | Redirect = PIPE
        self.stderr: str | Redirect = PIPE
        #: None: UTF-8.
        self.stdout_decoder: DecoderFactory | None = None
        self.stderr_decoder: DecoderFactory | None = None
        self.stdout_cr = False
        self.stderr_cr = False
        self.timeout: float | None = None
        #: `timeout`, `no_timeout` or `timeout_opt` was called.
        self.timeout_set = False
        self.timeout_grace: float | None = None
        self.timeout_signal: int | None = None
        self.success_codes: tuple[int, ...] = SUCCESS
        self.kill_on_parent_death = False
        self.create_no_window = False
        self.graceful_break = False
        #: One of the attributes below was set.
        self.attributed = False
        self.uid: int | None = None
        self.gid: int | None = None
        self.groups: tuple[int, ...] | None = None
        self.new_session = False
        self.umask: int | None = None
        self.rlimits: dict[str, tuple[int, int]] = {}
        self.priority: str | None = None
        self.affinity: tuple[int, ...] | None = None
        self.io_priority: tuple[str, int] | None = None
        self.leash = False
        self.logger: Any = None

    def replace(self, **changes: Any) -> Settings:
        """A copy with these changed."""
        copy = Settings.__new__(Settings)
        for name in Settings.__slots__:
            setattr(copy, name, changes[name] if name in changes else getattr(self, name))
        return copy
