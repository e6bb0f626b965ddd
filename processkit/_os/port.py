"""The contract between this package and a system: what a container and a child are, whatever holds them together.

The sentence everything hangs on: **`spawn(plan)` either returns a child that has been inside the container since before
its first instruction, or raises and nothing of it is alive.** There is no way to put a process into a container that it
was not born in but `adopt`, which says so.

Mechanisms: `cgroup_v2` (cgroup.py), `process_group` (procgroup.py). Room is left for `subreaper` (a keeper process per
group) and for `job_object`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

PIPE, NULL, INHERIT = "pipe", "null", "inherit"
#: What a waiter reports of: a stream, the end of the process, news of its tree.
STDIN, STDOUT, STDERR, ENDED, TREE = 0, 1, 2, 3, 4
#: What a pipe takes without a reader, on every system that has one. pipe(7)
PIPE_HOLDS = 65536


class File:
    """A standard stream that is a file, opened by the launch of each run."""

    __slots__ = ("append", "path")

    def __init__(self, path: str, append: bool) -> None:
        self.path = path
        self.append = append


class Data:
    """A stdin that holds these bytes without anybody writing them: for a child that nobody attends to."""

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content


class Handed:
    """A stream that somebody else opened, and closes: an end of a pipe between two children, or a terminal."""

    __slots__ = ("handle",)

    def __init__(self, handle: int) -> None:
        self.handle = handle


class Attributes:
    """What the child is besides its program. `None` (or empty): as its parent."""

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


#: A child that is as its parent in everything; shared, and so never changed.
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
        #: Windows: a console group of its own that can be asked by CTRL_BREAK (`break`), or no console window (`none`).
        self.console: str | None = None
        #: (columns, rows) of the terminal that is its three streams; then stdin and stdout are `pipe` here, and stderr is `null`.
        self.pty: tuple[int, int] | None = None
        #: What is written to its stdin, if that is not the command's own data.
        self.content: bytes | None = None
        #: Nobody acts on the child before it ends, so the spawn may take some milliseconds longer and see its end.
        self.linger = False

    def with_streams(self, **streams: Handed) -> Plan:
        """The same with these streams instead of its own."""
        stdin, stdout = streams.get("stdin", self.stdin), streams.get("stdout", self.stdout)
        stderr = streams.get("stderr", self.stderr)
        copy = Plan(self.program, self.path, self.argv, self.env, self.cwd, stdin, stdout, stderr, self.attributes, self.terminal)
        copy.console, copy.pty, copy.content = self.console, self.pty, self.content
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


# What every system gives, for who reads and for who checks: nothing of this is there when it runs.
if TYPE_CHECKING:

    class Identity(Protocol):
        """What the system says of one live process."""

        @property
        def pid(self) -> int:
            """Its number."""

        @property
        def ppid(self) -> int | None:
            """Its parent's number, where it can be told."""

        @property
        def name(self) -> str | None:
            """The base name of its program, where it can be told."""

        @property
        def start(self) -> int:
            """When it started, in a unit of the system's own: tells it from a later process of the same number."""

    class Environment(Protocol):
        """A child's whole environment; never changed."""

        @property
        def entries(self) -> Sequence[Any]:
            """`NAME=VALUE`, in the system's own kind of text."""

        @property
        def block(self) -> Any:
            """The same as the system takes it."""

        @property
        def path(self) -> str | None:
            """The PATH in it, None when there is none."""

    class Tree(Protocol):
        """A set of processes that ends as one: a container's whole content, or one child with its descendants."""

        def born(self, pid: int) -> None:
            """The child `pid` has been born inside; called before anything else can fail. Idempotent."""

        def members(self) -> list[int]:
            """Pids of the live members; a dead child that is not reaped yet is none."""

        def empty(self) -> bool:
            """Whether no live member is left."""

        def send(self, signal: int) -> int:
            """Send `signal` to every member, also to those born meanwhile; how many were reached. NotImplementedError: it cannot."""

        def ask(self, signal: int) -> int:
            """Ask every member to end, by `signal` where there are signals; how many were reached, 0: nobody can be asked."""

        def kill(self) -> None:
            """Kill every member, including those that are being forked. `empty` may lag for a moment."""

        def changed(self) -> int:
            """A descriptor that is readable when `empty` may have changed, or -1: ask again after a while."""

        def wait_change(self, seconds: float, pause: float) -> None:
            """Block until `empty` may have changed, at most `seconds`; where nothing tells, for `pause`."""

        def release(self, pid: int) -> int:
            """Reap the ended child `pid`, as soon as nobody else needs its number to stay taken; its wait status, -1: nobody knows."""

    class Child(Protocol):
        """A process that we started and have not reaped."""

        claimed: bool

        @property
        def pid(self) -> int:
            """Its number, its own until it is reaped. Until it is `claimed`, losing it ends it."""

        @property
        def tree(self) -> Tree:
            """What contains it and everything it starts."""

        @property
        def ended(self) -> int:
            """A descriptor that is readable once the process has ended."""

        def end(self) -> None:
            """Kill its tree, wait and reap, unless it has been reaped."""

        def stream(self, number: int) -> int:
            """Our end of stream 0, 1 or 2; -1 where it is no pipe, or closed."""

        def close_stream(self, number: int) -> None:
            """Close our end. Idempotent."""

        def typed(self, data: bytes) -> bytes:
            """`data` as it is typed at its terminal, if it has one."""

        def end_of_input(self, line_ended: bool) -> bytes:
            """What is typed at its terminal to end its input, at the beginning of a line or within one; b"": closing is enough."""

        def resize(self, columns: int, rows: int) -> None:
            """Change the size of its terminal."""

        @property
        def events_at_end(self) -> object | None:
            """Something, if a spawn that lingered saw its end."""

        def linger(self, seconds: float) -> None:
            """Wait for its end, for so long at most, where `is_over` may be true then."""

        def is_over(self) -> bool:
            """Whether it has ended, nobody holds its pipes and nobody is left in its tree."""

        def take_left(self) -> list[bytes]:
            """What it left in the pipes of stdout and stderr, once it `is_over`."""

        def left_at_end(self) -> list[bytes] | None:
            """What it left in the pipes of stdout and stderr, if a spawn that lingered saw its end and nothing is left to wait for.

            None, and nothing has been read, if it has not ended, or somebody still holds a pipe or lives in its tree.
            """

        def status(self) -> int | None:
            """The wait status once the process has ended, without reaping it; None before."""

        def wait_killed(self) -> None:
            """Wait, within reason, until the process that was just killed has ended."""

        def reap(self) -> None:
            """Give the pid back and close what this object still owns; `status` is known from then on. Idempotent."""

    class Container(Protocol):
        """Where children live."""

        @property
        def mechanism(self) -> str:
            """Its name: see above."""

        @property
        def tree(self) -> Tree:
            """All that lives in it."""

        def spawn(self, plan: Plan) -> Child:
            """Start a child inside; on an exception nothing of it is alive."""

        def abandon(self, child: Child) -> None:
            """The child's handle is gone: reap it when it has ended, at the next occasion."""

        def close(self, *, leave: bool = False) -> None:
            """Kill what is left, wait until it is gone and give the container back; with `leave`, forget it alive. Idempotent."""

    class GroupContainer(Container, Protocol):
        """A container that is acted upon as a whole."""

        @property
        def soft_stop_scope(self) -> str:
            """Whom `ask` reaches: `whole_tree`, `opt_in_members` or `none`."""

        def seal(self) -> None:
            """Take no more children; those that are being born are waited for. Idempotent."""

        def slay(self) -> None:
            """Kill every member, also a frozen one, and wait within reason until they are gone. Stays usable."""

        def freeze(self) -> None:
            """Stop every member from running. Idempotent."""

        def thaw(self) -> None:
            """Let every member run again. Idempotent."""

        def adopt(self, pid: int) -> None:
            """Take in a process that was started elsewhere; its future children too, where the mechanism can."""

        def usage(self) -> Usage:
            """What the members have used so far."""
