"""The signals with numbers of macOS's and the BSDs' own. See signals.py."""

from __future__ import annotations

# <signal.h>
SIGUSR1 = 30
SIGUSR2 = 31
