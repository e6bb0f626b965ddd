"""Exit statuses that something else in this process takes: api.md §5.2. The truth where the kernel tells it, else an error."""

import json
import pickle
import subprocess
import sys

import pytest
from programs import needs_fork

from processkit import Command, ExitStatusLost, Outcome

pytestmark = needs_fork

# Somebody takes the exit statuses of all children.
TAKING = {
    "SIGCHLD is ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "a handler waits for any child": """
def take(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
signal.signal(signal.SIGCHLD, take)
""",
    "a thread waits for any child": """
def take():
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(0.001)
threading.Thread(target=take, daemon=True).start()
""",
}
# Runs three commands, and says of each how it ended, and what a checking verb made of it.
RUNS = """
import json, os, signal, sys, threading, time
from processkit import Command, ProcessError
from processkit._os.linux import child
{taking}
if {blind}:
    child.status_by_pidfd = lambda pidfd: -1
said = []
for script in ("sleep 0.02; exit 0", "sleep 0.02; exit 3", "sleep 0.02; kill -9 $$"):
    command = Command("/bin/sh", ["-c", script])
    outcome = command.output().outcome
    try:
        verdict = command.exit_code()
    except ProcessError as error:
        verdict = type(error).__name__
    said.append([outcome.code, outcome.signal, outcome.status_lost, verdict])
print(json.dumps(said), flush=True)
os._exit(0)
"""
TRUE = [[0, None, False, 0], [3, None, False, 3], [None, 9, False, "Signalled"]]


def said(taking, blind, environment):
    script = RUNS.format(taking=TAKING[taking], blind=blind)
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("taking", TAKING)
def test_a_status_that_somebody_else_took_is_told_or_said_to_be_lost_and_never_guessed(mechanism, in_child_env, taking, blind):
    told = said(taking, blind, {**in_child_env, "PROCESSKIT_MECHANISM": mechanism})
    for told_one, true_one in zip(told, TRUE):
        lost = told_one == [None, None, True, "ExitStatusLost"]
        by_outcome, by_verb = told_one[:3] == true_one[:3], told_one[3] == true_one[3]
        # Who takes it comes too late now and then: each of the two runs is told or lost.
        assert lost or by_outcome or told_one[:3] == [None, None, True]
        assert lost or by_verb or told_one[3] == "ExitStatusLost"
    if blind and taking == "SIGCHLD is ignored":
        assert [told_one[2:] for told_one in told] == [[True, "ExitStatusLost"]] * 3


def test_a_child_can_wait_for_its_own_children_whatever_its_parent_ignores(mechanism, in_child_env):
    script = """
import signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from processkit import Command
print(Command(sys.executable, ["-c", "import signal; print(signal.getsignal(signal.SIGCHLD).name)"]).output().stdout)
"""
    environment = {**in_child_env, "PROCESSKIT_MECHANISM": mechanism}
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "SIG_DFL\n"


def test_a_lost_status_is_a_value_and_an_error_that_says_what_to_do():
    lost = Outcome(None, None, False, status_lost=True)
    assert (lost == Outcome(None, None, False, True), lost == Outcome(None, None, False)) == (True, False)
    assert pickle.loads(pickle.dumps(lost)) == lost
    result = Command("/bin/true").output()
    object.__setattr__(result, "_values", (*result._values[:3], lost, *result._values[4:]))
    for verb in (result.ensure_success,):
        with pytest.raises(ExitStatusLost, match="pids of its own children") as raised:
            verb()
        assert (raised.value.program, raised.value.pid) == ("/bin/true", result.pid)
        again = pickle.loads(pickle.dumps(raised.value))
        assert (str(again), again.pid) == (str(raised.value), result.pid)
    assert not result.is_success
