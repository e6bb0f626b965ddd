"""Handles whose event loop is gone, streams that read by themselves, clocks that begin late."""

import asyncio
import sys
import threading

import pytest
from programs import POSIX, cat, py, sh, sleep, wait_until

from processkit import CancellationToken, IdleTimeout, InvalidJson, ProcessError
from processkit._drive import session

SAYS_ONE = "import time\nprint(1, flush=True)\ntime.sleep(1000)"


def left_behind(command):
    """A process whose first line was read in an event loop that has been closed since."""
    process = command.start()
    stream = process.stdout_lines()

    async def first():
        return await stream.__anext__()

    assert asyncio.run(first()).strip() == "1"
    return process


def test_the_deadline_of_one_that_a_loop_left_behind_is_kept_and_so_are_those_of_others():
    with left_behind(py(SAYS_ONE).timeout(1.5)) as process, sleep().timeout(2).start() as other:
        wait_until(lambda: process.poll() is not None)
        assert process.outcome().timed_out
        wait_until(lambda: other.poll() is not None)
        assert other.outcome().timed_out


@pytest.mark.parametrize("timeout", [None, 1000])
def test_one_that_a_loop_left_behind_can_be_killed_and_waited_for(timeout):
    command = py(SAYS_ONE) if timeout is None else py(SAYS_ONE).timeout(timeout)
    with left_behind(command) as process:
        process.kill()
        assert process.outcome().code != 0
    with left_behind(command) as process:
        assert asyncio.run(process.ashutdown(0)).code != 0
    token = CancellationToken()
    with left_behind(command.cancel_on(token)) as process:
        token.cancel()
        with pytest.raises(ProcessError, match="cancelled"):
            process.finish()


def test_a_writer_outlives_its_loop():
    with cat().keep_stdin_open().timeout(1000).start() as process:
        stdin = process.take_stdin()

        async def write(line):
            await stdin.write_line(line)

        asyncio.run(write("one"))
        asyncio.run(write("two"))
        asyncio.run(stdin.close())
        assert process.output().stdout == "one\ntwo"


def test_a_deadline_that_is_centuries_away_leaves_those_of_others_alone():
    with sleep().timeout(1e15).start(), sleep().timeout(0.3).start() as process:
        wait_until(lambda: process.poll() is not None)
        assert process.outcome().timed_out


def test_a_callback_beside_a_loop_cannot_wait_for_the_end_of_its_own_run():
    raised = []

    async def main():
        def ask(_line):
            try:
                process.finish()
            except ProcessError as error:
                raised.append(str(error))

        async with await py("print(1)").on_stdout_line(ask).astart() as process:
            async for _ in process.stdout_lines():
                pass
            await process.aoutcome()

    asyncio.run(main())
    assert len(raised) == 1
    assert "callback" in raised[0] or "consumed" in raised[0]


# Who reads by itself.


@pytest.mark.parametrize("options", [{"on_overflow": "drop_oldest"}, {"on_overflow": "drop_newest"}, {}])
def test_a_stream_that_drops_lets_nobody_wait_although_nobody_asks_for_an_item(options):
    command = py("for n in range(20000): print('x' * 50)")
    if not options:
        command = command.output_limit(max_lines=5)
    with command.start() as process:
        stream = process.stdout_lines(buffer=5, **options)
        wait_until(lambda: process.poll() is not None)
        assert sum(1 for _ in stream) + stream.dropped_lines == 20000

    async def main():
        async with await command.astart() as process:
            stream = process.stdout_lines(buffer=5, **options)
            for _ in iter(lambda: process.poll() is None, False):
                await asyncio.sleep(0.01)
            return sum([1 async for _ in stream]) + stream.dropped_lines

    assert asyncio.run(main()) == 20000


@pytest.mark.parametrize("how", ["cap", "drop_oldest", "drop_newest"])
def test_what_is_delivered_and_what_is_dropped_is_all_there_was(how):
    lines = 20000
    command = py(f"import sys\nfor n in range({lines}):\n    print(n, flush=n % 50 == 0)")
    options = {} if how == "cap" else {"buffer": 100, "on_overflow": how}
    if how == "cap":
        command = command.output_limit(max_lines=100)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            with command.start() as process:
                stream = process.stdout_lines(**options)
                assert sum(1 for _ in stream) + stream.dropped_lines == lines
    finally:
        sys.setswitchinterval(before)


def test_a_thread_that_begins_to_lead_when_all_is_closed_leaves_no_loop_behind(monkeypatch):
    with cat().keep_stdin_open().start() as process:
        led = process._attend()

        class Late(session.OwnLoop):
            def __init__(self):
                super().__init__()
                led.close()

        monkeypatch.setattr(session, "OwnLoop", Late)
        assert not led.until(lambda: False)


def test_a_bad_line_is_told_by_its_number_in_the_stream_although_others_were_dropped():
    script = "import sys\nprint(1, flush=True)\nsys.stdin.readline()\nfor n in range(3000): print(n)\nprint('bad', flush=True)\nsys.stdin.read()"

    async def main():
        async with await py(script).keep_stdin_open().astart() as process:
            stream = process.stdout_json_lines(buffer=5, on_overflow="drop_oldest")
            stdin = process.take_stdin()
            assert await stream.__anext__() == 1
            await stdin.write_line("")
            await process.await_until(lambda: process.stdout_line_count == 3002, timeout=60)
            await stdin.close()
            with pytest.raises(InvalidJson, match="line 3002,"):
                async for _ in stream:
                    pass

    asyncio.run(main())


# Clocks.


@pytest.mark.parametrize("verb", ["aoutput", "stdout_lines", "output_events"])
def test_the_idle_clock_starts_with_the_stream_whatever_was_done_before(verb):
    async def main():
        command = py("import sys, time\nsys.stdin.readline()\ntime.sleep(1000)").keep_stdin_open().idle_timeout(0.5)
        async with await command.astart() as process:
            stdin = process.take_stdin()
            await stdin.write_line("x")
            if verb == "aoutput":
                assert (await process.aoutput()).idle_timed_out
                return
            with pytest.raises(IdleTimeout):
                async for _ in getattr(process, verb)():
                    pass

    asyncio.run(main())


def test_a_carriage_return_is_no_line_and_a_line_of_another_code_is_one(call):
    rewriting = py("import sys, time\nwhile True:\n    sys.stdout.write('x\\r'); sys.stdout.flush(); time.sleep(0.05)")
    assert call(rewriting.idle_timeout(1), "output").idle_timed_out
    talking = "import os, time\nfor _ in range(15):\n    os.write(1, 'x\\n'.encode('cp037')); time.sleep(0.1)"
    assert not call(py(talking).encoding("cp037").idle_timeout(1), "output").idle_timed_out


def test_what_was_never_written_is_told():
    async def main():
        async with await sleep().keep_stdin_open().astart() as process:
            task = asyncio.ensure_future(process.take_stdin().write(b"x" * 500_000))
            await process.await_until(lambda: process._feed.written > 0, timeout=60)
        with pytest.raises(BrokenPipeError):
            await task

    asyncio.run(main())


def test_a_probe_whose_process_is_left_says_that_the_stream_has_ended():
    async def main():
        process = await sleep().astart()
        task = asyncio.ensure_future(process.await_for_output("x", timeout=1000))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        process.__exit__(None, None, None)
        with pytest.raises(ProcessError, match="ended before a matching tail"):
            await task

    asyncio.run(main())


def test_a_profile_has_samples_also_where_a_stream_began_the_run():
    script = "import time\nprint(1, flush=True)\nend = time.time() + 0.6\nwhile time.time() < end: pass"
    with py(script).start() as process:
        assert next(process.stdout_lines()) == "1"
        assert process.profile(0.05).samples > 1


def test_an_argument_that_makes_no_sense_is_told_also_after_the_end_and_costs_nothing():
    with sh("exit 3").start() as process:
        assert [*process.output_events()] == []
        with pytest.raises(ValueError):
            process.profile(-1)
        with pytest.raises(ProcessError, match="cannot follow"):
            process.output()
        assert process.outcome().code == 3


@pytest.mark.skipif(not POSIX, reason="a timeout has no grace there")
def test_a_source_that_is_cancelled_by_itself_ends_the_run():
    async def source():
        yield b"a"
        raise asyncio.CancelledError

    async def main():
        with pytest.raises(asyncio.CancelledError):
            await cat().stdin_reader(source()).arun()

    asyncio.run(main())


def test_a_thread_that_could_not_be_started_is_started_for_the_next_process(monkeypatch):
    def fails(thread):
        raise RuntimeError("can't start new thread")

    wait_until(lambda: not any(thread.name == "processkit-tender" for thread in threading.enumerate()))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        with pytest.raises(RuntimeError, match="new thread"):
            sleep(1000).timeout(0.1).start()
    with sleep(1000).timeout(0.1).start() as process:
        wait_until(lambda: process.poll() is not None)  # nobody waits for it: the tender has kept its deadline
        assert process.outcome().timed_out


def test_a_verb_in_a_second_loop_is_refused_in_words_while_the_first_one_waits():
    process = sh("echo hi; exec sleep 1000").start()
    raised = []

    def second():
        try:
            asyncio.run(process.aoutcome())
        except BaseException as error:
            raised.append(error)

    async def first():
        async for _ in process.stdout_lines():
            await asyncio.to_thread(second)  # meanwhile this loop runs, so it is the one that moves the run on
            break

    asyncio.run(first())
    assert [type(error) for error in raised] == [ProcessError]
    assert "event loop on another thread" in str(raised[0])
    process.__exit__(None, None, None)
