"""The promise: nothing that an owner started outlives it, however the owner goes, whatever its children do to get away."""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from owners import Owner, carriers, each_mechanism, homes_of, wait_until  # noqa: E402

import processkit  # noqa: E402
from processkit._os import spawning  # noqa: E402

# An owner: starts TREE in one of the ways, waits for a line on stdin, and goes in one of the ways.
OWNER = r"""
import asyncio, os, resource, signal, sys, threading
how, end, *tree = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.signal(signal.SIGINT, signal.default_int_handler)

import processkit

def go():
    sys.stdin.readline()
    if end == "exits at once":
        os._exit(3)
    if end == "aborts":
        os.abort()
    if end == "becomes another program":
        os.execv("/bin/sleep", ["sleep", "60"])

command = processkit.Command(sys.executable, tree)

async def beside():
    task = asyncio.ensure_future(command.aoutput())
    await asyncio.get_running_loop().run_in_executor(None, go)

async def within():
    await command.aoutput()

if how == "group":
    group = processkit.ProcessGroup()
    child = group.start(command)
    go()
elif how == "private tree":
    child = command.start()
    go()
elif how == "thread":
    threading.Thread(target=command.output, daemon=True).start()
    go()
elif how == "output":
    threading.Thread(target=go, daemon=True).start()
    command.output()
elif end == "returns":
    asyncio.run(beside())
else:
    threading.Thread(target=go, daemon=True).start()
    asyncio.run(within())
"""


@pytest.fixture
def owner(tmp_path, mechanism, token):
    """An owner that uses `mechanism`, not yet begun."""
    one = Owner(tmp_path, mechanism)
    yield one
    one.clear(token)


def escapees(mechanism: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(kinds of children to try, names of those that a mechanism cannot hold)."""
    if mechanism == "cgroup_v2":
        return ("plain", "setsid", "daemon", "stubborn", "forker", "hopper"), ()
    return ("plain", "setsid", "daemon", "stubborn", "forker"), ("k-daemon",)


SIGNALS = {
    "is killed": signal.SIGKILL,
    "is terminated": signal.SIGTERM,
    "is interrupted": signal.SIGINT,
    "has a segmentation fault": signal.SIGSEGV,
}
ENDS = [*SIGNALS, "exits at once", "aborts", "becomes another program"]
WAYS = [(how, end) for how in ("group", "private tree", "output", "async") for end in ENDS]
WAYS += [(how, "returns") for how in ("group", "private tree", "async", "thread")] + [("thread", "is killed")]


@each_mechanism
@pytest.mark.parametrize(("how", "end"), WAYS, ids=[f"{how}-{end}" for how, end in WAYS])
def test_whatever_an_owner_started_dies_with_it(owner, mechanism, token, how, end):
    kinds, escaping = escapees(mechanism)
    process = owner.begin(OWNER, how, end, *owner.tree_words(*kinds))
    owner.wait_for("first", *kinds)
    if end in SIGNALS:
        process.send_signal(SIGNALS[end])
    else:
        owner.tell()
    spare = ()
    if end == "becomes another program":
        spare = (process.pid,)
    else:
        process.wait(20)
    owner.assert_gone(token, escaping, spare)
    if spare:
        assert process.poll() is None, "the program that the owner became was hit"


@each_mechanism
@pytest.mark.parametrize("end", ["is killed", "has a segmentation fault"])
def test_whatever_the_command_line_started_dies_with_it(owner, mechanism, token, end):
    kinds, escaping = escapees(mechanism)
    tree = [sys.executable, *owner.tree_words(*kinds)]
    process = owner.begin_command(
        "/bin/sh", "-c", 'ulimit -c 0; exec "$@"', "sh", sys.executable, "-m", "processkit", "run", "--", *tree
    )
    owner.wait_for("first", *kinds)
    process.send_signal(SIGNALS[end])
    process.wait(20)
    owner.assert_gone(token, escaping)


SPAWNING = r"""
import sys, threading
import processkit
how = sys.argv[1]
command = processkit.Command("/bin/sh", ["-c", "/bin/sleep 60 & exec /bin/sleep 60"])
quick = processkit.Command("/bin/sh", ["-c", "/bin/sleep 60 & exec /bin/true"]).stdout("null").stderr("null")

def groups():
    while True:
        with processkit.ProcessGroup(shutdown_grace=0) as group:
            for _ in range(4):
                group.start(command)

def trees():
    held = []
    while True:
        held.append(command.start())
        if len(held) > 4:
            with held.pop(0):
                pass

def outputs():
    while True:
        quick.exit_code()

loops = {"groups": [groups], "private trees": [trees], "verbs": [outputs], "threads": [groups, trees, outputs]}[how]
for loop in loops[1:]:
    threading.Thread(target=loop, daemon=True).start()
print("spawning", flush=True)
loops[0]()
"""


@each_mechanism
@pytest.mark.parametrize("how", ["groups", "private trees", "verbs", "threads"])
@pytest.mark.parametrize("seed", range(4), ids="seed{}".format)
def test_an_owner_killed_at_any_moment_of_its_spawns_leaves_nothing(owner, mechanism, token, how, seed):
    moment = random.Random(f"{how} {seed}").uniform(0, 0.12)
    owner.begin(SPAWNING, how)
    assert owner.line() == "spawning"
    deadline = time.monotonic() + moment
    while time.monotonic() < deadline:
        pass
    owner.kill_and_reap()
    owner.assert_gone(token, home=False)
    # Before its first spawn there may be a home, empty, and no guardian yet: then the next owner removes it.
    dead = owner.process.pid
    owner.begin(SPAWNING, "private trees")
    assert owner.line() == "spawning"
    wait_until(lambda: not homes_of(dead), what=lambda: f"the removal of {homes_of(dead)}")
    owner.kill_and_reap()
    owner.assert_gone(token, home=False)


def test_a_start_that_is_interrupted_when_the_child_runs_already_leaves_nothing(owner, mechanism, token, monkeypatch):
    real = spawning.launcher()

    class Interrupted:
        name = real.name

        def launch(self, script, launched) -> None:
            real.launch(script, launched)
            owner.wait_for("first", "setsid", "stubborn")
            raise KeyboardInterrupt

    command = processkit.Command(sys.executable, owner.tree_words("setsid", "stubborn"))
    with processkit.ProcessGroup() as group:
        with monkeypatch.context() as patch:
            patch.setattr(spawning, "launcher", Interrupted)
            with pytest.raises(KeyboardInterrupt):
                group.start(command)
            with pytest.raises(KeyboardInterrupt):
                command.start()
        wait_until(lambda: not carriers(token), what=lambda: f"the end of {carriers(token)}")
