"""The signals that this package sends, resets, ignores or names: the numbers of the system that runs it.

A module of its own, without ctypes, because the guardian needs the numbers too; the `signal` module makes enumerations, which is
not worth its import here. Windows has no signals; there these are the numbers that describe outcomes and stops.
"""

from __future__ import annotations

import sys

# <signal.h>, the same on every system: kill(1), POSIX.1
SIGHUP = 1
SIGINT = 2
SIGQUIT = 3
SIGKILL = 9
SIGPIPE = 13
SIGTERM = 15
SIGXFSZ = 25

if sys.platform == "darwin" or "bsd" in sys.platform:
    # <sys/signal.h>
    SIGSTOP = 17
    SIGTSTP = 18
    SIGCONT = 19
    SIGCHLD = 20
    SIGUSR1 = 30
    SIGUSR2 = 31
else:
    # <asm-generic/signal.h>, and <asm/signal.h> of every architecture of syscalls.py
    SIGUSR1 = 10
    SIGUSR2 = 12
    SIGCHLD = 17
    SIGCONT = 18
    SIGSTOP = 19
    SIGTSTP = 20
