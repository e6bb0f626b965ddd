"""Linux declarations as in its headers: only those that this package uses."""

from __future__ import annotations

import ctypes

from .foreign import (
    Library,
    c_int,
    c_long,
    minus_one,
    size_t,
    void_p,
)

libc = Library(None, globals())


# <sys/mman.h>
PROT_READ = 0x1
PROT_WRITE = 0x2
PROT_EXEC = 0x4
MAP_PRIVATE = 0x02
MAP_ANONYMOUS = 0x20


@libc.prototype(fails=minus_one)
def mprotect(addr: void_p, length: size_t, prot: c_int) -> c_int: ...


# <unistd.h>
@libc.prototype(fails=minus_one, variadic=True)
def syscall(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long) -> c_long: ...


# <linux/sched.h>
CLONE_VM = 0x00000100
CLONE_VFORK = 0x00004000
CLONE_PIDFD = 0x00001000
CLONE_CHILD_SETTID = 0x01000000
CLONE_CLEAR_SIGHAND = 0x100000000
CLONE_INTO_CGROUP = 0x200000000


class clone_args(ctypes.Structure):
    """struct clone_args"""

    _fields_ = [
        ("flags", ctypes.c_uint64),
        ("pidfd", ctypes.c_uint64),
        ("child_tid", ctypes.c_uint64),
        ("parent_tid", ctypes.c_uint64),
        ("exit_signal", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("stack_size", ctypes.c_uint64),
        ("tls", ctypes.c_uint64),
        ("set_tid", ctypes.c_uint64),
        ("set_tid_size", ctypes.c_uint64),
        ("cgroup", ctypes.c_uint64),
    ]


CLONE_ARGS_SIZE_VER2 = 88

# <linux/prctl.h>
PR_SET_PDEATHSIG = 1

# <linux/close_range.h>
CLOSE_RANGE_CLOEXEC = 4

# <fcntl.h>
F_SETFD = 2
F_DUPFD_CLOEXEC = 1030

# <linux/resource.h>
PRIO_PROCESS = 0


class rlimit64(ctypes.Structure):
    """struct rlimit64"""

    _fields_ = [("rlim_cur", ctypes.c_uint64), ("rlim_max", ctypes.c_uint64)]


# <linux/ioprio.h>
IOPRIO_CLASS_SHIFT = 13
IOPRIO_CLASS_RT = 1
IOPRIO_CLASS_BE = 2
IOPRIO_CLASS_IDLE = 3
IOPRIO_WHO_PROCESS = 1

# <signal.h>
SIG_SETMASK = 2
SIG_IGN = 1

# The kernel's own signal set is 8 bytes on every architecture of `syscalls.py`, not libc's 128: sigprocmask(2).
KERNEL_SIGSET_BYTES = 8
# rt_sigaction(2) takes handler, flags, restorer, mask: at most 32 bytes; all zero is SIG_DFL in every layout.
KERNEL_SIGACTION_BYTES = 32

# <linux/wait.h>
WNOHANG = 0x00000001
WEXITED = 0x00000004
WNOWAIT = 0x01000000
P_PID = 1

# <asm/siginfo.h>
CLD_EXITED = 1
CLD_DUMPED = 3
SI_MAX_SIZE = 128
# Which ints of a siginfo_t these are: si_code, and si_status in the union that is aligned as a pointer.
SIGINFO_CODE_AT = 2
SIGINFO_STATUS_AT_64 = 6
SIGINFO_STATUS_AT_32 = 5

# <linux/pidfd.h>
PIDFD_GET_INFO = 0xC058FF0B
PIDFD_INFO_EXIT = 8


class pidfd_info(ctypes.Structure):
    """struct pidfd_info"""

    _fields_ = [
        ("mask", ctypes.c_uint64),
        ("cgroupid", ctypes.c_uint64),
        ("pid", ctypes.c_uint32),
        ("tgid", ctypes.c_uint32),
        ("ppid", ctypes.c_uint32),
        ("ruid", ctypes.c_uint32),
        ("rgid", ctypes.c_uint32),
        ("euid", ctypes.c_uint32),
        ("egid", ctypes.c_uint32),
        ("suid", ctypes.c_uint32),
        ("sgid", ctypes.c_uint32),
        ("fsuid", ctypes.c_uint32),
        ("fsgid", ctypes.c_uint32),
        ("exit_code", ctypes.c_int32),
        ("coredump_mask", ctypes.c_uint32),
        ("coredump_signal", ctypes.c_uint32),
        ("coredump_code", ctypes.c_uint32),
        ("coredump_pad", ctypes.c_uint32),
        ("supported_mask", ctypes.c_uint64),
    ]
