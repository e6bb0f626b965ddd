"""Caps of streams: api.md §8."""

import asyncio

import pytest
from programs import py

from processkit import OutputTooLarge


def test_a_cap_that_drops_lets_the_iterator_have_what_is_kept(follow):
    script = "print(*range(1000), sep='\\n')"
    lines, finished = follow(py(script).output_limit(max_lines=5), "stdout_lines", finisher="finish")
    assert lines[-1] == "999"
    assert finished.exited_zero


@pytest.mark.parametrize(
    ("limits", "kept"), [({"max_bytes": 7}, ["aaa", "bb"]), ({"max_lines": 1}, ["aaa"]), ({"max_bytes": 0}, [])]
)
def test_a_cap_that_is_an_error_ends_the_iterator_and_is_raised_by_the_finisher(follow, limits, kept):
    command = py("import os; os.write(1, b'aaa\\nbb\\ncc\\n')").output_limit(**limits, on_overflow="error")
    assert follow(command, "stdout_lines")[0] == kept
    with pytest.raises(OutputTooLarge) as caught:
        follow(command, "stdout_lines", finisher="finish")
    assert (caught.value.total_lines, caught.value.total_bytes) == (3, 10)


@pytest.mark.parametrize("opener", ["stdout_lines", "output_events"])
def test_a_finisher_ignores_the_cap_after_a_stream_that_was_left_before_its_end(opener):
    script = "import sys\nprint('a', flush=True); sys.stdin.read(); print('a' * 100)"
    with py(script).output_limit(max_bytes=10, on_overflow="error").keep_stdin_open().start() as process:
        for _ in getattr(process, opener)():
            break
        assert process.finish().exited_zero


def test_a_capture_heeds_the_cap_after_a_stream_that_was_left_before_its_end():
    script = "import sys\nprint('a', flush=True); sys.stdin.read(); print('a' * 100)"
    with py(script).output_limit(max_bytes=10, on_overflow="error").keep_stdin_open().start() as process:
        for _ in process.stdout_lines():
            break
        with pytest.raises(OutputTooLarge):
            process.output()


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "error"])
def test_a_capture_after_a_stream_caps_stderr_and_a_finish_does_not(overflow):
    script = "import sys\nprint('a')\nfor n in range(100): print(n, file=sys.stderr)"
    command = py(script).output_limit(max_lines=3, on_overflow=overflow)
    with command.start() as process:
        assert [*process.stdout_lines()] == ["a"]
        assert process.finish().stderr.split() == [str(n) for n in range(100)]
    with command.start() as process:
        assert [*process.stdout_lines()] == ["a"]
        if overflow == "error":
            with pytest.raises(OutputTooLarge) as caught:
                process.output()
            assert caught.value.total_lines == 100
        else:
            result = process.output()
            assert result.stderr.split() == (["97", "98", "99"] if overflow == "drop_oldest" else ["0", "1", "2"])
            assert result.truncated


def test_each_of_two_merged_streams_has_a_budget_of_its_own():
    script = (
        "import sys\nfor n in range(100): print(n, file=sys.stderr)\nsys.stderr.flush(); print(*range(5), sep='\\n', flush=True)"
    )

    async def main():
        command = py(f"{script}; sys.stdin.read()").output_limit(max_lines=3).keep_stdin_open()
        async with await command.astart() as process:
            stream = process.output_events()
            stdin = process.take_stdin()
            await process.await_until(lambda: process.stdout_line_count + process.stderr_line_count == 105, timeout=60)
            await stdin.close()
            return [(event.stream, event.text) async for event in stream]

    events = asyncio.run(main())
    for name, kept in (("stdout", ["2", "3", "4"]), ("stderr", ["97", "98", "99"])):
        assert [text for stream, text in events if stream == name] == kept


def test_without_a_stream_a_finisher_ignores_the_cap():
    with py("print('a' * 100)").output_limit(max_bytes=1, on_overflow="error").start() as process:
        assert process.finish().exited_zero
