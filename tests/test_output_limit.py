"""Caps of captured output: api.md §8, on real processes."""

import pytest
from programs import py, sh

from processkit import Command, NonZeroExit, OutputTooLarge, ProcessGroup


def lines(count, text="line {}", stream="stdout"):
    return py(f"import sys\nfor n in range({count}): print({text!r}.format(n), file=sys.{stream})")


@pytest.mark.parametrize(("mode", "kept"), [("drop_oldest", "line 7\nline 8\nline 9"), ("Drop_Newest", "line 0\nline 1\nline 2")])
def test_the_newest_or_the_earliest_lines_are_kept_and_the_result_says_that_some_are_not(call, mode, kept):
    result = call(lines(10).output_limit(max_lines=3, on_overflow=mode), "output")
    assert (result.stdout, result.truncated, result.code) == (kept, True, 0)


def test_each_stream_has_a_budget_of_its_own(call):
    command = py("import sys\nfor n in range(9): print(n); print(n, file=sys.stderr)").output_limit(max_lines=2)
    result = call(command, "output")
    assert (result.stdout, result.stderr, result.truncated) == ("7\n8", "7\n8", True)


def test_what_fits_exactly_is_whole(call):
    result = call(lines(4, "aaaa").output_limit(max_lines=4, max_bytes=16), "output")
    assert (result.stdout, result.truncated) == ("aaaa\naaaa\naaaa\naaaa", False)


@pytest.mark.parametrize("verb", ["output", "output_bytes", "run", "exit_code", "probe"])
def test_an_error_cap_is_an_error_of_every_verb_with_the_exact_totals(call, verb):
    with pytest.raises(OutputTooLarge, match="output exceeded its capture ceiling") as caught:
        call(lines(10, "aaaa").output_limit(max_bytes=20, max_lines=100, on_overflow="error"), verb)
    error = vars(caught.value)
    raw = verb == "output_bytes"
    newline = len(py("print()").output_bytes().stdout)
    assert error["total_bytes"] == 10 * (4 + newline)
    assert (error["max_bytes"], error["max_lines"], error["total_lines"]) == (20, None if raw else 100, 0 if raw else 10)
    assert error["program"] == py("").program


def test_an_error_cap_beats_the_exit_code(call):
    with pytest.raises(OutputTooLarge):
        call(sh("echo too much; exit 3").output_limit(max_lines=0, on_overflow="error"), "run")
    with pytest.raises(NonZeroExit):
        call(sh("echo too much; exit 3").output_limit(max_lines=0), "run")


def test_raw_output_is_cut_to_the_byte_and_lines_do_not_bound_it(call):
    command = py("import os; os.write(1, b'0123456789\\n' * 3)")
    assert call(command.output_limit(max_bytes=4), "output_bytes").stdout == b"789\n"
    assert call(command.output_limit(max_bytes=4, on_overflow="drop_newest"), "output_bytes").stdout == b"0123"
    result = call(command.output_limit(max_lines=1), "output_bytes")
    assert (len(result.stdout), result.truncated) == (33, False)


def test_a_line_that_is_too_long_is_dropped_as_a_whole_and_its_neighbours_are_kept(call):
    command = py("print('first'); print('x' * 100); print('last')").output_limit(max_bytes=20)
    result = call(command, "output")
    assert (result.stdout, result.truncated) == ("first\nlast", True)


def test_a_flood_without_a_newline_is_bounded_by_bytes(call):
    command = py("import os\nfor _ in range(1000): os.write(1, b'x' * 65536)").output_limit(max_bytes=1000)
    result = call(command, "output")
    assert (result.stdout, result.truncated) == ("", True)


@pytest.mark.parametrize("cap", [{"max_bytes": 1000}, {"max_lines": 10}])
def test_a_flood_in_error_mode_is_ended(call, cap):
    endless = py("import os\nwhile True: os.write(1, b'x\\n' * 32768)")
    with pytest.raises(OutputTooLarge) as caught:
        call(endless.output_limit(**cap, on_overflow="error"), "output")
    assert caught.value.total_bytes > 65536


def test_a_member_of_a_group_is_capped_too(call):
    with ProcessGroup() as group:
        assert call(group, "output", lines(10).output_limit(max_lines=1)).stdout == "line 9"
        with pytest.raises(OutputTooLarge):
            call(group, "exit_code", lines(10).output_limit(max_lines=1, on_overflow="error"))


def test_a_bare_outcome_ignores_the_cap():
    with lines(10).output_limit(max_lines=1, on_overflow="error").start() as process:
        assert process.outcome().code == 0
    with lines(10, stream="stderr").output_limit(max_bytes=1, on_overflow="error").start() as process:
        assert process.finish().stderr.count("line") == 10


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, ValueError, "max_bytes or max_lines"),
        ({"on_overflow": "whatever"}, ValueError, "max_bytes or max_lines"),
        ({"max_lines": 1, "on_overflow": "whatever"}, ValueError, "drop_oldest"),
        ({"max_lines": -1}, OverflowError, "max_lines"),
        ({"max_bytes": -1}, OverflowError, "max_bytes"),
        ({"max_bytes": "1"}, TypeError, "max_bytes"),
    ],
)
def test_a_cap_that_makes_no_sense_is_refused_by_the_builder(options, error, words):
    with pytest.raises(error, match=words):
        Command("x").output_limit(**options)
