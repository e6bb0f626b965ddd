"""The signals whose numbers are the same on every system: those that this package sends, resets or ignores.

A module of its own, without ctypes, because the guardian needs the numbers too; the `signal` module makes enumerations, which is
not worth its import here. Windows has no signals; there these are the numbers that describe outcomes and stops.
"""

from __future__ import annotations

# <signal.h>
SIGHUP = 1
SIGINT = 2
SIGQUIT = 3
SIGKILL = 9
SIGPIPE = 13
SIGTERM = 15
SIGXFSZ = 25
