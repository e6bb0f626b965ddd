"""What keeps the leash on this system, and the hook of frozen programs."""

from __future__ import annotations

import sys


def leash_scope() -> str:
    """Return what kills a leashed child when we die: `kernel`; `best_effort`, on a system without containment: nothing."""
    from .._os import leash_strength

    return leash_strength()


def run_guardian_if_invoked() -> None:
    """Call this first in `main()` of a frozen program, so that the program can be started once more as its own guardian.

    It does nothing elsewhere. In a process that was started as the guardian the call does not return.
    """
    from .._os import announce_hook, guardian_invocation, run_hook

    arguments = guardian_invocation(sys.argv)
    if arguments is not None:
        run_hook(arguments)
    announce_hook()
