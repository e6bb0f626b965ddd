"""Handles of started processes: api.md §10, §24.1, §24.5, §30.1."""

import asyncio
import gc
import inspect
import os
import pickle
import signal
import sys
import threading
import time
import weakref

import pytest
from programs import POSIX, alive, cat, census, needs_signal_ends, needs_signals, sh, sleep, soon, wait_until

from processkit import (
    BytesResult,
    Command,
    Finished,
    Outcome,
    ProcessError,
    ProcessGroup,
    ProcessResult,
    RunningProcess,
    WaitTimeout,
    await_all,
    await_any,
    wait_all,
    wait_any,
)

CONSUMING = {"outcome": (), "finish": (), "output": (), "output_bytes": (), "shutdown": (0,)}
LIVE = [
    "pid", "elapsed_seconds", "cpu_time_seconds", "peak_memory_bytes", "stdout_line_count", "stderr_line_count",
    "stdout_bytes_seen", "stderr_bytes_seen",
]  # fmt: skip
SLEEP = sleep(1000)


def pid_in(path):
    """The pid that a child writes into `path`, once it is there."""
    return int(wait_until(lambda: path.exists() and path.read_text().strip()))


@pytest.fixture(params=["sync", "async"])
def consume(request):
    """`consume(build, verb, ...)`: start what `build()` describes and consume its handle, by the verbs or by their twins."""

    async def awaited(build, verb, words, before):
        process = await build().astart()
        if before is not None:
            before(process)
        return await getattr(process, "a" + verb)(*words)

    def sync(build, verb, *words, before=None):
        process = build().start()
        if before is not None:
            before(process)
        return getattr(process, verb)(*words)

    if request.param == "sync":
        return sync
    return lambda build, verb, *words, before=None: asyncio.run(awaited(build, verb, words, before))


# What it is.


def test_a_new_handle_shows_its_process():
    with SLEEP.start() as process:
        assert type(process) is RunningProcess
        assert alive(process.pid)
        assert process.elapsed_seconds >= 0
        assert process.cpu_time_seconds >= 0
        assert process.peak_memory_bytes > 0
        assert [getattr(process, name) for name in LIVE[4:]] == [0, 0, 0, 0]
        assert process.owns_group is True
        assert process.mechanism in census.MECHANISMS
        assert tuple(process.args) == (SLEEP.program, *SLEEP.arguments)
        assert str(process.pid) in repr(process)
        assert process.poll() is None


@pytest.mark.parametrize("verb", CONSUMING)
def test_a_spent_handle_has_no_live_properties(consume, verb):
    seen = []
    consume(lambda: sh("exit 0"), verb, *CONSUMING[verb], before=seen.append)
    (process,) = seen
    assert {name: getattr(process, name) for name in LIVE} == dict.fromkeys(LIVE)
    assert "consumed" in repr(process)


def test_leaving_the_block_spends_the_handle():
    with SLEEP.start() as process:
        pass
    assert {name: getattr(process, name) for name in LIVE} == dict.fromkeys(LIVE)
    assert "consumed" in repr(process)


def test_counters_grow_while_the_output_is_read(tmp_path):
    script = f"printf 'a\\nb\\n'; printf x >&2; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done"
    process = sh(script).start()
    results = []
    thread = threading.Thread(target=lambda: results.append(process.output()))
    thread.start()
    try:
        wait_until(lambda: (process.stdout_bytes_seen, process.stderr_bytes_seen) == (4, 1))
        assert (process.stdout_line_count, process.stderr_line_count) == (2, 0)
    finally:
        (tmp_path / "go").touch()
        thread.join()
    assert (results[0].stdout, results[0].stderr) == ("a\nb", "x")


def test_a_handle_is_equal_to_itself_only_and_cannot_be_pickled():
    with SLEEP.start() as one, SLEEP.start() as two:
        assert one != two
        assert len({one, two}) == 2
        with pytest.raises(TypeError, match="RunningProcess"):
            pickle.dumps(one)
        with pytest.raises(AttributeError):
            one.return_code
        with pytest.raises(AttributeError):
            one.return_code = 5
        with pytest.raises(AttributeError):
            one.pid = 5


@pytest.mark.parametrize("verb", CONSUMING)
def test_a_consuming_verb_has_a_twin_with_the_same_parameters(verb):
    twin = getattr(RunningProcess, "a" + verb)
    assert inspect.iscoroutinefunction(twin)
    names = list(inspect.signature(twin).parameters)
    assert names == list(inspect.signature(getattr(RunningProcess, verb)).parameters)
    assert names == (["self", "grace_seconds"] if verb == "shutdown" else ["self"])


# Consuming verbs.


def test_outcome_discards_what_was_said(consume):
    assert consume(lambda: sh("echo x; exit 3"), "outcome") == Outcome(3, None, False)
    flood = Command(sys.executable, ["-c", "import os\nfor _ in range(64): os.write(1, b'x' * 65536)"])
    assert consume(lambda: flood, "outcome").exited_zero


@needs_signal_ends
def test_an_end_by_a_signal_is_told_by_its_number(consume):
    assert consume(lambda: sh("kill -TERM $$"), "outcome") == Outcome(None, 15, False)


def test_finish_keeps_stderr(consume):
    finished = consume(lambda: sh("echo x; echo why >&2; exit 3"), "finish")
    assert type(finished) is Finished
    assert (finished.stderr, finished.outcome) == ("why", Outcome(3, None, False))
    assert (finished.code, finished.signal, finished.timed_out, finished.exited_zero) == (3, None, False, False)


def test_output_and_output_bytes_capture_what_was_said_before_they_were_called(consume, tmp_path):
    def said(process):
        wait_until((tmp_path / "said").exists)

    script = f"printf 'a\\n'; echo e >&2; : > {tmp_path}/said; exit 4"
    result = consume(lambda: sh(script), "output", before=said)
    assert type(result) is ProcessResult
    assert (result.stdout, result.stderr, result.code) == ("a", "e", 4)
    result = consume(lambda: sh(script), "output_bytes", before=said)
    assert type(result) is BytesResult
    assert (result.stdout, result.stderr, result.code) == (b"a\n", "e", 4)


@needs_signals
def test_shutdown_asks_and_the_tree_may_end_by_itself(consume, tmp_path):
    path = tmp_path / "pid"
    build = lambda: sh(f"trap 'exit 7' TERM; echo $$ > {path}; while :; do sleep 0.01; done")
    assert consume(build, "shutdown", 1000, before=lambda _: pid_in(path)) == Outcome(7, None, False)


def test_shutdown_kills_what_does_not_end_within_its_grace(consume, tmp_path):
    path = tmp_path / "pid"
    build = lambda: sh(f"trap '' TERM; echo $$ > {path}; while :; do sleep 0.01; done")
    assert consume(build, "shutdown", 0.05, before=lambda _: pid_in(path)) == Outcome(None, 9, False)


def test_shutdown_of_a_process_that_has_ended_reports_its_own_end(consume):
    ended = lambda process: wait_until(process.poll)
    assert consume(lambda: sh("exit 5"), "shutdown", 1000, before=ended) == Outcome(5, None, False)


def test_outcome_and_finish_accept_streams_that_are_not_piped_and_output_does_not(consume, tmp_path):
    silent = sh("echo x; echo y >&2; exit 2").stdout("null").stderr_file(tmp_path / "err")
    assert consume(lambda: silent, "outcome").code == 2
    assert consume(lambda: silent, "finish") == Finished(Outcome(2, None, False), "")
    for verb in ("output", "output_bytes"):
        seen = []
        with pytest.raises(ProcessError, match="not piped"):
            consume(lambda: silent, verb, before=seen.append)
        assert seen[0].pid is not None
        assert seen[0].outcome().code == 2


def test_an_input_that_was_kept_open_is_closed_by_a_consuming_verb(consume):
    assert consume(lambda: cat().keep_stdin_open(), "output").stdout == ""
    assert consume(lambda: cat().keep_stdin_open(), "outcome").exited_zero


def test_an_input_is_written_by_the_consuming_verb(consume):
    assert len(consume(lambda: cat().stdin_bytes(b"x" * 1_000_000), "output").stdout) == 1_000_000


def test_a_child_gets_its_input_although_nobody_consumes_the_handle_yet(tmp_path):
    with sh(f"cat > {tmp_path}/got; : > {tmp_path}/end").stdin_bytes(b"x" * 10).start():
        wait_until((tmp_path / "end").exists, 5)
        assert (tmp_path / "got").read_bytes() == b"x" * 10


@pytest.mark.parametrize("first", CONSUMING)
def test_a_kill_of_a_spent_handle_does_nothing(first):
    process = sh("exit 0").start()
    getattr(process, first)(*CONSUMING[first])
    process.kill()


@pytest.mark.parametrize("second", [*CONSUMING, "poll"])
@pytest.mark.parametrize("first", CONSUMING)
def test_a_spent_handle_refuses_everything_else(first, second):
    process = sh("exit 0").start()
    getattr(process, first)(*CONSUMING[first])
    with pytest.raises(ProcessError, match="consumed"):
        getattr(process, second)(*CONSUMING.get(second, ()))
    if second in CONSUMING:
        with pytest.raises(ProcessError, match="consumed"):
            asyncio.run(getattr(process, "a" + second)(*CONSUMING[second]))


@pytest.mark.parametrize(
    "bad", [(-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError), (None, TypeError)]
)
def test_bad_arguments_are_refused_before_the_handle_is_spent(consume, bad):
    seen = []
    with pytest.raises(bad[1], match="grace_seconds"):
        consume(lambda: SLEEP, "shutdown", bad[0], before=seen.append)
    assert alive(seen[0].pid)
    assert seen[0].shutdown(0).code is None
    assert seen[0].pid is None


@pytest.mark.parametrize("verb", CONSUMING)
def test_an_async_verb_without_a_loop_leaves_the_handle_intact(verb):
    with SLEEP.start() as process:
        with pytest.raises(ProcessError, match="no running asyncio event loop"):
            getattr(process, "a" + verb)(*CONSUMING[verb]).send(None)
        assert alive(process.pid)
        assert process.poll() is None


@pytest.mark.parametrize("verb", CONSUMING)
def test_two_threads_cannot_consume_one_handle(verb):
    process = sh("sleep 0.1").start()
    results = []

    def consume_it():
        try:
            results.append(getattr(process, verb)(*CONSUMING[verb]))
        except ProcessError as error:
            results.append(str(error))

    threads = [threading.Thread(target=consume_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [result for result in results if isinstance(result, str)]
    assert len(refused) == 7
    assert all("consumed" in text for text in refused)


# Without spending it.


def test_poll_is_the_outcome_once_there_is_one():
    with sh("exit 9").start() as process:
        assert wait_until(process.poll) == Outcome(9, None, False)
        assert process.poll() == Outcome(9, None, False)
        assert process.pid is not None
        assert process.outcome() == Outcome(9, None, False)


def test_kill_ends_the_tree_and_keeps_the_handle(consume, mechanism, tmp_path):
    path = tmp_path / "pid"

    def kill(process):
        pid_in(path)
        process.kill()
        process.kill()
        assert process.pid is not None

    result = consume(lambda: sh(f"trap '' TERM; sleep 1000 & echo x; echo $! > {path}; wait"), "output", before=kill)
    assert (result.stdout, result.signal, result.timed_out) == ("x", 9, False)
    assert not alive(pid_in(path))


def test_kill_from_another_thread_ends_a_blocked_verb(tmp_path):
    process = SLEEP.start()
    thread = threading.Timer(0.1, lambda: census.kill(pid))
    pid = process.pid
    thread.start()
    assert process.outcome() == (Outcome(None, 9, False) if POSIX else Outcome(1, None, False))
    thread.join()


def test_kill_of_a_process_that_has_ended_changes_nothing():
    process = sh("exit 3").start()
    wait_until(process.poll)
    process.kill()
    assert process.outcome() == Outcome(3, None, False)


# Blocks and dropped handles.


@pytest.mark.parametrize("asynchronous", [False, True])
def test_leaving_a_block_kills_the_tree_synchronously(mechanism, tmp_path, asynchronous):
    path = tmp_path / "pid"
    command = sh(f"sleep 1000 & echo $! > {path}; exec sleep 1000")

    async def main():
        async with await command.astart() as process:
            return process.pid, pid_in(path)

    if asynchronous:
        pids = asyncio.run(main())
    else:
        with command.start() as process:
            pids = process.pid, pid_in(path)
    assert not any(alive(pid) for pid in pids)


def test_leaving_a_block_by_an_exception_lets_it_through():
    with pytest.raises(KeyError), SLEEP.start() as process:
        pid = process.pid
        raise KeyError
    assert not alive(pid)
    assert process.__exit__(None, None, None) is not True


def test_leaving_a_block_after_consumption_is_no_error():
    with sh("echo x").start() as process:
        assert process.output().stdout == "x"
    with process:
        pass


def test_a_block_over_a_process_that_ended_by_itself_leaves_nothing():
    with sh("exit 0").start() as process:
        wait_until(process.poll)


def test_dropping_the_last_reference_kills_the_tree_and_says_so(mechanism, tmp_path, letting_go):
    path = tmp_path / "pid"
    process = sh(f"sleep 1000 & echo $! > {path}; wait").start()
    pids = process.pid, pid_in(path)
    with pytest.warns(ResourceWarning, match="dropped"), letting_go:
        process = None
    wait_until(lambda: not any(alive(pid) for pid in pids))


def test_a_handle_in_a_cycle_is_collected():
    process = SLEEP.start()
    pid, gone = process.pid, weakref.ref(process)
    cycle = [process]
    cycle.append(cycle)
    del process, cycle
    with pytest.warns(ResourceWarning):
        gc.collect()
    assert gone() is None
    wait_until(lambda: not alive(pid))


# Deadlines.


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_deadline_is_enforced_although_nobody_consumes(mechanism, tmp_path, asynchronous):
    command = sh(f"sleep 1000 & echo $! > {tmp_path}/pid; exec sleep 1000").timeout(soon(0.5))

    async def main():
        return await command.astart()

    with asyncio.run(main()) if asynchronous else command.start() as process:
        assert wait_until(process.poll).timed_out
        wait_until(lambda: not alive(pid_in(tmp_path / "pid")))
        assert process.outcome() == Outcome(None, None, True)


@needs_signals
def test_a_grace_is_kept_although_nobody_consumes(tmp_path):
    command = sh(f"trap ': > {tmp_path}/asked' TERM; while :; do sleep 0.01; done").timeout(0.3).timeout_grace(0.3)
    with command.start() as process:
        wait_until((tmp_path / "asked").exists)
        assert wait_until(process.poll).timed_out
        assert process.finish().timed_out


def test_the_deadline_counts_from_the_launch(consume):
    started = time.monotonic()
    assert consume(lambda: SLEEP.timeout(0.4), "outcome", before=lambda process: wait_until(process.poll)).timed_out
    assert time.monotonic() - started < 60


def test_a_process_that_ended_before_its_deadline_did_not_time_out(consume, tmp_path):
    def wait(process):
        wait_until(process.poll)
        wait_until(lambda: process.elapsed_seconds > soon(0.4))

    assert consume(lambda: sh("exit 4").timeout(soon(0.3)), "outcome", before=wait) == Outcome(4, None, False)


# Cancellation.


@pytest.mark.parametrize("verb", CONSUMING)
def test_cancelling_a_consuming_verb_kills_the_tree(mechanism, tmp_path, verb):
    path = tmp_path / "pid"

    async def main():
        process = await sh(f"trap '' TERM; sleep 1000 & echo $! > {path}; wait; sleep 1000").astart()
        pids = process.pid, pid_in(path)
        task = asyncio.ensure_future(getattr(process, "a" + verb)(*((1000,) if verb == "shutdown" else ())))
        await asyncio.sleep(0)  # the task has begun
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "consumed" in repr(process)
        return pids

    pids = asyncio.run(main())
    assert not any(alive(pid) for pid in pids)


def test_a_one_shot_that_is_cancelled_leaves_nothing(mechanism, tmp_path):
    path = tmp_path / "pid"

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sh(f"sleep 1000 & echo $! > {path}; wait").aoutput(), soon(0.5))

    asyncio.run(main())
    assert not alive(pid_in(path))


def test_awaited_children_run_side_by_side_and_need_no_thread():
    async def main():
        before = threading.active_count()
        tasks = [asyncio.ensure_future(sh(f"sleep 0.2; echo {n}").arun()) for n in range(20)]
        await asyncio.sleep(0.05)
        during = threading.active_count()
        return before, during, await asyncio.gather(*tasks)

    before, during, texts = asyncio.run(main())
    assert texts == [str(n) for n in range(20)]
    assert during <= before + 1  # at most the one thread that makes children


def test_the_loop_goes_on_while_a_child_is_awaited():
    async def main():
        task = asyncio.ensure_future(sh("sleep 0.3; echo x").arun())
        turns = 0
        while not task.done():
            turns += 1
            await asyncio.sleep(0.005)
        return turns, await task

    turns, text = asyncio.run(main())
    assert text == "x"
    assert turns > 5


# Waiting for several.


@pytest.fixture(params=["sync", "async"])
def waiting(request):
    """(wait_any, wait_all), or their twins."""

    def run(twin):
        async def call(words, keywords):
            return await twin(*words, **keywords)

        return lambda *words, **keywords: asyncio.run(call(words, keywords))

    return (wait_any, wait_all) if request.param == "sync" else (run(await_any), run(await_all))


def test_wait_any_is_the_first_that_ended_and_spends_nothing(waiting):
    with SLEEP.start() as slow, sh("exit 6").start() as quick:
        assert waiting[0]([slow, quick]) == (1, Outcome(6, None, False))
        assert waiting[0]([slow, quick]) == (1, Outcome(6, None, False))
        assert quick.outcome().code == 6
        assert slow.poll() is None


def test_wait_all_is_every_outcome_in_order(waiting):
    with sh("sleep 0.2; exit 1").start() as one, sh("exit 2").start() as two, SLEEP.start() as three:
        three.kill()
        assert waiting[1]([one, two, three]) == [Outcome(1, None, False), Outcome(2, None, False), Outcome(None, 9, False)]
        assert [process.outcome().code for process in (one, two, three)] == [1, 2, None]
    assert waiting[1]([]) == []


def test_waiting_in_vain_is_a_wait_timeout_with_the_seconds_given(waiting):
    with SLEEP.start() as process:
        for wait in waiting:
            with pytest.raises(WaitTimeout) as caught:
                wait([process], timeout=0.05)
            assert caught.value.timeout_seconds == 0.05
            with pytest.raises(WaitTimeout):
                wait([process], timeout=0)
        assert process.poll() is None


def test_wait_all_names_the_whole_timeout_when_a_later_process_is_late(waiting):
    with sh("sleep 0.1").start() as quick, SLEEP.start() as slow:
        with pytest.raises(WaitTimeout) as caught:
            waiting[1]([quick, slow], timeout=soon(0.3))
        assert caught.value.timeout_seconds == soon(0.3)


def test_waiting_refuses_what_is_no_list_of_usable_handles(waiting):
    spent = sh("exit 0").start()
    spent.outcome()
    for wait in waiting:
        with pytest.raises(ProcessError, match="consumed"):
            wait([spent])
        with pytest.raises(TypeError):
            wait(spent)
        with pytest.raises(TypeError):
            wait(iter([spent]))
    with pytest.raises(ValueError, match="handles"):
        waiting[0]([])
    with SLEEP.start() as process, pytest.raises(ValueError, match="timeout"):
        waiting[0]([process], timeout=-1)


def test_wait_any_also_waits_for_members_of_a_group(waiting):
    with ProcessGroup() as group:
        one, two = group.start(SLEEP), group.start(sh("exit 3"))
        assert waiting[0]([one, two])[0] == 1
        one.kill()
        assert waiting[1]([one, two]) == [Outcome(None, 9, False), Outcome(3, None, False)]


def test_a_deadline_ends_a_wait(waiting):
    with SLEEP.timeout(0.3).start() as process:
        assert waiting[0]([process]) == (0, Outcome(None, None, True))


#: What poll(2) is called in /proc/PID/task/TID/syscall: poll and ppoll of x86-64, ppoll of arm64.
POLLING = ("7", "271", "73")


class Interrupted(Exception):
    """Raised by the handler of the test below."""


def interrupt(_number, _frame):
    raise Interrupted


@needs_signals
@pytest.mark.parametrize("blocking", ["a verb", "a long wait", "wait_any"])
def test_a_signal_that_interrupts_no_system_call_of_ours_is_heard_all_the_same(blocking):
    """As the one that comes between CPython's last look and the wait: another thread gets it."""

    def signal_myself():
        with open(f"/proc/self/task/{os.getpid()}/syscall") as file:
            wait_until(lambda: file.seek(0) or file.readline().split()[0] in POLLING)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    thread = threading.Thread(target=signal_myself)
    try:
        command = sleep().timeout(1000) if blocking == "a long wait" else sleep()
        with command.start() as process, pytest.raises(Interrupted):
            thread.start()
            wait_any([process]) if blocking == "wait_any" else process.outcome()
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
