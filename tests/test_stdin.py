"""Writing to a running process: api.md §12 and `stdin_writer` of §30.1, on real processes."""

import asyncio
import gc
import io
import shutil
import threading

import pytest
from programs import cat, py, sh, sleep

from processkit import Command, ProcessError, ProcessGroup

UPPER = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"


def in_loop(talk):
    """Run `talk`, a coroutine function, in a loop of its own."""
    return asyncio.run(talk())


def test_a_conversation_line_by_line():
    async def talk():
        async with await py(UPPER).keep_stdin_open().astart() as process:
            stdin, lines = process.take_stdin(), process.stdout_lines()
            for word in ("one", "two", "drei\u00df"):
                await stdin.write_line(word)
                assert await lines.__anext__() == word.upper()
            await stdin.close()
            await stdin.close()
            assert [line async for line in lines] == []
            assert (await process.aoutcome()).exited_zero

    in_loop(talk)


def test_a_conversation_without_an_event_loop():
    with py(UPPER).keep_stdin_open().start() as process:
        lines = process.stdout_lines()
        with process.stdin_writer("utf-8") as stdin:
            assert isinstance(stdin, io.TextIOWrapper)
            print("one", file=stdin)
            assert next(lines) == "ONE"
            print("two", file=stdin)
        assert [*lines] == ["TWO"]
        assert process.finish().exited_zero


@pytest.mark.parametrize("data", [b"\x00\xffab", bytearray(b"xy"), memoryview(b"a-b-c")[::2]])
def test_every_kind_of_bytes_arrives_as_it_is(data):
    async def talk():
        async with await cat().keep_stdin_open().astart() as process:
            stdin = process.take_stdin()
            await stdin.write(data)
            await stdin.flush()
            await stdin.close()
            assert (await process.aoutput_bytes()).stdout == bytes(data)

    in_loop(talk)


def test_what_is_larger_than_any_pipe_comes_back_though_nobody_reads_meanwhile():
    payload = b"0123456789abcde\n" * (1 << 18)
    with cat().keep_stdin_open().start() as process:
        with process.stdin_writer() as stdin:
            assert isinstance(stdin, io.BufferedWriter)
            shutil.copyfileobj(io.BytesIO(payload), stdin)
        assert process.output_bytes().stdout == payload

    async def talk():
        async with await cat().keep_stdin_open().astart() as process:
            lines, stdin = process.stdout_lines(), process.take_stdin()
            await stdin.write(payload)
            await stdin.close()
            return [line async for line in lines]

    assert in_loop(talk) == payload.decode().split("\n")[:-1]


def test_a_thread_may_write_while_another_waits_for_the_end():
    payload = b"x" * (1 << 20)
    with cat().keep_stdin_open().start() as process:
        stdin = process.stdin_writer()

        def write():
            with stdin:
                stdin.write(payload)

        writer = threading.Thread(target=write)
        writer.start()
        assert process.output_bytes().stdout == payload
        writer.join()


def test_a_task_may_write_while_another_waits_for_the_end():
    async def talk():
        async with await cat().keep_stdin_open().astart() as process:
            stdin = process.take_stdin()

            async def write():
                for n in range(100):
                    await stdin.write_line(str(n))
                await stdin.close()

            result, _ = await asyncio.gather(process.aoutput(), write())
            assert result.stdout == "\n".join(map(str, range(100)))

    in_loop(talk)


def test_who_does_not_read_is_a_broken_pipe():
    async def talk():
        async with await sh("exit 0").keep_stdin_open().astart() as process:
            stdin = process.take_stdin()
            await process.await_until(lambda: process.poll() is not None, timeout=60)
            with pytest.raises(BrokenPipeError):
                for _ in range(3):
                    await stdin.write(b"x" * (1 << 20))
            with pytest.raises(BrokenPipeError):
                await stdin.write(b"x")

    in_loop(talk)
    with sh("exit 0").keep_stdin_open().start() as process:
        stdin = process.stdin_writer()
        with pytest.raises(BrokenPipeError):
            stdin.write(b"x" * (1 << 20))
            stdin.flush()


def test_after_close_nothing_can_be_written_and_wrong_types_are_refused():
    async def talk():
        async with await cat().keep_stdin_open().astart() as process:
            stdin = process.take_stdin()
            for wrong in ("text", 1, None):
                with pytest.raises(TypeError):
                    await stdin.write(wrong)
            with pytest.raises(TypeError):
                await stdin.write_line(b"bytes")
            await stdin.close()
            for late in (stdin.write(b"x"), stdin.write_line("x"), stdin.flush(), stdin.send_control("c")):
                with pytest.raises(OSError, match="closed"):
                    await late

    in_loop(talk)


def test_a_control_character_is_one_byte():
    controls = {"a": 1, "Z": 26, "c": 3, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31, "?": 127}

    async def talk():
        async with await cat().keep_stdin_open().astart() as process:
            stdin = process.take_stdin()
            for control in controls:
                await stdin.send_control(control)
            for wrong in ("", "ab", "1", "é", "\x03"):
                with pytest.raises(ValueError, match="control"):
                    await stdin.send_control(wrong)
            await stdin.close()
            assert (await process.aoutput_bytes()).stdout == bytes(controls.values())

    in_loop(talk)


def test_stdin_is_taken_once_and_only_where_it_was_kept():
    with cat().keep_stdin_open().start() as process:
        stdin = process.take_stdin()
        for again in (process.take_stdin, process.stdin_writer):
            with pytest.raises(ProcessError, match="taken before"):
                again()
        del stdin
        assert process.outcome().exited_zero
        with pytest.raises(ProcessError, match="consumed"):
            process.take_stdin()
    with cat().start() as process, pytest.raises(ProcessError, match="keep_stdin_open"):
        process.take_stdin()
    with cat().keep_stdin_open().start() as process, pytest.raises(LookupError):
        process.stdin_writer("no such encoding")


@pytest.mark.parametrize("verb", ["outcome", "finish", "output", "output_bytes"])
def test_what_nobody_took_is_closed_by_whoever_waits_for_the_end(call, verb):
    process = cat().keep_stdin_open().start()
    assert call(process, verb).code == 0
    with cat().keep_stdin_open().start() as process:
        lines = process.stdout_lines()
        assert getattr(process, verb if verb != "output_bytes" else "output")().code == 0
        assert [*lines] == []


def test_dropping_it_closes_it():
    async def talk():
        async with await cat().keep_stdin_open().astart() as process:
            stdin = process.take_stdin()
            await stdin.write(b"a")
            del stdin
            gc.collect()
            assert (await process.aoutput()).stdout == "a"

    in_loop(talk)


def test_a_source_comes_before_what_is_written():
    with cat().stdin_text("first\n").keep_stdin_open().start() as process:
        with process.stdin_writer() as stdin:
            stdin.write(b"second")
        assert process.output().stdout == "first\nsecond"


def test_a_member_of_a_group_is_written_to_as_well():
    with ProcessGroup() as group:
        process = group.start(cat().keep_stdin_open())
        with process.stdin_writer() as stdin:
            stdin.write(b"x")
        assert process.output().stdout == "x"


def test_a_cancelled_write_leaves_nothing_behind():
    async def talk():
        async with await sleep().keep_stdin_open().astart() as process:
            stdin = process.take_stdin()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(stdin.write(b"x" * (1 << 22)), 0.2)
            process.kill()
            assert not (await process.aoutcome()).exited_zero

    in_loop(talk)


def test_a_kept_stdin_cannot_be_inherited():
    with pytest.raises(ProcessError, match="inherit_stdin"):
        Command("x").inherit_stdin().keep_stdin_open().start()
