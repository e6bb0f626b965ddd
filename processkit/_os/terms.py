"""The terms of the contract in port.py: the values that cross it."""

from __future__ import annotations

from .._core.redirect import INHERIT as INHERIT
from .._core.redirect import NULL as NULL
from .._core.redirect import PIPE as PIPE
from .._core.redirect import File as File

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .port import Environment

#: The subjects of a waiter's reports: a stream, the end of the process, news of its tree.
STDIN, STDOUT, STDERR, ENDED, TREE = 0, 1, 2, 3, 4
#: Bytes that a pipe takes without a reader, on every system. pipe(7)
PIPE_HOLDS = 65536
#: Called with the kind of guardian that ended before it was up, and with the kind that is tried next: `python`, `sh`, `none`.
guardian_given_up: list[Callable[[str, str], None]] = []


class Data:
    """A stdin that already holds these bytes: for a child that no caller feeds."""

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content


class Handed:
    """A stream that the caller opened and will close: an end of a pipe between two children, or a terminal."""

    __slots__ = ("handle",)

    def __init__(self, handle: int) -> None:
        self.handle = handle


class Attributes:
    """A child's attributes besides its program. `None` (or empty): the same as its parent's."""

    __slots__ = ("affinity", "gid", "groups", "io_priority", "new_session", "nice", "rlimits", "uid", "umask")

    def __init__(self) -> None:
        self.uid: int | None = None
        self.gid: int | None = None
        self.groups: tuple[int, ...] | None = None
        self.new_session = False
        self.umask: int | None = None
        #: resource name of api.md §3.9 → (soft, hard)
        self.rlimits: dict[str, tuple[int, int]] = {}
        self.nice: int | None = None
        self.affinity: tuple[int, ...] | None = None
        #: (class name of api.md §3.9, level)
        self.io_priority: tuple[str, int] | None = None


#: The attributes of a child that is like its parent in everything; shared, and so never changed.
PLAIN = Attributes()


class Plan:
    """Everything a launch needs, resolved and checked; nothing is owned yet."""

    __slots__ = (
        "argv",
        "attributes",
        "console",
        "content",
        "cwd",
        "env",
        "linger",
        "path",
        "program",
        "pty",
        "stderr",
        "stdin",
        "stdout",
        "terminal",
        "unattended",
    )

    def __init__(
        self,
        program: str,
        path: str,
        argv: list[str],
        env: Environment,
        cwd: str | None,
        stdin: str | File | Data | Handed,
        stdout: str | File | Handed,
        stderr: str | File | Handed,
        attributes: Attributes,
        terminal: bool = False,
    ) -> None:
        self.program = program
        self.path = path
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.attributes = attributes
        #: The child shares our terminal in the foreground: it must not become a background process group.
        self.terminal = terminal
        #: Windows: `break`, a console group of its own that CTRL_BREAK can ask to end; `none`, no console window.
        self.console: str | None = None
        #: (columns, rows) of the terminal that is all three streams; then stdin and stdout are `pipe`, and stderr is `null`.
        self.pty: tuple[int, int] | None = None
        #: Bytes to write to the child's stdin, if they are not the command's own data.
        self.content: bytes | None = None
        #: The caller will not act on the child before it ends, so the spawn may take some milliseconds longer and see its end.
        self.linger = False
        #: The caller gets a handle and may never wait: the guardian must be up before that.
        self.unattended = False

    def with_streams(self, **streams: Handed) -> Plan:
        """The same plan with these streams instead of its own."""
        stdin, stdout = streams.get("stdin", self.stdin), streams.get("stdout", self.stdout)
        stderr = streams.get("stderr", self.stderr)
        copy = Plan(self.program, self.path, self.argv, self.env, self.cwd, stdin, stdout, stderr, self.attributes, self.terminal)
        copy.console, copy.pty, copy.content, copy.unattended = self.console, self.pty, self.content, self.unattended
        return copy


class Usage:
    """A container's consumption; `None` where the mechanism does not measure it."""

    __slots__ = ("cpu_seconds", "io_read", "io_written", "peak_memory", "peak_processes", "processes")

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.cpu_seconds: float | None = None
        self.peak_memory: int | None = None
        self.peak_processes: int | None = None
        self.io_read: int | None = None
        self.io_written: int | None = None
