"""The signals with numbers of Linux's own: the same on every architecture of syscalls.py. See signals.py."""

from __future__ import annotations

# <signal.h>
SIGUSR1 = 10
SIGUSR2 = 12
SIGCHLD = 17
SIGCONT = 18
SIGSTOP = 19
SIGTSTP = 20
