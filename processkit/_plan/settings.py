"""What a Command knows: plain data with defaults. `Command` builds it, `plan.py` resolves it."""

from __future__ import annotations

from .._core.redirect import INHERIT as INHERIT
from .._core.redirect import NULL as NULL
from .._core.redirect import PIPE as PIPE
from .._core.redirect import File as File

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .._core.caps import Cap
    from .._core.encodings import DecoderFactory
    from .cancel import CancellationToken
    from .retry import Retry
    from .sink import Sink

SUCCESS = (0,)
# Settings that a plain launch may have: they matter only after it.
_NOT_OF_THE_LAUNCH = {
    "program", "args", "timeout", "timeout_set", "timeout_grace", "timeout_signal", "success_codes", "logger",
    "stdout_decoder", "stderr_decoder", "stdout_cr", "stderr_cr", "token", "retry", "retry_set", "cap", "idle_timeout",
    "stdout_clean", "stderr_clean", "stdout_tee", "stderr_tee", "stdout_raw_tee", "stderr_raw_tee", "on_stdout", "on_stderr", "tapped",
}  # fmt: skip


class Settings:
    """One command's settings, never changed: `replace` makes a copy. The instance holds only those that were set."""

    program: str
    args: tuple[str, ...]
    arg0: str | None = None
    cwd: str | None = None
    prefer_local: tuple[str, ...] = ()
    #: name → value; None: the variable is removed. Never changed in place.
    env: dict[str, str | None] = {}  # noqa: RUF012
    env_clear = False
    env_inherit: tuple[str, ...] = ()
    stdin_data: bytes | None = None
    stdin_file: str | None = None
    stdin_source: Any = None
    keep_stdin_open = False
    inherit_stdin = False
    stdout: str | File = PIPE
    stderr: str | File = PIPE
    #: None: UTF-8.
    stdout_decoder: DecoderFactory | None = None
    stderr_decoder: DecoderFactory | None = None
    stdout_cr = False
    stderr_cr = False
    timeout: float | None = None
    #: `timeout`, `no_timeout` or `timeout_opt` was called.
    timeout_set = False
    timeout_grace: float | None = None
    timeout_signal: int | None = None
    success_codes: tuple[int, ...] = SUCCESS
    kill_on_parent_death = False
    create_no_window = False
    graceful_break = False
    #: One of the attributes below was set.
    attributed = False
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    new_session = False
    umask: int | None = None
    rlimits: dict[str, tuple[int, int]] = {}  # noqa: RUF012
    priority: str | None = None
    affinity: tuple[int, ...] | None = None
    io_priority: tuple[str, int] | None = None
    leash = False
    logger: Any = None
    token: CancellationToken | None = None
    retry: Retry | None = None
    #: `retry` or `retry_never` was called.
    retry_set = False
    idle_timeout: float | None = None
    #: Control sequences are removed from captured text.
    stdout_clean = False
    stderr_clean = False
    #: In a pipeline: its failure does not count; its stderr goes where its stdout goes.
    unchecked = False
    merged = False
    #: (columns, rows) of its terminal; None: it gets none.
    pty: tuple[int, int] | None = None
    #: One of the next six was set.
    tapped = False
    stdout_tee: Sink | None = None
    stderr_tee: Sink | None = None
    stdout_raw_tee: Sink | None = None
    stderr_raw_tee: Sink | None = None
    on_stdout: Callable[[str], object] | None = None
    on_stderr: Callable[[str], object] | None = None
    #: None: everything is kept.
    cap: Cap | None = None

    def __init__(self, program: str, args: tuple[str, ...]) -> None:
        self.program = program
        self.args = args

    @property
    def plain(self) -> bool:
        """Whether only program and arguments matter to the launch."""
        return self.__dict__.keys() <= _NOT_OF_THE_LAUNCH

    @property
    def keeps_all(self) -> bool:
        """Whether output is kept unchanged and in full, and goes nowhere else."""
        return self.cap is None and not self.tapped and not (self.stdout_clean or self.stderr_clean)

    def text_of(self, stream: int) -> tuple[DecoderFactory | None, bool, bool]:
        """Return (decoder, whether a lone `\\r` ends a line, whether text is sanitized) of stdout (1) or stderr (2)."""
        if stream == 1:
            return self.stdout_decoder, self.stdout_cr, self.stdout_clean
        return self.stderr_decoder, self.stderr_cr, self.stderr_clean

    def replace(self, **changes: Any) -> Settings:
        """Return a copy with these settings changed."""
        copy = Settings.__new__(Settings)
        copy.__dict__.update(self.__dict__, **changes)
        return copy


def check_terminal(settings: Settings) -> None:
    """Raise ValueError for streams that conflict with a terminal."""
    others = (
        ("inherit_stdin()", settings.inherit_stdin),
        ("a redirected or inherited stdout", settings.stdout != "pipe"),
        ("a redirected or inherited stderr", settings.stderr != "pipe"),
    )
    for name, given in others:
        if given:
            raise ValueError(f"pty() cannot be combined with {name}")
