"""The signals that this package sends, resets or ignores on Linux.

`signal` makes enumerations of them, which is not worth its import here. The numbers are the same on every architecture of
`_abi/syscalls.py`; a test compares them with the declarations that `tools/check_syscalls.py` compares with <signal.h>.
"""

from __future__ import annotations

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
