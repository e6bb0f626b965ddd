"""The guardian's protocol and its states: the messages of an owner over the pipe, and their effect.

Messages, each shorter than PIPE_BUF and so written whole (pipe(7)):

    group PGID START\\n   this process group dies with the owner; START identifies its leader (0: unknown)
    drop PGID\\n          that group has ended or was let go
    process PID START\\n  this process, which is in none of the groups, dies with the owner, and so do its descendants
    leave PID\\n          that process has ended or was let go
    new xxxx             the same as `group`, written by the child itself before its program begins; xxxx is its pid as
                         the kernel stored it there, a native 32-bit int

Cgroups are not announced over the pipe: the directory that holds all of an owner's is an argument of the guardian.
"""

from __future__ import annotations

import sys

NEW = b"new "
NEW_SIZE = 8

WATCHING, SWEEPING, FINISHED = "watching", "sweeping", "finished"
DATA, END_OF_FILE, OWNER_GONE, NOBODY_LEFT = "data", "end of file", "owner gone", "nobody left"

# (state, event) → state. End-of-file is the normal message of death; the owner's exit covers a copy of the pipe that a
# stray fork of the owner still holds. Between the two, children that were being born may still register themselves.
TRANSITIONS = {
    (WATCHING, DATA): WATCHING,
    (WATCHING, END_OF_FILE): SWEEPING,
    (WATCHING, OWNER_GONE): SWEEPING,
    (SWEEPING, DATA): SWEEPING,
    (SWEEPING, END_OF_FILE): SWEEPING,
    (SWEEPING, OWNER_GONE): SWEEPING,
    (SWEEPING, NOBODY_LEFT): FINISHED,
}


def group_message(pgid: int, start: int | None) -> bytes:
    """Register a process group."""
    return b"group %d %d\n" % (pgid, start or 0)


def drop_message(pgid: int) -> bytes:
    """Unregister a process group."""
    return b"drop %d\n" % pgid


def process_message(pid: int, start: int) -> bytes:
    """Register a single process."""
    return b"process %d %d\n" % (pid, start)


def leave_message(pid: int) -> bytes:
    """Unregister a single process."""
    return b"leave %d\n" % pid


class Guard:
    """The guardian's knowledge: the registered groups and processes, and its own state."""

    __slots__ = ("_pending", "eof", "groups", "processes", "state")

    def __init__(self) -> None:
        self.state = WATCHING
        self.eof = False
        #: Process group → start of its leader, 0 while unknown.
        self.groups: dict[int, int] = {}
        #: Single process → its start.
        self.processes: dict[int, int] = {}
        self._pending = b""

    def feed(self, data: bytes) -> None:
        """Interpret the bytes that the pipe delivered; b"" is end-of-file."""
        if not data:
            self.eof = True
            self._go(END_OF_FILE)
            return
        self._go(DATA)
        self._pending += data
        while self._take_one():
            pass

    def owner_gone(self) -> None:
        """The owner has ended, even if another process still holds its pipe."""
        self._go(OWNER_GONE)

    def nobody_left(self) -> None:
        """A whole sweep found no live process. Before end-of-file this does not finish: a child may still register itself."""
        if self.eof:
            self._go(NOBODY_LEFT)

    def give_up_waiting(self) -> None:
        """Treat the pipe as at its end: the process that still holds it open is no child that is being born."""
        self.eof = True

    def _go(self, event: str) -> None:
        self.state = TRANSITIONS[self.state, event]

    def _take_one(self) -> bool:
        """Interpret one whole message from the front of the pending bytes; False if there is none."""
        pending = self._pending
        if pending.startswith(NEW):
            if len(pending) < NEW_SIZE:
                return False
            self.groups.setdefault(int.from_bytes(pending[len(NEW) : NEW_SIZE], sys.byteorder), 0)
            self._pending = pending[NEW_SIZE:]
            return True
        line, newline, rest = pending.partition(b"\n")
        if not newline:
            return False
        self._pending = rest
        verb, *numbers = line.split()
        if verb == b"group":
            self.groups[int(numbers[0])] = int(numbers[1])
        elif verb == b"drop":
            self.groups.pop(int(numbers[0]), None)
        elif verb == b"process":
            self.processes[int(numbers[0])] = int(numbers[1])
        elif verb == b"leave":
            self.processes.pop(int(numbers[0]), None)
        return True
