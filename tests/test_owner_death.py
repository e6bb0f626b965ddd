"""The promise: nothing that an owner started outlives it, however the owner goes, whatever its children do to get away."""

from __future__ import annotations

import json
import os
import random
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
if HERE not in sys.path:
    sys.path.insert(0, HERE)

if os.name == "posix":
    import owners
else:
    import owners_windows as owners

import processkit  # noqa: E402

each_mechanism, homes_of, wait_until = owners.each_mechanism, owners.homes_of, owners.wait_until

# An owner: starts TREE in one of the ways, waits for a line on stdin, and goes in one of the ways.
OWNER = r"""
import asyncio, os, signal, sys, threading
how, end, *tree = sys.argv[1:]
if os.name == "posix":
    import resource
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
    if end == "raises":
        if threading.current_thread() is threading.main_thread():
            raise RuntimeError("on purpose")
        # In the middle of what the main thread does.
        os.kill(os.getpid(), signal.SIGINT) if os.name == "posix" else signal.raise_signal(signal.SIGINT)

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
elif how == "command line":
    threading.Thread(target=go, daemon=True).start()
    sys.argv[1:] = ["run", "--", sys.executable, *tree]
    from processkit._cli import main_and_exit
    main_and_exit()
elif end == "returns":
    asyncio.run(beside())
else:
    threading.Thread(target=go, daemon=True).start()
    asyncio.run(within())
"""


@pytest.fixture
def owner(tmp_path, mechanism, token):
    """An owner that uses `mechanism`, not yet begun."""
    one = owners.Owner(tmp_path, mechanism)
    yield one
    one.clear(token)


def escapees(mechanism: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(kinds of children to try, names of those that a mechanism cannot hold)."""
    if mechanism == "cgroup_v2":
        return ("plain", "setsid", "daemon", "stubborn", "forker", "hopper"), ()
    if mechanism == "job_object":
        return owners.KINDS, ()
    return ("plain", "setsid", "daemon", "stubborn", "forker"), ("k-daemon",)


SIGNALS = owners.SIGNALS
ENDS = [*SIGNALS, *owners.ENDS_OF_ITS_OWN]
WAYS = [(how, end) for how in ("group", "private tree", "output", "async") for end in ENDS]
WAYS += [(how, "returns") for how in ("group", "private tree", "async", "thread")] + [("thread", "is killed")]
WAYS += [("command line", end) for end in ("is killed", "exits at once", "aborts", "raises")]


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
@pytest.mark.parametrize("end", [end for end in ("is killed", "has a segmentation fault") if end in SIGNALS])
def test_whatever_the_command_line_started_dies_with_it(owner, mechanism, token, end):
    kinds, escaping = escapees(mechanism)
    command = [sys.executable, "-m", "processkit", "run", "--", sys.executable, *owner.tree_words(*kinds)]
    if os.name == "posix":
        command = ["/bin/sh", "-c", 'ulimit -c 0; exec "$@"', "sh", *command]
    process = owner.begin_command(*command)
    owner.wait_for("first", *kinds)
    process.send_signal(SIGNALS[end])
    process.wait(20)
    owner.assert_gone(token, escaping)


@each_mechanism
@pytest.mark.parametrize("how", ["group", "private tree", "output", "async", "command line"])
def test_a_child_in_a_console_of_its_own_dies_with_its_owner(owner, mechanism, token, how):
    if os.name == "posix":
        pytest.skip("this system has no consoles that a program opens for itself")
    if not owners.opens_consoles:
        pytest.skip("no window, and so no console, can be opened here")
    owner.begin(OWNER, how, "is killed", *owner.tree_words("new console"))
    owner.wait_for("first", "new console")
    owner.kill_and_reap()
    owner.assert_gone(token)


SPAWNING = r"""
import json, sys, threading
import processkit
how, *words = sys.argv[1:]
stays, ends = map(json.loads, words)
command = processkit.Command(stays[0], stays[1:])
quick = processkit.Command(ends[0], ends[1:]).stdout("null").stderr("null")

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
    moment = random.Random(f"{how} {seed}").uniform(0, owners.BUSY)
    busy = [json.dumps(words) for words in owner.busy_words()]
    owner.begin(SPAWNING, how, *busy)
    assert owner.line() == "spawning"
    deadline = time.monotonic() + moment
    while time.monotonic() < deadline:
        pass
    owner.kill_and_reap()
    owner.assert_gone(token, home=False)
    # Before its first spawn there may be a home, empty, and no guardian yet: then the next owner removes it.
    dead = owner.process.pid
    owner.begin(SPAWNING, "private trees", *busy)
    assert owner.line() == "spawning"
    wait_until(lambda: not homes_of(dead), what=lambda: f"the removal of {homes_of(dead)}")
    owner.kill_and_reap()
    owner.assert_gone(token, home=False)


def test_a_start_that_is_interrupted_when_the_child_runs_already_leaves_nothing(owner, mechanism, token, monkeypatch):
    command = processkit.Command(sys.executable, owner.tree_words(*owners.LOOSE))
    with processkit.ProcessGroup() as group:
        with owners.interrupted_starts(monkeypatch, lambda: owner.wait_for("first", *owners.LOOSE)):
            with pytest.raises(KeyboardInterrupt):
                group.start(command)
            with pytest.raises(KeyboardInterrupt):
                command.start()
        wait_until(lambda: not owner.survivors(token), what=lambda: f"the end of {owner.survivors(token)}")
