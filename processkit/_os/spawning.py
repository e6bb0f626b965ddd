"""Plan to living child: streams, script, launch, and nothing left of it when any of them fails."""

from __future__ import annotations

import os
import sys

from .._abi.signals import SIGKILL
from .birth import Placement, compile_script, script_for
from .child import LinuxChild
from .launchers import launcher
from .launching import Launched
from .stdio import Streams

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .port import Plan, Tree
    from .script import Script


def spawn_child(
    plan: Plan, placement: Placement, tree: Tree, launch: Callable[[Script, Launched], None] | None = None
) -> LinuxChild:
    """A child of `plan` inside `tree`, cloned by `launch` or on this thread, or an exception and nothing of it."""
    sys.audit("subprocess.Popen", plan.path, plan.argv, plan.cwd, plan.env.entries)
    child = LinuxChild(tree)
    streams = Streams(plan)
    linger = (streams.ours[1], streams.ours[2]) if placement.linger else None
    launched = Launched(streams.theirs, linger, streams.child, placement.cgroup_fd)
    try:
        try:
            (launch or launcher().launch)(script_for(plan, streams.child, placement), launched)
            tree.born(launched.pid)
            if streams.theirs:
                streams.close_theirs()
            child.take(launched, streams)
        finally:
            if streams.ours or streams.theirs:
                streams.close()
        return child
    except BaseException:
        if child.born:
            child.end()
        elif launched.pid > 0:
            pid = launched.pid
            tree.born(pid)
            # The tree first: a leader that dies before its tree is listed takes the way to its descendants with it.
            tree.kill()
            os.kill(pid, SIGKILL)  # not reaped yet, so the pid is its own
            launched.wait()
            tree.release(pid)
        raise


def spawn_orphan(plan: Plan, placement: Placement) -> int:
    """A process that is nobody's child and in nobody's container; returns its pid. Nothing of it stays with us."""
    sys.audit("subprocess.Popen", plan.path, plan.argv, plan.cwd, plan.env.entries)
    streams = Streams(plan)
    launched = Launched()
    try:
        launcher().launch(compile_script(plan, streams.child, placement), launched)
    finally:
        streams.close()
        if launched.pid > 0:
            launched.discard()
    assert placement.registration is not None
    return placement.registration[1]
