"""Writing to a running process: api.md §12 and `stdin_writer` of §30.1, on real processes."""

import asyncio
import gc
import io
import shutil
import threading

import pytest
from programs import cat, py, sh, sleep

from processkit import Command, ProcessError, ProcessGroup, await_any, wait_any

UPPER = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"


def in_loop(talk):
    """Run `talk`, a coroutine function, in a loop of its own."""
    return asyncio.run(talk())


def test_a_conversation_line_by_line():
    async def talk():
        async with await py(UPPER).keep_stdin_open().astart() as process:
            stdin, lines = process.take_stdin(), process.stdout_lines()
            for word in ("one", "two", "three"):
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
            await await_any([process], timeout=60)
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


def test_stdin_is_taken_once_and_only_where_it_was_kept(letting_go):
    with cat().keep_stdin_open().start() as process:
        stdin = process.take_stdin()
        for again in (process.take_stdin, process.stdin_writer):
            with pytest.raises(ProcessError, match="taken before"):
                again()
        with letting_go:
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


# From a source.


class Reader:
    """Has `read` and nothing else."""

    def __init__(self, *chunks):
        self.chunks, self.closed, self.asked = [*chunks], False, []

    def read(self, size):
        self.asked.append(size)
        chunk = self.chunks.pop(0) if self.chunks else b""
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def close(self):
        self.closed = True


async def ticking(*chunks):
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


@pytest.mark.parametrize(
    "source",
    [
        lambda: Reader(b"one\n", b"two\n"),
        lambda: io.BytesIO(b"one\ntwo\n"),
        lambda: [b"one\n", bytearray(b"tw"), memoryview(b"o\n")],
        lambda: iter([b"one\n", b"two\n"]),
        lambda: ticking(b"one\n", b"two\n"),
    ],
    ids=["reader", "file", "list", "iterator", "async"],
)
@pytest.mark.parametrize("verb", ["output", "run"])
def test_every_kind_of_source_is_written_and_then_ends(call, source, verb):
    result = call(cat().stdin_reader(source()), verb)
    assert getattr(result, "stdout", result) == "one\ntwo"


def test_a_source_is_not_closed_and_asked_for_no_more_than_it_has(call):
    reader = Reader(b"x")
    call(cat().stdin_reader(reader), "output")
    assert not reader.closed
    assert len(reader.asked) == 2


def test_what_a_source_raises_ends_the_run_and_is_raised(call):
    for source in (Reader(b"x", KeyError("mine")), iter(map(int, ["x"]))):
        with pytest.raises((KeyError, ValueError)):
            call(sh("cat; sleep 1000").stdin_reader(source), "output")
    with pytest.raises(TypeError, match="bytes"):
        call(sh("sleep 1000").stdin_reader(["text"]), "output")


def test_a_child_that_does_not_want_it_is_no_error(call):
    def endless():
        while True:
            yield b"x" * 65536

    assert call(sh("exit 3").stdin_reader(endless()), "output").code == 3


def test_a_source_waits_for_who_reads_its_result():
    given = []

    def endless():
        while True:
            given.append(1)
            yield b"line\n" * 1000

    with cat().stdin_reader(endless()).start() as process:
        lines = process.stdout_lines()
        for _ in range(100):
            assert next(lines) == "line"
        assert len(given) < 2000  # of 5000 bytes each: pipes, buffers, and what is read at a time
    given_then = len(given)
    assert given_then <= len(given) + 1


def test_a_started_process_is_fed_before_anybody_waits_for_it(tmp_path):
    path = tmp_path / "said"
    with sh(f"cat > {path.as_posix()}").stdin_reader([b"x" * 100]).start() as process:
        while process.poll() is None:
            wait_any([process], timeout=60)
        assert path.read_bytes() == b"x" * 100


def test_what_is_no_source_is_refused(call):
    for wrong in ("text", b"bytes", 7, None):
        with pytest.raises(TypeError, match="source"):
            cat().stdin_reader(wrong)
    assert call(cat().stdin_reader([b"gone"]).stdin_text("kept"), "output").stdout == "kept"
    with pytest.raises(ProcessError, match="inherit_stdin"):
        call(cat().stdin_reader([b"x"]).inherit_stdin(), "output")


def test_a_cancelled_run_cancels_its_source():
    ended = []

    async def never():
        try:
            yield b"x"
            await asyncio.sleep(1000)
        finally:
            ended.append(True)

    async def main():
        task = asyncio.ensure_future(cat().stdin_reader(never()).aoutput())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(main())
    gc.collect()
    assert ended
