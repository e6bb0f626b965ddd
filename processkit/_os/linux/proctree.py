"""Process groups and their members' descendants, found by walking /proc; used by the owner and by the guardian alike.

A process that leaves its group *and* whose parent dies is out of reach here: this is what `process_group` cannot promise.
"""

from __future__ import annotations

import os
import sys
import time

from ..._abi.linux_signals import SIGSTOP
from ..._abi.signals import SIGKILL
from .procfs import read_stat, snapshot

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._core.proctext import Stat
    from ..port import Tree

# A tree that forks faster than we walk is stopped member by member; this limit bounds the damage of a bug of ours.
MOST_PASSES = 200
# Stopped or traced: proc_pid_stat(5). A process that hangs in the kernel, or may not be signalled, is waited for no longer.
STANDING = ("T", "t")
STOP_PATIENCE = 0.5


def reachable(groups: set[int], roots: set[int], table: dict[int, Stat] | None = None) -> dict[int, Stat]:
    """The live members of `groups`, the live processes among `roots`, and all live descendants of either."""
    table = snapshot() if table is None else table
    children: dict[int, list[int]] = {}
    for stat in table.values():
        children.setdefault(stat.ppid, []).append(stat.pid)
    found: dict[int, Stat] = {}
    waiting = [pid for pid, stat in table.items() if stat.pgrp in groups or pid in roots]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found[pid] = table[pid]
            waiting += children.get(pid, ())
    me = os.getpid()
    return {pid: stat for pid, stat in found.items() if not stat.gone and pid != me}


def _send(stat: Stat, number: int, refused: set[int] | None = None) -> bool:
    """Signal the process that `stat` describes, unless its pid belongs to another process by now; whether that reached it.

    One that has become another user's is put into `refused`. kill(2), EPERM
    """
    current = read_stat(stat.pid)
    if current is None or current.start != stat.start:
        return False
    try:
        os.kill(stat.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        if refused is not None:
            refused.add(stat.pid)
        return False
    return True


def send_all(groups: set[int], roots: set[int], number: int) -> int:
    """Signal all reachable processes, pass after pass until one finds no new process; returns how many it reached."""
    tried: set[tuple[int, int]] = set()
    reached = 0
    for _ in range(MOST_PASSES):
        fresh = [stat for stat in reachable(groups, roots).values() if (stat.pid, stat.start) not in tried]
        if not fresh:
            break
        for stat in fresh:
            tried.add((stat.pid, stat.start))
            reached += _send(stat, number)
    return reached


def kill_all(groups: set[int], roots: set[int]) -> set[int]:
    """Stop, list, kill: a stopped process does not fork, so the list is complete before the first parent dies.

    1. Killing a parent first would hand its children to init, and those in another group would be lost.
    2. So every pass stops the processes that it finds new, until a pass finds none.
    3. A process inside fork(2) gets its child before it stops: only a pass that finds all processes stopped has seen all.
    4. Then all are killed; SIGKILL ends stopped processes too.

    Returns the pids of those that we may not kill.
    """
    stopped: dict[tuple[int, int], Stat] = {}
    refused: set[int] = set()
    deadline = time.monotonic() + STOP_PATIENCE
    for _ in range(MOST_PASSES):
        found = reachable(groups, roots).values()
        fresh = [stat for stat in found if (stat.pid, stat.start) not in stopped]
        for stat in fresh:
            stopped[stat.pid, stat.start] = stat
            _send(stat, SIGSTOP, refused)
        if not fresh:
            if time.monotonic() > deadline or all(stat.state in STANDING or stat.pid in refused for stat in found):
                break
            time.sleep(0.0005)
    refused.clear()
    # Children before their parents: who takes up an interrupted kill finds the others by those.
    for stat in [*stopped.values()][::-1]:
        _send(stat, SIGKILL, refused)
    kill_groups(groups)
    return refused


def kill_groups(groups: set[int]) -> set[int]:
    """Kill these process groups; returns those that we may not kill."""
    refused: set[int] = set()
    send_to_groups(groups, SIGKILL, refused)
    return refused


def send_to_groups(groups: set[int], number: int, refused: set[int] | None = None) -> int:
    """Signal these process groups, for which /proc is not needed; returns how many it reached. killpg(2)

    Those whose members are all another user's, zombies included, are put into `refused`.
    """
    reached = 0
    for group in groups:
        try:
            os.killpg(group, number)
            reached += 1
        except ProcessLookupError:
            pass  # the group is empty
        except PermissionError:
            if refused is not None:
                refused.add(group)
    return reached


def wait_gone(tree: Tree, patience: float = 10.0) -> bool:
    """Wait until a killed tree is empty, by polling at growing intervals. False when the patience ran out.

    Who may not be killed is waited for no longer than `Tree.unkillable` says.
    """
    deadline = time.monotonic() + patience
    pause = 0.0005
    while not tree.empty():
        now = time.monotonic()
        if now > deadline or _only_unkillable(tree, now):
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    return True


def _only_unkillable(tree: Tree, now: float) -> bool:
    """Whether none is left but those that may not be killed, and their time is up."""
    refused = tree.unkillable()
    return bool(refused) and now > max(refused.values()) and refused.keys() >= {*tree.members()}
