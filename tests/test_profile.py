"""What a run cost: api.md §5.5 and §10.2, and the command line's `--profile`."""

import asyncio
import json
import pickle
import subprocess
import sys

import pytest
from programs import py, sh, sleep

from processkit import Outcome, ProcessGroup, RunProfile

BUSY = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint('x' * 100000)"


@pytest.fixture(params=["sync", "async"])
def profile(request):
    """`profile(process, every)`: the verb, or its awaitable twin in a loop of its own."""

    async def awaited(process, every):
        return await process.aprofile(every)

    if request.param == "sync":
        return lambda process, every: process.profile(every)
    return lambda process, every: asyncio.run(awaited(process, every))


def test_a_profile_says_how_it_ended_and_what_it_used(profile):
    found = profile(py(BUSY).start(), 0.02)
    assert (found.code, found.signal, found.timed_out, found.outcome) == (0, None, False, Outcome(0, None, False))
    assert found.duration_seconds >= 0.3
    assert found.samples >= 1
    if found.cpu_time_seconds is not None:
        assert found.cpu_time_seconds >= 0.2
        assert found.avg_cpu_cores == found.cpu_time_seconds / found.duration_seconds
    assert found.peak_memory_bytes is None or found.peak_memory_bytes > 1 << 20


def test_a_deadline_and_an_exit_code_are_data(profile):
    assert profile(sleep().timeout(0.3).start(), 0.01).timed_out
    assert profile(sh("exit 3").start(), 10).code == 3
    with ProcessGroup() as group:
        assert profile(group.start(sh("exit 4")), 0.01).code == 4


def test_a_profile_is_a_value():
    found = sh("exit 0").start().profile(1)
    assert pickle.loads(pickle.dumps(found)) == found
    assert "samples=" in repr(found)
    assert found != RunProfile(found.outcome, -1.0, None, None, 0)


@pytest.mark.parametrize("every", [0, -1, float("nan"), "x"])
def test_an_interval_that_makes_no_sense_spends_nothing(every):
    with sleep().start() as process:
        with pytest.raises((TypeError, ValueError)):
            process.profile(every)
        assert process.poll() is None


KEYS = ["duration_seconds", "cpu_time_seconds", "peak_memory_bytes", "avg_cpu_cores", "samples", "code", "signal", "timed_out"]


def test_the_command_line_writes_one_line_of_figures_whatever_the_outcome(tmp_path, in_child_env):
    def run(*words):
        command = [sys.executable, "-m", "processkit", "run", *words]
        return subprocess.run(command, env=in_child_env, capture_output=True, text=True, check=False)

    child = sh("echo out; exit 3")
    words = ["--", child.program, *child.arguments]
    done = run("--profile", *words)
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert list(json.loads(done.stderr)) == KEYS
    path = tmp_path / "figures"
    done = run("--profile", str(path), *words)
    assert (done.returncode, done.stderr) == (3, "")
    figures = json.loads(path.read_text())
    assert (figures["code"], figures["signal"], figures["timed_out"]) == (3, None, False)
    done = run("--profile", str(tmp_path / "no" / "figures"), *words)
    assert done.returncode == 125
    assert "could not be written" in done.stderr
    late = sleep()
    done = run("--timeout", "0.3", "--profile", str(path), "--", late.program, *late.arguments)
    assert (done.returncode, json.loads(path.read_text())["timed_out"]) == (124, True)
