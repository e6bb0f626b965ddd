"""What a hostile child, or an impatient caller, can do to streams: nothing hangs, nothing leaks, nobody stays."""

import asyncio
import types

import pytest
from programs import POSIX, alive, cat, census, needs_posix, py, sh, sleep

from processkit import Command

LONGEST = (256 if POSIX else 32) << 20


def test_one_line_of_a_quarter_of_a_gigabyte_is_one_line():
    script = f"import sys\nfor _ in range({LONGEST >> 20}): sys.stdout.write('x' * (1 << 20))\nprint()\nprint('end')"
    with py(script).start() as process:
        stream = process.stdout_lines()
        assert len(next(stream)) == LONGEST
        assert next(stream) == "end"


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "error"])
def test_a_stream_without_a_line_end_is_bounded_by_a_cap(overflow):
    script = "import os\nfor _ in range(32): os.write(1, b'x' * (1 << 20))\nos.write(1, b'\\nend\\n')"
    with py(script).output_limit(max_bytes=1000, on_overflow=overflow).start() as process:
        stream = process.stdout_lines()
        assert [*stream] == ([] if overflow == "error" else ["end"])
        assert len(process._run.sinks[1].tail) <= 1001
        assert process.stdout_bytes_seen > 1000


def test_a_character_that_is_cut_by_reads_is_one_and_what_is_none_is_replaced():
    script = (
        "import os, sys\n"
        "for part in (b'\\xe2', b'\\x98', b'\\x83 \\xc3', b'\\n\\xff\\xe2\\x98'):\n"
        "    os.write(1, part); os.write(2, b'.'); sys.stdin.readline()"
    )
    with py(script).keep_stdin_open().start() as process:
        lines, stdin = process.stdout_lines(), process.stdin_writer("utf-8")
        for dots in range(1, 5):
            assert process.wait_for_stderr_output("." * dots, timeout=60)
            print(file=stdin)
        assert [*lines] == ["\u2603 \ufffd", "\ufffd\ufffd"]


def test_who_writes_for_ever_to_a_stream_that_was_left_is_ended_with_its_handle():
    with py("while True: print('y' * 100)").start() as process:
        pid = process.pid
        stream = process.stdout_lines()
        for _ in range(1000):
            next(stream)
    assert not alive(pid)
    assert sum(1 for _ in stream) < 1 << 18


# Cancelled at every await.


@types.coroutine
def interrupted(main, at):
    """Await `main`, whose task is cancelled when it has been suspended so often."""
    task, steps, coroutine = asyncio.current_task(), 0, main.__await__()
    try:
        waits_for = coroutine.send(None)
        while True:
            if steps == at:
                task.cancel()
            steps += 1
            try:
                sent = yield waits_for
            except BaseException as error:
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(sent)
    except StopIteration:
        return


async def a_conversation(pids):
    async with await cat().keep_stdin_open().astart() as process:
        pids.append(process.pid)
        stdin, lines = process.take_stdin(), process.stdout_lines()
        await stdin.write_line("one")
        assert await lines.__anext__() == "one"
        await stdin.write(b"two")
        await process.await_for_output("two", timeout=60)
        await stdin.close()
        async for _ in lines:
            pass
        await process.afinish()


async def a_life(pids):
    async with await sh("echo a; echo b >&2").astart() as process:
        pids.append(process.pid)
        async for _ in process.lifecycle_events():
            pass
        await process.aoutcome()


async def a_chain(pids):
    chain = await (sh("echo a").stdin_text("x" * 100) | cat() | cat()).astart()
    async with chain:
        pids.extend(chain.pids)
        await chain.await_for_line("a", timeout=60)
        await chain.aoutput()


async def a_verb_with_everything(_pids):
    async def source():
        for _ in range(3):
            yield b"x\n"
            await asyncio.sleep(0)

    lines = []
    await cat().stdin_reader(source()).on_stdout_line(lines.append).timeout(60).idle_timeout(60).aoutput()


@pytest.mark.parametrize("scenario", [a_conversation, a_life, a_chain, a_verb_with_everything])
def test_a_task_that_is_cancelled_at_any_await_leaves_nothing_behind(scenario):
    for at in range(60):
        pids = []
        try:
            asyncio.run(run_to(scenario(pids), at))
            finished = True
        except asyncio.CancelledError:
            finished = False
        assert not any(map(alive, pids)), at
        if finished:
            assert at > 1
            return
    pytest.fail("it never came to its end")


async def run_to(main, at):
    await interrupted(main, at)


@needs_posix
def test_a_start_that_is_cancelled_on_its_way_is_over_when_the_task_is(tmp_path):
    before = set(census.own_children())

    async def main(program):
        task = asyncio.ensure_future(Command(program).aoutput())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert set(census.own_children()) <= before

    for number in range(40):
        program = tmp_path / str(number)  # one that was never started, which is not started on the loop's thread
        program.symlink_to("/bin/true")
        asyncio.run(main(program))


def test_a_reader_that_goes_away_in_the_middle_leaves_the_child_to_its_handle():
    async def main():
        async with await py("while True: print('y' * 100)").astart() as process:
            lines = process.stdout_lines()

            async def read():
                async for _ in lines:
                    await asyncio.sleep(0)

            task = asyncio.ensure_future(read())
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await lines.__anext__()
            assert process.poll() is None
            return process.pid

    assert not alive(asyncio.run(main()))


def test_many_streams_at_once_in_one_loop_and_in_threads():
    async def one(number):
        async with await sh(f"echo {number}; echo done").astart() as process:
            return [line async for line in process.stdout_lines()]

    async def main():
        return await asyncio.gather(*map(one, range(40)))

    assert asyncio.run(main()) == [[str(number), "done"] for number in range(40)]


def test_nothing_that_is_started_for_a_stream_stays_open():
    for _ in range(20):
        with sleep().start() as process:
            process.stdout_lines()
        with sleep().start() as process:
            process.wait_until(lambda: True, timeout=5)
