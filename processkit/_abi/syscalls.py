"""Linux system call numbers: one row per call, one column per architecture, as in the kernel's <asm/unistd.h>."""

from __future__ import annotations

ARCHITECTURES = ("x86_64", "aarch64", "riscv64", "ppc64le", "s390x", "loongarch64", "i386", "armhf")

# `None`: the architecture has no such call. On i386 and armhf the plain names of the `32` rows take 16-bit ids.
# <asm/unistd.h>
NUMBERS: dict[str, tuple[int | None, ...]] = {
    "chdir": (80, 49, 49, 12, 12, 49, 12, 12),
    "clone": (56, 220, 220, 120, 120, 220, 120, 120),
    "clone3": (435, 435, 435, 435, 435, 435, 435, 435),
    "close": (3, 57, 57, 6, 6, 57, 6, 6),
    "close_range": (436, 436, 436, 436, 436, 436, 436, 436),
    "dup3": (292, 24, 24, 316, 326, 24, 330, 358),
    "execve": (59, 221, 221, 11, 11, 221, 11, 11),
    "exit": (60, 93, 93, 1, 1, 93, 1, 1),
    "fcntl": (72, 25, 25, 55, 55, 25, 55, 55),
    "getcpu": (309, 168, 168, 302, 311, 168, 318, 345),
    "getpid": (39, 172, 172, 20, 20, 172, 20, 20),
    "getppid": (110, 173, 173, 64, 64, 173, 64, 64),
    "ioctl": (16, 29, 29, 54, 54, 29, 54, 54),
    "ioprio_set": (251, 30, 30, 273, 282, 30, 289, 314),
    "kill": (62, 129, 129, 37, 37, 129, 37, 37),
    # The 32-bit mmap, and that of s390x, takes a pointer to its arguments: this package does not call it there.
    "mmap": (9, 222, 222, 90, 90, 222, 90, None),
    "munmap": (11, 215, 215, 91, 91, 215, 91, 91),
    "openat": (257, 56, 56, 286, 288, 56, 295, 322),
    "pidfd_open": (434, 434, 434, 434, 434, 434, 434, 434),
    "pidfd_send_signal": (424, 424, 424, 424, 424, 424, 424, 424),
    "ppoll": (271, 73, 73, 281, 302, 73, 309, 336),
    "prctl": (157, 167, 167, 171, 172, 167, 172, 172),
    "prlimit64": (302, 261, 261, 325, 334, 261, 340, 369),
    "read": (0, 63, 63, 3, 3, 63, 3, 3),
    "rt_sigaction": (13, 134, 134, 173, 174, 134, 174, 174),
    "rt_sigprocmask": (14, 135, 135, 174, 175, 135, 175, 175),
    "sched_setaffinity": (203, 122, 122, 222, 239, 122, 241, 241),
    "setgroups": (116, 159, 159, 81, 206, 159, 81, 81),
    "setgroups32": (None, None, None, None, None, None, 206, 206),
    "setpgid": (109, 154, 154, 57, 57, 154, 57, 57),
    "setpriority": (141, 140, 140, 97, 97, 140, 97, 97),
    "setresgid": (119, 149, 149, 169, 210, 149, 170, 170),
    "setresgid32": (None, None, None, None, None, None, 210, 210),
    "setresuid": (117, 147, 147, 164, 208, 147, 164, 164),
    "setresuid32": (None, None, None, None, None, None, 208, 208),
    "setsid": (112, 157, 157, 66, 66, 157, 66, 66),
    "umask": (95, 166, 166, 60, 60, 166, 60, 60),
    "waitid": (247, 95, 95, 272, 281, 95, 284, 280),
    "write": (1, 64, 64, 4, 4, 64, 4, 4),
}

# Machine name of uname(2) → the column for a 64-bit process, and the one for a 32-bit process on the same kernel.
_MACHINES = {
    "x86_64": ("x86_64", "i386"),
    "amd64": ("x86_64", "i386"),
    "aarch64": ("aarch64", "armhf"),
    "riscv64": ("riscv64", None),
    "ppc64le": ("ppc64le", None),
    "s390x": ("s390x", None),
    "loongarch64": ("loongarch64", None),
    "i386": (None, "i386"),
    "i486": (None, "i386"),
    "i586": (None, "i386"),
    "i686": (None, "i386"),
    "armv6l": (None, "armhf"),
    "armv7l": (None, "armhf"),
    "armv8l": (None, "armhf"),
}


def architecture(machine: str, wide: bool) -> str | None:
    """The column for uname's `machine` and a process of 64 (`wide`) or 32 bits; None if there is no such column."""
    pair = _MACHINES.get(machine, (None, None))
    return pair[0] if wide else pair[1]


def numbers(architecture: str) -> dict[str, int]:
    """Name → number for one architecture; calls that it does not have are absent."""
    column = ARCHITECTURES.index(architecture)
    return {name: row[column] for name, row in NUMBERS.items() if row[column] is not None}
