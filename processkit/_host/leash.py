"""What the leash holds to on this system, and the hook of frozen programs."""

from __future__ import annotations

import sys


def leash_scope() -> str:
    """Who kills a leashed child when we die: `kernel`, `guardian`, or `best_effort` (only a drop or an exit does)."""
    from .._os import leash_strength

    return leash_strength()


def run_guardian_if_invoked() -> None:
    """To be called first in `main()` of a frozen program: lets it be its own guardian, and is that one when asked to.

    A no-op everywhere else. When this process is the guardian, the call does not return.
    """
    from .._os import announce_hook, guardian_invocation, run_hook

    arguments = guardian_invocation(sys.argv)
    if arguments is not None:
        run_hook(arguments)
    announce_hook()
