"""The five streams: api.md §10.4, §11 and §30.1, on real processes, as iterators and as async iterators."""

import asyncio
import gc
import inspect
import json
import pickle
import subprocess
import sys
import threading
import time

import pytest
from programs import POSIX, alive, cat, needs_signal_ends, py, sh, sleep, wait_until

from processkit import CancellationToken, Cancelled, IdleTimeout, InvalidJson, ProcessError, ProcessGroup

TALK = (
    "import sys\n"
    "for n in range(3):\n"
    "    print('out', n, flush=True)\n"
    "    print('err', n, file=sys.stderr, flush=True)\n"
    "print(flush=True)\nprint('end', end='', flush=True)"
)
#: More lines than any pipe holds; an interpreter under emulation takes its time.
MANY = 200_000 if POSIX else 20_000
OUT = ["out 0", "out 1", "out 2", "", "end"]
ERR = ["err 0", "err 1", "err 2"]


def test_the_lines_of_stdout_come_one_by_one_and_finish_has_stderr(follow):
    lines, finished = follow(py(TALK), "stdout_lines", finisher="finish")
    assert lines == OUT
    assert finished.exited_zero
    assert finished.stderr.splitlines() == ERR


def test_the_lines_of_stderr_come_alone(follow):
    assert follow(py(TALK), "stderr_lines")[0] == ERR


def test_the_events_of_each_stream_are_in_order(follow):
    events, outcome = follow(py(TALK), "output_events", finisher="outcome")
    assert [event.text for event in events if not event.is_stderr] == OUT
    assert [event.text for event in events if event.stream == "stderr"] == ERR
    assert outcome.exited_zero


def test_a_life_begins_with_started_and_ends_with_exited(follow):
    events, _ = follow(py(TALK + "\nsys.exit(3)"), "lifecycle_events")
    assert (events[0].kind, events[-1].kind) == ("started", "exited")
    assert events[0].pid
    assert events[0].text is None
    assert events[-1].outcome.code == 3
    assert [event.text for event in events if event.kind == "stdout"] == OUT
    assert [event.text for event in events if event.kind == "stderr"] == ERR


def test_events_are_values():
    with sh("echo a; echo a; echo b").start() as process:
        first, second, third = process.output_events()
    with sh("echo a >&2").start() as process:
        (of_stderr,) = process.output_events()
    assert of_stderr != first
    assert pickle.loads(pickle.dumps(of_stderr)) == of_stderr
    assert repr(of_stderr) == "OutputEvent(stderr, 'a')"
    assert first == second != third
    assert hash(first) == hash(second)
    assert first != (False, "a")
    assert pickle.loads(pickle.dumps(first)) == first
    with sh("echo a").start() as process:
        events = [*process.lifecycle_events()]
    assert pickle.loads(pickle.dumps(events)) == events


def test_a_line_is_there_as_soon_as_it_is_written_and_the_child_is_still_alive(follow):
    script = "import sys, time\nprint('ready', flush=True); time.sleep(1000)"
    assert follow(py(script), "stdout_lines", most=1)[0] == ["ready"]


def test_what_nobody_iterated_over_is_what_output_returns(follow):
    items, result = follow(py(TALK), "stdout_lines", most=2, finisher="output")
    assert items == OUT[:2]
    assert result.stdout.splitlines() == OUT[2:]
    assert result.stderr.splitlines() == ERR


def test_a_for_loop_that_was_left_goes_on_where_it_stopped():
    with py(TALK).start() as process:
        stream = process.stdout_lines()
        for line in stream:
            if line == "out 1":
                break
        assert next(stream) == "out 2"
        assert [*stream] == ["", "end"]
        assert [*stream] == []


@pytest.mark.parametrize("opener", ["stdout_lines", "stdout_json_lines"])
def test_exact_bytes_cannot_follow_lines(opener):
    with sh("echo 1").start() as process:
        getattr(process, opener)()
        with pytest.raises(ProcessError, match="output_bytes cannot follow"):
            process.output_bytes()
        assert process.outcome().exited_zero


@pytest.mark.parametrize("verb", ["output", "output_bytes"])
def test_a_capture_after_events_that_were_left_waits_and_is_empty(follow, verb):
    script = "import sys, time\nprint('a', flush=True); sys.stdin.read(); print('b'); sys.exit(4)"
    items, result = follow(py(script).keep_stdin_open(), "output_events", most=1, finisher=verb)
    assert [item.text for item in items] == ["a"]
    assert (result.code, result.stdout or "") == (4, "")


def test_a_stream_that_saw_the_end_has_taken_the_handle_over():
    with py(TALK).start() as process:
        assert [*process.stderr_lines()] == ERR
        assert process.pid is None
        assert "consumed" in repr(process)
        assert process.finish().stderr == ""
        with pytest.raises(ProcessError, match="consumed"):
            process.outcome()
    for verb in ("output", "output_bytes"):
        with sh("exit 3").start() as process:
            assert [*process.output_events()] == []
            with pytest.raises(ProcessError, match="output_events"):
                getattr(process, verb)()
    with sh("exit 3").start() as process:
        assert [*process.output_events()] == []
        assert process.shutdown(1).code == 3


def test_stdout_has_one_consumer():
    with sh("echo a").start() as process:
        process.stdout_lines()
        for opener in ("stdout_lines", "stdout_json_lines", "stderr_lines", "output_events", "lifecycle_events"):
            with pytest.raises(ProcessError, match="already consumed"):
                getattr(process, opener)()
        process.outcome()
        with pytest.raises(ProcessError, match="consumed"):
            process.stdout_lines()
    with sh("exit 0").stdout("null").start() as process, pytest.raises(ProcessError, match="not piped"):
        process.output_events()


def test_without_a_piped_stderr_there_are_no_events_of_it(follow):
    assert [event.text for event in follow(py(TALK).stderr("null"), "output_events")[0]] == OUT
    assert follow(py(TALK).stderr("null"), "stderr_lines")[0] == []


def test_json_lines_are_values_and_a_bad_one_does_not_end_them(follow):
    good = [{"b": 1, "a": [None, True]}, "text", 7, None]
    script = f"import json\nfor v in {good!r}: print(json.dumps(v))"
    values, finished = follow(py(script), "stdout_json_lines", finisher="finish")
    assert values == good
    assert [*values[0]] == ["b", "a"]
    assert finished.exited_zero
    with py("print('1'); print('{\"a\": x}'); print(); print('2'); print('9' * 5000)").start() as process:
        stream = process.stdout_json_lines()
        assert next(stream) == 1
        with pytest.raises(InvalidJson, match=r"line 2, column 7, byte offset 6.*\{\"a\": x\}") as caught:
            next(stream)
        assert caught.value.stdout is None
        assert caught.value.program == sys.executable
        assert isinstance(caught.value.__cause__, json.JSONDecodeError)
        with pytest.raises(InvalidJson, match="line 3"):
            next(stream)
        assert next(stream) == 2
        if hasattr(sys, "get_int_max_str_digits") and sys.get_int_max_str_digits():
            with pytest.raises(InvalidJson, match="no decode position available") as caught:
                next(stream)
            assert "column" not in str(caught.value)
            assert "byte offset" not in str(caught.value)


def test_lines_are_made_plain_and_decoded_as_the_command_says(follow):
    command = py(r"import sys; sys.stdout.buffer.write(b'\x1b[1mb\xe9\x1b[0m\rx\n')")
    assert follow(command.encoding("latin-1").sanitize_vt().line_terminator("cr"), "stdout_lines")[0] == ["bé", "x"]


# Back-pressure.


def test_who_does_not_iterate_lets_the_child_wait():
    script = f"import sys\nfor n in range({MANY}): print('x' * 50)\nprint('written', file=sys.stderr)"
    with py(script).start() as process:
        stream = process.stdout_lines(buffer=10)
        assert next(stream) == "x" * 50
        assert process.stdout_bytes_seen < MANY * 25
        assert sum(1 for _ in stream) == MANY - 1
        assert process.finish().stderr == "written"


@pytest.mark.parametrize(("overflow", "kept"), [("drop_oldest", ["997", "998", "999"]), ("drop_newest", ["0", "1", "2"])])
def test_who_drops_what_is_too_much_never_lets_the_child_wait_and_counts(overflow, kept):
    script = (
        "import sys\nprint('-', flush=True)\nsys.stdin.readline()\nprint(*range(1000), sep='\\n', flush=True); sys.stdin.read()"
    )

    async def main():
        async with await py(script).keep_stdin_open().astart() as process:
            stream = process.stdout_lines(buffer=3, on_overflow=overflow)
            assert await stream.__anext__() == "-"
            stdin = process.take_stdin()
            await stdin.write_line("")
            await process.await_until(lambda: process.stdout_line_count == 1001, timeout=60)
            await stdin.close()
            assert [line async for line in stream] == kept
            assert stream.dropped_lines == 997

    asyncio.run(main())


def test_who_drops_needs_nobody_who_iterates_for_the_child_to_go_on():
    script = f"for n in range({MANY}): print('x' * 50)\nprint('end')"
    with py(script).start() as process:
        stream = process.stdout_lines(buffer=2, on_overflow="drop_oldest")
        assert next(stream)
        wait_until(lambda: process.poll() is not None)
        assert [*stream][-1] == "end"
        assert stream.dropped_lines > 0


def test_options_that_make_no_sense_are_refused_and_nothing_is_bound():
    with sh("echo a").start() as process:
        for options in ({"buffer": 0}, {"on_overflow": "explode"}):
            with pytest.raises(ValueError):
                process.stdout_lines(**options)
        assert [*process.stdout_lines()] == ["a"]


# Ends.


def leave_behind(script):
    """A script that says `a`, starts another one half a second before which nothing is said, and exits with 3."""
    child = f"import time; time.sleep(0.5); {script}"
    return f"import subprocess, sys\nprint('a', flush=True)\nsubprocess.Popen([sys.executable, '-c', {child!r}])\nsys.exit(3)"


def test_a_deadline_ends_the_lines_and_the_finisher_says_so(follow):
    script = "import time\nprint('a', flush=True); time.sleep(1000)"
    lines, finished = follow(py(script).timeout(1.5 if POSIX else 5), "stdout_lines", finisher="finish")
    assert lines == ["a"]
    assert finished.timed_out


def test_silence_is_raised_once_and_is_no_deadline(follow):
    with pytest.raises(IdleTimeout, match="no watched output line") as caught:
        follow(py("import time\nprint('a', flush=True); time.sleep(1000)").idle_timeout(2.0), "stdout_lines")
    assert caught.value.idle_timeout_seconds == 2.0
    with sleep().idle_timeout(0.2).start() as process:
        stream = process.stdout_lines()
        with pytest.raises(IdleTimeout):
            next(stream)
        assert [*stream] == []
        assert not process.outcome().timed_out


def test_silence_is_the_childs_and_not_that_of_who_does_not_listen():
    async def main():
        script = f"for n in range({MANY}): print('x' * 50)"
        async with await py(script).idle_timeout(0.5).astart() as process:
            stream = process.stdout_lines(buffer=1)
            assert await stream.__anext__()
            await asyncio.sleep(1.2)
            return 1 + sum([1 async for _ in stream])

    assert asyncio.run(main()) == MANY


def test_lines_of_stderr_are_no_sign_of_life_for_the_lines_of_stdout():
    script = "import sys, time\nwhile True: print('x', file=sys.stderr, flush=True); time.sleep(0.05)"
    with py(script).idle_timeout(1.0).start() as process, pytest.raises(IdleTimeout):
        next(process.stdout_lines())


def test_a_token_ends_the_lines_and_the_finisher_raises(follow):
    token = CancellationToken()
    timer = threading.Timer(0.5, token.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        follow(py("import time\nprint('a', flush=True); time.sleep(1000)").cancel_on(token), "stdout_lines", finisher="finish")
    timer.join()


def test_kill_ends_the_stream_that_another_thread_waits_for():
    with sleep().start() as process:
        stream = process.stdout_lines()
        seen = []
        thread = threading.Thread(target=lambda: seen.extend(stream))
        thread.start()
        wait_until(lambda: process._session is not None and process._session._leader)
        process.kill()
        thread.join(20)
        assert not thread.is_alive()
        assert seen == []
        assert not process.outcome().exited_zero


@pytest.mark.parametrize("opener", ["stdout_lines", "output_events", "lifecycle_events"])
def test_a_stream_holds_its_handle_and_the_tree_ends_with_the_last_of_both(opener):
    process = py("import time\nprint('a', flush=True); time.sleep(1000)").start()
    stream, pid = getattr(process, opener)(), process.pid
    next(stream)
    del process
    gc.collect()
    assert alive(pid)
    with pytest.warns(ResourceWarning):  # noqa: PT031
        del stream
        for _ in range(3):  # PyPy: what an object with a finalizer refers to is finalized by a later collection
            gc.collect()
    assert not alive(pid)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # on a slow machine a process may close its pipes long before its end
def test_a_loop_over_the_lines_of_a_process_that_nobody_else_holds_sees_them_all():
    assert [*py("print('a'); print('b')").start().stdout_lines()] == ["a", "b"]
    assert [event.text for event in py("print('a'); print('b')").start().output_events()] == ["a", "b"]
    assert [*(sh("echo a; echo b") | cat()).start().stdout_lines()] == ["a", "b"]

    async def lines():
        return [line async for line in (await py("print('a'); print('b')").astart()).stdout_lines()]

    assert asyncio.run(lines()) == ["a", "b"]
    gc.collect()


def test_a_handle_that_is_dropped_when_all_of_its_tree_has_ended_is_nothing_to_warn_of(recwarn, letting_go):
    held = [py("print('a')").start()]
    assert [*held[0].stdout_lines()] == ["a"]
    wait_until(lambda: held[0].poll() is not None)
    with letting_go:
        held.clear()
    gc.collect()
    assert not [said for said in recwarn if said.category is ResourceWarning]


def test_lines_end_with_the_pipe_and_not_with_the_child(follow):
    assert follow(py(leave_behind("print('late', flush=True)")), "stdout_lines")[0] == ["a", "late"]


def test_events_end_a_bounded_time_after_the_child_whoever_holds_the_pipe(follow):
    script = leave_behind("print('late', flush=True); time.sleep(1000)")
    lines, outcome = follow(py(script), "output_events", finisher="outcome")
    assert [line.text for line in lines] == ["a", "late"]
    assert outcome.code == 3


def test_a_child_that_closes_its_stdout_and_lives_on_is_waited_for(follow):
    script = "import os, time\nos.write(1, b'a\\n'); os.close(1); time.sleep(0.3); os._exit(5)"
    lines, finished = follow(py(script), "stdout_lines", finisher="finish")
    assert (lines, finished.code) == (["a"], 5)


@pytest.mark.parametrize("finisher", ["outcome", "finish", "output", "shutdown"])
def test_a_finisher_after_a_stream_that_was_left_ends_whatever_the_child_writes(finisher):
    script = f"import sys\nfor n in range({MANY}): print('x' * 40)\nprint('e', file=sys.stderr)"
    with py(script).start() as process:
        assert next(process.stdout_lines()) == "x" * 40
        ended = process.shutdown(20) if finisher == "shutdown" else getattr(process, finisher)()
        if finisher == "output":
            assert ended.stdout.count("\n") == MANY - 2
        if finisher == "finish":
            assert ended.stderr == "e"


@pytest.mark.parametrize("finisher", ["outcome", "finish", "output"])
def test_a_finisher_after_a_stream_does_not_wait_for_who_holds_the_pipe(follow, finisher):
    began = time.monotonic()
    script = leave_behind("time.sleep(1000)")
    items, ended = follow(py(script), "stdout_lines", most=1, finisher=finisher)
    assert (items, ended.code) == (["a"], 3)
    assert time.monotonic() - began < 60


def test_a_shutdown_after_a_stream_keeps_its_grace_and_then_kills():
    script = (
        "import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: None)\nprint('a', flush=True)\nwhile True: time.sleep(1)"
    )
    with py(script).start() as process:
        assert next(process.stdout_lines()) == "a"
        assert not process.shutdown(0.2).exited_zero

    async def main():
        async with await py(script).astart() as process:
            assert await process.stdout_lines().__anext__() == "a"
            return await process.ashutdown(0.2)

    assert not asyncio.run(main()).exited_zero


def test_a_member_of_a_group_has_streams_too(follow):
    with ProcessGroup() as group:

        class Member:
            def start(self):
                return group.start(sh("echo a; echo b"))

            async def astart(self):
                return await group.astart(sh("echo a; echo b"))

        assert follow(Member(), "stdout_lines", finisher="finish")[0] == ["a", "b"]


# Concurrency.


def test_tasks_that_wait_at_once_get_an_item_each():
    async def main():
        script = "import sys\nsys.stdin.readline()\nfor n in range(5): print(n, flush=True)"
        async with await py(script).keep_stdin_open().astart() as process:
            stream = process.stdout_lines()
            waiting = [asyncio.ensure_future(stream.__anext__()) for _ in range(5)]
            await asyncio.sleep(0)
            assert process.pid
            assert process.stdout_line_count == 0
            await process.take_stdin().write_line("")
            assert sorted(await asyncio.gather(*waiting)) == ["0", "1", "2", "3", "4"]
            with pytest.raises(StopAsyncIteration):
                await stream.__anext__()

    asyncio.run(main())


def test_what_next_returns_is_awaitable_and_no_coroutine():
    async def main():
        async with await sh("echo a").astart() as process:
            stream = process.stdout_lines()
            assert aiter_of(stream) is stream
            following = stream.__anext__()
            assert not inspect.iscoroutine(following)
            assert inspect.isawaitable(following)
            assert await asyncio.wait_for(following, 20) == "a"

    asyncio.run(main())


def aiter_of(stream):
    return type(stream).__aiter__(stream)


def test_an_outcome_and_a_life_can_be_waited_for_at_once():
    async def main():
        async with await py(TALK).astart() as process:
            stream = process.lifecycle_events()

            async def drain():
                return [event.kind async for event in stream]

            kinds, outcome = await asyncio.gather(drain(), process.aoutcome())
            assert outcome.exited_zero
            assert kinds[0] == "started"
            assert kinds[-1] == "exited"

    asyncio.run(main())


def test_a_cancelled_wait_loses_nothing_and_leaves_the_child_alone():
    async def main():
        script = "import sys\nprint('a', flush=True); sys.stdin.readline(); print('b')"
        async with await py(script).keep_stdin_open().astart() as process:
            stream = process.stdout_lines()
            assert await stream.__anext__() == "a"
            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(stream.__anext__(), 0.05)
            await process.take_stdin().write_line("")
            assert await stream.__anext__() == "b"
            assert (await process.aoutcome()).exited_zero

    asyncio.run(main())


@needs_signal_ends
def test_a_cancelled_finisher_after_a_stream_kills_the_tree():
    async def main():
        process = await py("import time\nprint('a', flush=True); time.sleep(1000)").astart()
        pid = process.pid
        assert await process.stdout_lines().__anext__() == "a"
        task = asyncio.ensure_future(process.afinish())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not alive(pid)

    asyncio.run(main())


def test_a_stream_goes_on_in_another_event_loop_and_without_one():
    with py(TALK).start() as process:
        stream = process.stdout_lines()

        async def one():
            return await stream.__anext__()

        assert asyncio.run(one()) == "out 0"
        assert asyncio.run(one()) == "out 1"
        if POSIX:
            assert next(stream) == "out 2"
            assert asyncio.run(one()) == ""
            assert process.finish().exited_zero


def test_threads_that_iterate_one_stream_share_its_lines():
    with py("for n in range(20000): print(n)").start() as process:
        stream, seen = process.stdout_lines(), [[], []]
        threads = [threading.Thread(target=lambda into=into: into.extend(stream)) for into in seen]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(map(int, seen[0] + seen[1])) == [*range(20000)]


def test_a_slow_consumer_of_an_endless_producer_does_not_make_us_grow(in_child_env):
    code = (
        "import sys, time, resource\nfrom processkit import Command\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with Command(sys.executable, ['-c', 'while True: print(\"y\" * 100)']).start() as p:\n"
        "    s = p.stdout_lines(); next(s); before = peak()\n"
        "    for n, line in enumerate(s):\n"
        "        if n > 300000: break\n"
        "    print(peak() - before)\n"
    )
    if not POSIX:
        pytest.skip("nothing here says how large a process has been")
    grown = int(subprocess.run([sys.executable, "-c", code], env=in_child_env, capture_output=True, text=True, check=True).stdout)
    assert grown < 20_000
