"""The contract between this package and a system: what a container and a child are, whatever mechanism holds them together.

The main rule: **`spawn(plan)` either returns a child that has been inside the container since before its first instruction,
or raises and nothing of it is alive.** Only `adopt` puts a process into a container that it was not born in.

Mechanisms: `cgroup_v2` (linux/cgroup.py), `process_group` (linux/procgroup.py), `job_object` (windows/containers.py), and for one
child `leash` (linux/leash.py, windows/containers.py). Room is left for `subreaper` (a keeper process per group).

For readers and type checkers: nothing imports it at run time. The values that cross the contract are in terms.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .terms import Plan, Usage


class Identity(Protocol):
    """The identity of one live process, as the system tells it."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def ppid(self) -> int | None:
        """Its parent's pid; None where the system does not tell."""

    @property
    def name(self) -> str | None:
        """The base name of its program; None where the system does not tell."""

    @property
    def start(self) -> int:
        """Its start time in the system's own unit, which distinguishes it from a later process with the same pid."""


class EventLoop(Protocol):
    """What is needed of an event loop, asyncio's or one of ours."""

    def add_reader(self, descriptor: Any, callback: Callable[..., Any], /) -> object:
        """Call `callback` whenever the descriptor is readable."""

    def remove_reader(self, descriptor: Any, /) -> object:
        """Stop watching the descriptor."""

    def call_soon_threadsafe(self, callback: Callable[..., Any], /, *arguments: Any) -> object:
        """Call `callback` soon, on the loop's thread."""


class Environment(Protocol):
    """A child's whole environment; never changed."""

    @property
    def entries(self) -> Sequence[Any]:
        """`NAME=VALUE` entries: bytes or str, whichever the system uses."""

    @property
    def block(self) -> Any:
        """The same, in the form that the system takes."""

    @property
    def path(self) -> str | None:
        """Its PATH, None when there is none."""


class Tree(Protocol):
    """A set of processes that is ended as one: all processes in a container, or one child with its descendants."""

    def born(self, pid: int) -> None:
        """The child `pid` has been born in the tree; called before anything else can fail. Idempotent."""

    def members(self) -> list[int]:
        """Pids of the live members; a dead child that is not reaped yet is not one of them."""

    def empty(self) -> bool:
        """Whether no live member is left."""

    def send(self, signal: int) -> int:
        """Send `signal` to every member, also to those born meanwhile; returns how many it reached.

        NotImplementedError where the system has no signals.
        """

    def ask(self, signal: int) -> int:
        """Ask every member to end, by `signal` where there are signals; returns how many it reached, 0: none can be asked."""

    def kill(self) -> None:
        """Kill every member, including those that are being forked. `empty` may lag for a moment."""

    def unkillable(self) -> dict[int, float]:
        """The live members that are not to be killed, and until when (monotonic time) each is waited for all the same."""

    def give_up(self) -> None:
        """The members that live have been killed, and have not ended in time: wait for them no longer. `unkillable` names them."""

    def changed(self) -> int:
        """A descriptor that is readable when `empty` may have changed, or -1: poll `empty` instead."""

    def wait_change(self, seconds: float, pause: float) -> None:
        """Block until `empty` may have changed, at most `seconds`; for `pause` where the system does not tell."""

    def release(self, pid: int) -> int:
        """Reap the ended child `pid` as soon as its number need not stay taken; its wait status, -1: unknown."""


class Child(Protocol):
    """A process that we started and have not reaped."""

    stays: bool

    @property
    def pid(self) -> int:
        """The process id, which stays its own until it is reaped. Collecting the child ends it, unless it `stays`."""

    @property
    def tree(self) -> Tree:
        """The tree that contains the child and everything it starts."""

    @property
    def ended(self) -> int:
        """A descriptor that is readable once the process has ended."""

    def end(self) -> None:
        """Kill the child's tree, wait and reap, unless the child has been reaped."""

    def stream(self, number: int) -> int:
        """Our end of stream 0, 1 or 2; -1 where the stream is no pipe, or is closed."""

    def close_stream(self, number: int) -> None:
        """Close our end of a stream. Idempotent."""

    def typed(self, data: bytes) -> bytes:
        """`data` as typed at the child's terminal, if it has one."""

    def end_of_input(self, line_ended: bool) -> bytes:
        """The bytes that, typed at the child's terminal, end its input, at the start of a line or not; b"": just close it."""

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the child's terminal."""

    @property
    def events_at_end(self) -> object | None:
        """Not None once the child's end was seen together with the state of its pipes, by a spawn that lingered or by `is_over`."""

    def linger(self, seconds: float) -> None:
        """Wait at most `seconds` for the child's end, on systems where `is_over` may be true afterwards."""

    def is_over(self) -> bool:
        """Whether the child has ended, no process holds its pipes and none is left in its tree."""

    def take_left(self) -> list[bytes]:
        """The bytes left in the pipes of stdout and stderr, once the child `is_over`."""

    def left_at_end(self) -> list[bytes] | None:
        """The bytes left in the pipes of stdout and stderr, if a spawn that lingered saw the child's end and it `is_over`.

        None, and nothing has been read, if the child has not ended, or a process still holds a pipe or lives in its tree.
        """

    def status(self) -> int | None:
        """The wait status once the process has ended, without reaping it; None before that."""

    def wait_killed(self) -> None:
        """Wait for a limited time until the process that was just killed has ended."""

    def reap(self) -> None:
        """Reap the process and close everything this object still owns; `status` is known from then on. Idempotent."""


class Container(Protocol):
    """A place where children live."""

    @property
    def mechanism(self) -> str:
        """The name of the mechanism: see the head of this module."""

    @property
    def tree(self) -> Tree:
        """The tree of all processes in the container."""

    def spawn(self, plan: Plan) -> Child:
        """Start a child in the container; on an exception nothing of it is alive."""

    def close(self, *, leave: bool = False) -> None:
        """Kill the remaining processes, wait for them and give the container back; `leave`: let them live. Idempotent."""


class GroupContainer(Container, Protocol):
    """A container that is acted upon as a whole."""

    #: Called by the group that owns the container, once it has been closed.
    when_closed: list[Callable[[], None]]

    def abandon(self, child: Child) -> None:
        """The child's handle is gone: reap the child at the next occasion after its end."""

    @property
    def soft_stop_scope(self) -> str:
        """Which members `ask` reaches: `whole_tree`, `opt_in_members` or `none`."""

    def seal(self) -> None:
        """Take no more children, and wait for those that are being born. Idempotent."""

    def slay(self) -> None:
        """Kill every member, also a frozen one, and wait for a limited time until they are gone. The group stays usable."""

    def freeze(self) -> None:
        """Stop every member from running. Idempotent."""

    def thaw(self) -> None:
        """Let every member run again. Idempotent."""

    def adopt(self, pid: int) -> None:
        """Move a process that was started elsewhere into the container; its future children too, where the mechanism can."""

    def usage(self) -> Usage:
        """The members' consumption so far."""
