"""The steps of a Linux child before it becomes its program: a plan, compiled into a script of system calls."""

from __future__ import annotations

import os
import struct
import sys
from errno import EBADF

from ..._abi import linux
from ..._abi.foreign import Cells
from ..._abi.linux_signals import SIGCHLD
from ..._abi.signals import SIGKILL, SIGPIPE, SIGXFSZ
from ..posix.descriptors import is_filled
from ..posix.environ import Strings
from ..posix.stdio import KEEP
from ..terms import PLAIN, Plan
from .calls import architecture, raw_syscall
from .script import Script

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_IO_CLASSES = {"real_time": linux.IOPRIO_CLASS_RT, "best_effort": linux.IOPRIO_CLASS_BE, "idle": linux.IOPRIO_CLASS_IDLE}
_RLIMITS = {
    "cpu": "RLIMIT_CPU",
    "core": "RLIMIT_CORE",
    "data": "RLIMIT_DATA",
    "file_size": "RLIMIT_FSIZE",
    "no_file": "RLIMIT_NOFILE",
    "stack": "RLIMIT_STACK",
}
LAST_DESCRIPTOR = 0xFFFFFFFF
# All zeros: SIG_DFL without flags, and also an empty signal set.
_NOTHING = Cells(bytes(linux.KERNEL_SIGACTION_BYTES))


class Placement:
    """How the child gets into its container; each field is one way. With none set the child stays where its parent is."""

    __slots__ = (
        "cgroup_fd", "linger", "orphan", "own_group", "owner_bound", "procs_fd", "register_fd", "registration", "take_terminal",
    )  # fmt: skip

    def __init__(self) -> None:
        #: CLONE_INTO_CGROUP: the directory's descriptor.
        self.cgroup_fd = -1
        #: Before Linux 5.7: the child's first step is to write `0` to this cgroup.procs.
        self.procs_fd = -1
        #: The guardian's pipe, and the message into which the kernel writes the child's pid.
        self.register_fd = -1
        self.registration: Cells | None = None
        #: The child calls setpgid(0, 0), unless the plan wants a session of its own.
        self.own_group = True
        #: The child's own group becomes the foreground group of the terminal that is our stdin. tcsetpgrp(3)
        self.take_terminal = False
        #: The kernel kills the child when the thread that clones it ends.
        self.owner_bound = False
        #: The launch may wait a little for the end of a short-lived child, because the caller need not hear of it before.
        self.linger = False
        #: The process becomes an orphan: no child of ours, outside every container, in a session of its own.
        self.orphan = False


def script_for(plan: Plan, streams: list[int], placement: Placement) -> Script:
    """The script for this child, or a kept one that differs only in its descriptors, which the launch replaces."""
    if (
        plan.attributes is not PLAIN
        or plan.pty is not None
        or placement.registration is not None
        or placement.procs_fd >= 0
        or placement.owner_bound
    ):
        return compile_script(plan, streams, placement)
    # Two runs of one command may have two plans, but they share one list of arguments.
    known = _known.get(id(plan.argv))
    rest = placement.own_group, os.getpid()
    if known is not None and known[1] == rest:
        script = known[2]
        if known[0] is plan or (
            _says_the_same(known[0], plan) and [source == KEEP for source in streams] == [index < 0 for index in script.sources]
        ):
            return script
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    script = compile_script(plan, streams, placement)
    _known[id(plan.argv)] = plan, rest, script
    return script


def _says_the_same(one: Plan, other: Plan) -> bool:
    """Whether two plans without attributes differ at most in their streams."""
    return one.argv is other.argv and one.env is other.env and one.path == other.path and one.cwd == other.cwd


# Scripts that were compiled before, by id of their argument list: programs are often run again and again.
_known: dict[int, tuple[Plan, tuple[bool, int], Script]] = {}
MOST_KNOWN = 8


def compile_script(plan: Plan, streams: list[int], placement: Placement) -> Script:
    """Compile the whole script. The order matters: containment first, privileges last, the mask just before the program."""
    script = Script(architecture().numbers)
    _join(script, plan, placement)
    if plan.attributes is not PLAIN:
        _set_attributes(script, plan)
    _set_streams(script, streams)
    if plan.pty is not None:
        import termios

        # The terminal becomes the controlling terminal of the session that the child leads. TIOCSCTTY(2const)
        script.call("ioctl", 1, termios.TIOCSCTTY, 0)
    if plan.cwd is not None:
        script.call("chdir", script.text(os.fsencode(plan.cwd)))
    if plan.attributes is not PLAIN:
        _drop_privileges(script, plan)
    if placement.owner_bound:
        # After the change of ids, which clears it: PR_SET_PDEATHSIG(2const).
        script.call("prctl", linux.PR_SET_PDEATHSIG, SIGKILL)
    if not placement.orphan:
        # 1. The owner dies. 2. The child has another parent now, and no event will tell it. 3. So it must not begin.
        script.call("getppid", low=os.getpid(), high=os.getpid())
    script.orphan = placement.orphan
    become_ordinary(script)
    arguments = script.strings(Strings([os.fsencode(word) for word in plan.argv]))
    environment = script.strings(plan.env.block)
    script.call("execve", script.text(os.fsencode(plan.path)), arguments, environment)
    return script


def _join(script: Script, plan: Plan, placement: Placement) -> None:
    script.into_cgroup = placement.cgroup_fd
    if placement.procs_fd >= 0:
        script.call("write", placement.procs_fd, script.text(b"0"), 1, low=1)
    if plan.attributes.new_session or plan.pty is not None or placement.orphan:
        script.call("setsid")
    elif placement.own_group:
        script.call("setpgid", 0, 0)
    script.registration = placement.registration
    if placement.take_terminal and placement.registration is not None:
        # The child's group becomes the foreground group of our terminal; all signals are blocked, so SIGTTOU cannot stop it.
        import termios

        script.call("ioctl", 0, termios.TIOCSPGRP, placement.registration.address + 4)
    if placement.register_fd >= 0 and placement.registration is not None:
        message = placement.registration
        script.call("write", placement.register_fd, message.address, message.size, low=message.size)


def _set_attributes(script: Script, plan: Plan) -> None:
    attributes = plan.attributes
    if attributes.affinity is not None:
        run_on(script, attributes.affinity)
    if attributes.io_priority is not None:
        name, level = attributes.io_priority
        value = _IO_CLASSES[name] << linux.IOPRIO_CLASS_SHIFT | level
        script.call("ioprio_set", linux.IOPRIO_WHO_PROCESS, 0, value)
    if attributes.nice is not None:
        script.call("setpriority", linux.PRIO_PROCESS, 0, attributes.nice)
    if attributes.rlimits:
        import resource

        for name, (soft, hard) in attributes.rlimits.items():
            limit = script.keep(linux.rlimit64(rlim_cur=soft, rlim_max=hard))
            script.call("prlimit64", 0, getattr(resource, _RLIMITS[name]), limit, 0)
    if attributes.umask is not None:
        script.call("umask", attributes.umask)


def run_on(script: Script, cpus: Iterable[int], low: int = 0) -> None:
    """Restrict the child to these processors: one bit each, in whole longs of this machine's byte order. sched_setaffinity(2)"""
    bits = sum(1 << cpu for cpu in cpus)
    words = [bits >> 64 * word & 0xFFFFFFFFFFFFFFFF for word in range((bits.bit_length() + 63) // 64)]
    mask = script.keep(Cells(struct.pack(f"{len(words)}Q", *words)))
    script.call("sched_setaffinity", 0, 8 * len(words), mask, low=low)


def _set_streams(script: Script, streams: list[int]) -> None:
    """Set the standard streams. All sources lie above 2 (`descriptors.py`), so no dup3 overwrites a source still to come."""
    for number, source in enumerate(streams):
        if source == KEEP and is_filled(number):
            script.call("close", number)
        elif source == KEEP:
            # Our descriptor may be marked close-on-exec, or be closed: then the child's is closed too.
            script.call("fcntl", number, linux.F_SETFD, 0, low=-EBADF)
        else:
            script.sources[number] = len(script.words) + 1
            script.call("dup3", source, number, 0)


def _drop_privileges(script: Script, plan: Plan) -> None:
    """Set groups, then gid, then uid: once the uid has been given up, nothing else may change. credentials(7)"""
    attributes = plan.attributes
    wide = "32" if "setresuid32" in script.numbers else ""
    if attributes.groups is not None:
        groups = attributes.groups
        listed = script.keep(Cells(struct.pack(f"{len(groups)}I", *groups)))
        script.call("setgroups" + wide, len(groups), listed)
    if attributes.gid is not None:
        script.call("setresgid" + wide, attributes.gid, attributes.gid, attributes.gid)
    if attributes.uid is not None:
        script.call("setresuid" + wide, attributes.uid, attributes.uid, attributes.uid)


# The steps of `become_ordinary`, which are the same for every child of this process.
_ordinary: Script | None = None


def become_ordinary(script: Script) -> None:
    """Give the child what a program may expect at its start: default signals, nothing blocked, no descriptor above 2.

    A thread of the owner that blocks SIGTERM must not start children that cannot be asked to stop, so the mask is empty.
    """
    global _ordinary
    if _ordinary is None:
        _ordinary = tail = Script(script.numbers)
        # Python ignores the first two at start-up (Py_InitializeEx), and an ignored signal stays ignored across execve(2). A program
        # that begins with SIGCHLD ignored cannot wait for its own children: wait(2).
        for signal in (SIGPIPE, SIGXFSZ, SIGCHLD):
            tail.call("rt_sigaction", signal, _NOTHING.address, 0, linux.KERNEL_SIGSET_BYTES)
        tail.call("rt_sigprocmask", linux.SIG_SETMASK, _NOTHING.address, 0, linux.KERNEL_SIGSET_BYTES)
        flags = _close_range_flags()
        if flags is not None:
            tail.close_from = len(tail.names)
            tail.call("close_range", 3, LAST_DESCRIPTOR, flags)
    if _ordinary.close_from < 0:
        _close_inheritable(script)
    else:
        script.close_from = len(script.names) + _ordinary.close_from
    script.extend(_ordinary)


def _close_inheritable(script: Script) -> None:
    """Without close_range(2), before Linux 5.9: close the descriptors that are inheritable now.

    A descriptor that another thread opens without close-on-exec between here and the clone still leaks, as it does with every
    program on such a kernel.
    """
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            inheritable = descriptor > 2 and os.get_inheritable(descriptor)
        except OSError:
            continue  # the listing's own descriptor
        if inheritable:
            script.call("close", descriptor, low=-EBADF)


def _close_range_flags() -> int | None:
    """The flags of close_range for descriptors the child must not have: mark them (Linux 5.11: execve closes them), or close them
    at once (5.9); None: there is no close_range.
    """
    for flags in (linux.CLOSE_RANGE_CLOEXEC, 0):
        try:
            raw_syscall(architecture(), "close_range", LAST_DESCRIPTOR, LAST_DESCRIPTOR, flags)
        except OSError:
            continue
        return flags
    return None
