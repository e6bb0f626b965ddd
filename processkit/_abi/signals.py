"""The signals that this package sends, resets or ignores on Linux: the same numbers on every architecture of syscalls.py.

A module of its own, without ctypes: the guardian needs them too, and the `signal` module makes enumerations of them, which is
not worth its import here.
"""

from __future__ import annotations

# <signal.h>
SIGHUP = 1
SIGINT = 2
SIGQUIT = 3
SIGKILL = 9
SIGUSR1 = 10
SIGUSR2 = 12
SIGPIPE = 13
SIGTERM = 15
SIGCHLD = 17
SIGCONT = 18
SIGSTOP = 19
SIGTSTP = 20
SIGXFSZ = 25
