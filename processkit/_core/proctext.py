"""Parsers for the text of /proc: process status, mounts, control group membership. Bytes in, values out."""

from __future__ import annotations

# proc_pid_stat(5): zombie, dead.
GONE_STATES = ("Z", "X", "x")


class Stat:
    """The fields of one /proc/PID/stat that this package uses. `cpu_ticks` is user plus system time, `start` is field 22."""

    __slots__ = ("cpu_ticks", "name", "pgrp", "pid", "ppid", "session", "start", "state", "threads")

    def __init__(self, pid: int, name: bytes, fields: list[bytes]) -> None:
        self.pid = pid
        self.name = name
        self.state = fields[0].decode("ascii")
        self.ppid = int(fields[1])
        self.pgrp = int(fields[2])
        self.session = int(fields[3])
        self.cpu_ticks = int(fields[11]) + int(fields[12])
        self.threads = int(fields[17])
        self.start = int(fields[19])

    @property
    def gone(self) -> bool:
        """Whether the process runs no more instructions: it is a zombie, or dead.

        The state is that of the first thread, which may end before the others: it is counted among the threads until they have.
        """
        return self.state in GONE_STATES and self.threads <= 1


def parse_stat(text: bytes) -> Stat:
    """Read a line of /proc/PID/stat. The name may itself hold blanks and parentheses: it ends at the last `)`."""
    head, _, tail = text.rpartition(b")")
    pid, _, name = head.partition(b"(")
    return Stat(int(pid), name, tail.split())


def _unescape(text: bytes) -> bytes:
    """proc_pid_mountinfo(5): blank, tab, newline and backslash are written as three octal digits."""
    head, *parts = text.split(b"\\")
    return head + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in parts)


def unified_cgroup(text: bytes) -> bytes | None:
    """The cgroup v2 path in /proc/PID/cgroup (the line of hierarchy 0), or None. cgroups(7)"""
    for line in text.splitlines():
        if line.startswith(b"0::"):
            return line[3:]
    return None


def cgroup2_mounts(text: bytes) -> list[tuple[bytes, bytes]]:
    """(root inside the hierarchy, mount point) of each cgroup2 mount in /proc/PID/mountinfo, the latest first."""
    found = []
    for line in text.splitlines():
        left, _, right = line.partition(b" - ")
        if right.split(b" ", 1)[0] == b"cgroup2":
            fields = left.split(b" ")
            found.append((_unescape(fields[3]), _unescape(fields[4])))
    return found[::-1]


def locate_cgroup(cgroup: bytes, mounts: list[tuple[bytes, bytes]]) -> bytes | None:
    """The directory that shows `cgroup` through one of `mounts`, or None when none reaches it.

    A path that starts with `/..` lies outside our cgroup namespace and cannot be reached: cgroup_namespaces(7).
    """
    if cgroup.startswith(b"/.."):
        return None
    cgroup = cgroup.rstrip(b"/")
    for shown, point in mounts:
        root = shown.rstrip(b"/")
        if cgroup == root or cgroup.startswith(root + b"/"):
            return (point.rstrip(b"/") + cgroup[len(root) :]) or b"/"
    return None


def flat_keyed(text: bytes) -> dict[str, int]:
    """A cgroup v2 file of `KEY VALUE` lines, as cgroup.events, cpu.stat and memory.events are."""
    result = {}
    for line in text.splitlines():
        key, _, value = line.partition(b" ")
        if value.strip().isdigit():
            result[key.decode("ascii")] = int(value)
    return result
