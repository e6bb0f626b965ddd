"""Tees and line callbacks: api.md §3.7, §3.8, on real processes, sync, async and streamed."""

import asyncio
import io
import sys
import threading
import time

import pytest
from programs import POSIX, cat, py, sh, true

from processkit import CancellationToken, Cancelled, Command, ProcessGroup, Unsupported, wait_until

BOTH = "import os; os.write(1, b'a\\r\\nb\\x1b[1m\\n'); os.write(2, b'e\\n'); os.write(1, 'é'.encode()[:1]); os.write(1, 'é'.encode()[1:])"


@pytest.fixture
def unraisable(monkeypatch):
    """What was handed to sys.unraisablehook."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: seen.append(raised.exc_value))
    return seen


def drain(process):
    """Iterate to the end."""
    return [*process.stdout_lines()]


def test_every_line_goes_to_the_writer_and_to_the_capture(call):
    out, err = io.StringIO(), io.StringIO()
    result = call(py(BOTH).stdout_tee(out).stderr_tee(err).sanitize_vt(), "output")
    assert out.getvalue() == "a\nb\x1b[1m\né\n"
    assert err.getvalue() == "e\n"
    assert result.stdout == "a\nb\né"
    assert not out.closed


def test_raw_tees_have_the_exact_bytes_and_all_kinds_go_together(call):
    raw, raw_err, text, lines, err_lines = io.BytesIO(), io.BytesIO(), io.StringIO(), [], []
    command = py(BOTH).stdout_raw_tee(raw).stderr_raw_tee(raw_err).stdout_tee(text)
    command = command.on_stdout_line(lines.append).on_stderr_line(err_lines.append)
    assert call(command, "output").code == 0
    assert raw.getvalue() == b"a\r\nb\x1b[1m\n\xc3\xa9"
    assert raw_err.getvalue() == b"e\n"
    assert (lines, err_lines) == (["a", "b\x1b[1m", "é"], ["e"])
    assert text.getvalue() == "a\nb\x1b[1m\né\n"


@pytest.mark.parametrize("verb", ["outcome", "finish", "output"])
def test_they_are_served_whatever_becomes_of_the_output(call, verb):
    lines, errors = [], []
    assert call(py(BOTH).on_stdout_line(lines.append).on_stderr_line(errors.append).start(), verb).code == 0
    assert (len(lines), errors) == (3, ["e"])


def test_they_are_served_beside_a_stream():
    lines, text = [], io.StringIO()
    command = py(BOTH).on_stdout_line(lines.append).stderr_tee(text)
    with command.start() as process:
        assert drain(process) == lines == ["a", "b\x1b[1m", "é"]
        assert process.finish().stderr == "e"

    async def main():
        async with await command.astart() as process:
            seen = [line async for line in process.stdout_lines()]
            assert (await process.afinish()).stderr == "e"
            return seen

    assert asyncio.run(main()) == lines[3:] == lines[:3]
    assert text.getvalue() == "e\ne\n"


def test_exact_bytes_leave_the_taps_of_stdout_alone(call):
    lines, errors, out = [], [], io.StringIO()
    result = call(py(BOTH).on_stdout_line(lines.append).stdout_tee(out).on_stderr_line(errors.append), "output_bytes")
    assert result.stdout.startswith(b"a\r\n")
    assert (lines, errors, out.getvalue()) == ([], ["e"], "")


def test_exact_bytes_leave_them_alone_also_where_something_else_began_the_run(call):
    lines, errors = [], []
    command = cat().stdin_reader([b"a\n"] * 100).on_stdout_line(lines.append)
    assert call(command, "output_bytes").stdout == b"a\n" * 100
    chain = sh("echo a") | sh("cat; echo e >&2").on_stdout_line(lines.append).on_stderr_line(errors.append)
    assert call(chain, "output_bytes").stdout.strip() == b"a"
    assert (lines, errors) == ([], ["e"])


def test_what_is_not_piped_goes_nowhere_else(call, tmp_path):
    lines = []
    assert call(py(BOTH).on_stdout_line(lines.append).stdout_file(tmp_path / "f"), "exit_code") == 0
    assert lines == []


def test_a_file_is_opened_by_the_builder_and_shared_by_the_runs(call, tmp_path):
    path, raw, more = tmp_path / "lines", tmp_path / "raw", tmp_path / "more"
    more.write_bytes(b"before\n")
    path.write_bytes(b"gone")
    command = py(BOTH).stdout_tee(path).stdout_raw_tee(str(raw)).stderr_tee(more, append=True)
    assert path.read_bytes() == b""
    for _ in range(2):
        call(command, "output")
    assert path.read_text("utf-8") == "a\nb\x1b[1m\né\n" * 2
    assert raw.read_bytes() == b"a\r\nb\x1b[1m\n\xc3\xa9" * 2
    assert more.read_bytes() == b"before\ne\ne\n"


def test_what_no_sink_can_be_is_refused_by_the_builder(tmp_path):
    with pytest.raises(FileNotFoundError):
        true().stdout_tee(tmp_path / "no" / "such")
    with pytest.raises(TypeError, match="sink"):
        true().stdout_tee(7)
    with pytest.raises(ValueError, match="append"):
        true().stdout_tee(io.StringIO(), append=True)

    class Odd:
        @property
        def write(self):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        true().stdout_tee(Odd())
    for builder in ("on_stdout_line", "on_stderr_line"):
        with pytest.raises(TypeError, match="callback"):
            getattr(true(), builder)(None)
    with pytest.raises(Unsupported):
        true().on_stdout_line(print).spawn_detached()


def test_the_later_of_two_of_a_kind_counts(call):
    first, second, lines = io.StringIO(), io.StringIO(), []
    command = sh("echo a").stdout_tee(first).stdout_tee(second).on_stdout_line(print).on_stdout_line(lines.append)
    call(command, "output")
    assert (first.getvalue(), second.getvalue(), lines) == ("", "a\n", ["a"])


class Writer:
    """A writer that returns what it is told to, and notes what it was offered."""

    def __init__(self, returns):
        self.returns, self.offered, self.flushed = returns, [], 0

    def write(self, data):
        self.offered.append(data)
        returned = self.returns(data)
        if isinstance(returned, Exception):
            raise returned
        return returned

    def flush(self):
        self.flushed += 1


def test_a_stream_that_was_read_to_its_end_is_written_to_its_end_although_the_handle_is_left():
    free = threading.Event()
    writer = Writer(lambda text: free.wait(60) and None if "first" in text else None)

    async def main(chain):
        command = py("print('first'); print('last')")
        command = command | cat().stdout_tee(writer) if chain else command.stdout_tee(writer)
        async with await command.astart() as process:
            assert [line async for line in process.stdout_lines()] == ["first", "last"]
            asyncio.get_running_loop().call_soon(free.set)  # once the loop goes on, while the handle is being left

    for chain in (False, True):
        free.clear()
        writer.offered.clear()
        asyncio.run(main(chain))
        assert "".join(writer.offered) == "first\nlast\n"


def test_a_handle_is_left_although_what_is_written_hangs():
    left = threading.Event()

    async def main():
        async with await py("print('text')").stdout_tee(Writer(lambda _: left.wait(60) and None)).astart() as process:
            assert [line async for line in process.stdout_lines()] == ["text"]
        left.set()

    asyncio.run(main())


def test_a_short_count_is_tried_again_with_the_rest(call):
    writer = Writer(lambda _: 1)
    call(sh("echo abc"), "output")
    call(sh("echo abc").stdout_tee(writer), "output")
    assert "".join(data[0] for data in writer.offered) == "abc\n"
    assert writer.flushed == 1
    everything = Writer(lambda _: "any")
    call(sh("echo abc; echo def").stdout_tee(everything), "output")
    assert "".join(everything.offered) == "abc\ndef\n"


@pytest.mark.parametrize("returned", [0, -1, 99])
def test_a_count_that_cannot_be_ends_the_tee_and_is_reported_once(call, unraisable, returned):
    writer = Writer(lambda _: returned)
    assert call(sh("echo abc; echo def").stdout_tee(writer), "output").stdout == "abc\ndef"
    assert len(writer.offered) == 1
    assert [type(error) for error in unraisable] == [ValueError]


def test_a_tee_that_raises_is_ended_and_the_run_goes_on(call, unraisable):
    writer = Writer(lambda _: RuntimeError("mine"))
    result = call(sh("echo a; echo b").stdout_tee(writer), "output")
    assert (result.stdout, result.code) == ("a\nb", 0)
    assert (len(writer.offered), writer.flushed) == (1, 0)
    assert [str(error) for error in unraisable] == ["mine"]
    call(sh("echo a").stdout_tee(writer), "output")
    assert len(writer.offered) == 2  # another run tries again


def test_a_callback_that_raises_is_reported_and_called_again(call, unraisable):
    seen = []

    def callback(line):
        seen.append(line)
        raise RuntimeError(line)

    assert call(sh("echo a; echo b").on_stdout_line(callback), "output").stdout == "a\nb"
    assert seen == ["a", "b"]
    assert [str(error) for error in unraisable] == ["a", "b"]


def test_a_callback_may_run_another_command(call):
    seen = []
    command = sh("echo a; echo b").on_stdout_line(lambda line: seen.append(sh(f"echo {line}{line}").run()))
    assert call(command, "output").stdout == "a\nb"
    assert seen == ["aa", "bb"]


def test_the_event_loop_goes_on_while_a_writer_is_slow():
    free, ticks = threading.Event(), []
    writer = Writer(lambda _: free.wait(30) and None)

    async def main():
        run = asyncio.ensure_future(sh("echo a").stdout_tee(writer).aoutput())
        while not writer.offered:
            ticks.append(await asyncio.sleep(0.01))
        assert not run.done()
        free.set()
        assert (await run).stdout == "a"

    asyncio.run(main())
    assert ticks


def test_a_slow_writer_lets_the_child_wait():
    free = threading.Event()
    writer = Writer(lambda _: free.wait(60) and None)

    async def main():
        async with (
            await py("import os\nfor _ in range(400): os.write(1, b'x' * 65535 + b'\\n')")
            .stdout_raw_tee(writer)
            .astart() as process
        ):
            stream = process.stdout_lines(buffer=1 << 20)
            first = await stream.__anext__()
            await asyncio.sleep(0.3)
            assert process.stdout_bytes_seen < 8 << 20
            free.set()
            assert first == "x" * 65535
            assert [len(line) async for line in stream] == [65535] * 399

    asyncio.run(main())
    assert sum(map(len, writer.offered)) == 400 << 16


def test_a_cancelled_run_with_taps_leaves_nothing_behind():
    async def main():
        lines = []
        run = asyncio.ensure_future(sh("echo a; sleep 1000").on_stdout_line(lines.append).aoutput())
        await wait_until(lambda: lines, timeout=60)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(main())


@pytest.mark.skipif(not POSIX, reason="there is no device here that is always full")
def test_a_file_that_is_full_ends_the_tee_silently(call, unraisable, caplog):
    with caplog.at_level("DEBUG", logger="processkit"):
        assert call(sh("echo a; echo b").stdout_tee("/dev/full"), "output").stdout == "a\nb"
    assert [record.levelname for record in caplog.records if "tee disabled" in record.getMessage()] == ["WARNING"]
    assert unraisable == []


def test_members_of_a_group_have_taps(call):
    lines = []
    with ProcessGroup() as group:
        call(group, "output", sh("echo a").on_stdout_line(lines.append))
    assert lines == ["a"]


def test_a_command_shows_no_sink_of_its_own():
    assert "Writer" not in repr(Command("x").stdout_tee(Writer(lambda _: None)))


# Who is slow, or leaves.

ENDLESS = "import os\nwhile True: os.write(1, b'y\\n' * 4096)"


def slowly(_line):
    threading.Event().wait(0.002)


def in_time(started, most):
    """Nobody waited for all that there was to be delivered, which would have taken far longer."""
    return time.monotonic() - started < most


def test_a_slow_callback_does_not_keep_a_deadline_from_ending_the_tree(call):
    started = time.monotonic()
    assert call(py(ENDLESS).on_stdout_line(slowly).timeout(1), "output").timed_out
    assert in_time(started, 20)


def test_a_slow_callback_does_not_keep_a_token_from_ending_the_tree(call):
    token = CancellationToken()
    timer = threading.Timer(0.5, token.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        call(py(ENDLESS).on_stdout_line(slowly).cancel_on(token), "output")
    assert in_time(started, 20)
    timer.join()


def test_a_cancelled_task_does_not_wait_for_a_slow_callback():
    async def main():
        await asyncio.wait_for(py(ENDLESS).on_stdout_line(slowly).aoutput(), 0.5)

    started = time.monotonic()
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())
    assert in_time(started, 20)


def test_who_leaves_a_handle_does_not_wait_for_a_slow_callback():
    entered, go_on = threading.Event(), threading.Event()

    def wait(_line):
        entered.set()
        go_on.wait()

    async def main():
        command = py("import time\nprint('a'); print('b', flush=True); time.sleep(1000)").on_stdout_line(wait)
        async with await command.astart() as process:
            async for _ in process.stdout_lines():
                break
            await asyncio.get_running_loop().run_in_executor(None, entered.wait)
        return True

    assert asyncio.run(main())
    go_on.set()


def test_what_ends_a_run_while_its_callback_is_still_busy_is_no_error():
    entered, go_on = threading.Event(), threading.Event()

    def wait(_line):
        entered.set()
        go_on.wait(60)

    async def main(end):
        entered.clear()
        go_on.clear()
        token = CancellationToken()
        async with await py("print('a')").on_stdout_line(wait).cancel_on(token).astart() as process:
            async for _ in process.stdout_lines():
                break
            await asyncio.get_running_loop().run_in_executor(None, entered.wait)
            for _ in iter(lambda: process.poll() is None, False):
                await asyncio.sleep(0.01)
            if end == "cancel":
                token.cancel()
            elif end == "kill":
                process.kill()
            else:
                await process.ashutdown(0)
            go_on.set()

    for end in ("cancel", "kill", "shutdown"):
        asyncio.run(main(end))


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_callback_that_leaves_the_interpreter_ends_the_run(call, error):
    def leave(_line):
        raise error

    with pytest.raises(type(error)):
        call(py("import time\nprint('a', flush=True); time.sleep(1000)").on_stdout_line(leave), "output")
