"""A member that has become another user's may not be killed: a verb does not wait for it for ever, and says who is left."""

import json
import os
import signal
import subprocess
import sys

import pytest
from owners import ROOT, carriers
from programs import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user's")

# The owner is root without CAP_KILL: capabilities(7). A process of another user's is then as far from it as root's is from yours.
OWNER = """
import ctypes, os, sys
if len(sys.argv) == 1:
    assert ctypes.CDLL(None).prctl(24, 5, 0, 0, 0) == 0  # PR_CAPBSET_DROP, CAP_KILL
    os.execv(sys.executable, [sys.executable, "-c", sys.argv_of_mine, "again"])
import asyncio, json, time, warnings
from processkit import Command, ProcessError, ProcessGroup
STRANGER = Command("/bin/sleep", ["60"]).uid(65534)
warnings.simplefilter("always")

def told(act):
    with warnings.catch_warnings(record=True) as caught:
        began = time.monotonic()
        found = act()
        print(json.dumps([found, [str(each.message) for each in caught], time.monotonic() - began]), flush=True)
"""
#: Seconds that a verb takes at most beyond what it was told to: one for those that may not be killed, and what a slow machine needs.
MOST = 4.0


@pytest.fixture
def owner(token):
    """Runs lines of an owner that may kill no stranger; what they tell, a value, warnings and seconds each."""

    def run(script):
        source = OWNER + script
        first = source.replace("sys.argv_of_mine", repr(source))
        environment = {**os.environ, "PYTHONPATH": ROOT, "PROCESSKIT_MECHANISM": "process_group"}
        done = subprocess.run(
            [sys.executable, "-c", first], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    yield run
    for pid in carriers(token):
        if pid != os.getpid():
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not [pid for pid in carriers(token) if pid != os.getpid()])


@pytest.mark.parametrize("verb", ["output", "output_bytes", "aoutput"])
def test_a_timeout_ends_a_verb_whose_child_may_not_be_killed_and_names_it(owner, verb):
    call = f"STRANGER.timeout(0.2).{verb}()"
    call = f"asyncio.run({call})" if verb.startswith("a") else call
    ((found, said, seconds),) = owner(
        f"def act():\n    result = {call}\n    return [result.timed_out, result.leaked, result.pid]\ntold(act)\n"
    )
    timed_out, leaked, pid = found
    assert (timed_out, leaked, said) == (True, 1, [f"/bin/sleep: could not be killed, and left alive: {pid} (sleep)"])
    assert os.path.exists(f"/proc/{pid}")
    assert seconds < MOST


def test_leaving_a_block_or_a_chain_or_a_leash_waits_no_longer(owner):
    three = owner(
        "def block():\n    with STRANGER.start():\n        pass\ntold(block)\n"
        "told(lambda: (STRANGER | Command('/bin/cat')).timeout(0.2).output().leaked)\n"
        "told(lambda: STRANGER.leash().timeout(0.2).output().leaked)\n"
    )
    assert [(found, len(said)) for found, said, _ in three] == [(None, 1), (1, 1), (1, 1)]
    assert all(seconds < MOST for _, _, seconds in three)


def test_a_descendant_that_may_not_be_killed_is_counted_and_the_result_is_kept(owner):
    ((found, said, seconds),) = owner(
        'left = \'import os, time; os.fork() or (os.setuid(65534), os.execv("/bin/sleep", ["sleep", "60"])); time.sleep(0.3)\'\n'
        "def act():\n    result = Command(sys.executable, ['-c', left]).output()\n    return [result.code, result.leaked]\ntold(act)\n"
    )
    assert (found, len(said)) == ([0, 1], 1)
    assert seconds < MOST


def test_a_group_counts_and_names_who_is_left_and_ends_the_others(owner):
    (stop, _, seconds), (kill_all, _, _), (_, said, _) = owner(
        "group = ProcessGroup(shutdown_grace=0)\n"
        "stranger, own = group.start(STRANGER), group.start(Command('/bin/sleep', ['60']))\n"
        "pids = [stranger.pid, own.pid]\n"
        "def stop():\n    report = group.stop(0.2)\n    return [pids, report.members_before, report.members_after, group.members()]\n"
        "told(stop)\n"
        "def kill_all():\n    try:\n        group.kill_all()\n    except ProcessError as error:\n        return str(error)\n"
        "told(kill_all)\n"
        "told(group.shutdown)\n"
    )
    (stranger, own), before, after, members = stop
    assert (before, after, members) == (2, 1, [stranger])
    assert not os.path.exists(f"/proc/{own}")
    assert kill_all == f"members could not be killed, and live on: {stranger} (sleep)"
    assert said == [f"ProcessGroup: could not be killed, and left alive: {stranger} (sleep)"]
    assert seconds < MOST
