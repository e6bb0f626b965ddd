"""Captured text without what terminals take for commands: api.md §3.6."""

import random
import re

import pytest
from programs import py

from processkit._core.vt import plain


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("plain\ttext é☃", "plain\ttext é☃"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[?25l\x1b[2K\x1b[1Gdone", "done"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;a title without an end", ""),
        ("\x1bPdevice\x1b\\text", "text"),
        ("\x1b(Btext\x1b=\x1b7", "text"),
        ("bell\x07 back\x08 null\x00 del\x7f", "bell back null del"),
        ("\x9b31mc1\x9d0;t\x9c", "c1"),
        ("\x1b", ""),
        ("a\x1b[", "a"),
        ("50%\r100%", "50%100%"),
    ],
)
def test_a_line_loses_what_is_no_text(line, clean):
    assert plain(line) == clean


def test_whatever_the_line_nothing_that_moves_a_cursor_is_left():
    chance = random.Random(5)
    for _ in range(3000):
        line = "".join(chance.choices("\x1b[];?0m ab\x07\\\t\x9b\x00é(", k=chance.randrange(20)))
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", plain(line)), repr(line)


CODE = "import sys\nfor s in (sys.stdout, sys.stderr): s.write('\\x1b[1mbold\\x1b[0m\\n\\x1b[2K\\nlast\\x07')"


def test_captured_text_is_plain_and_its_line_ends_are_where_they_were(call):
    result = call(py(CODE).sanitize_vt(), "output")
    assert (result.stdout, result.stderr, result.truncated) == ("bold\n\nlast", "bold\n\nlast", False)
    assert call(py(CODE).sanitize_vt(), "run") == "bold\n\nlast"


def test_each_stream_is_made_plain_by_itself_and_exact_bytes_never(call):
    result = call(py(CODE).stdout_sanitize_vt(), "output")
    assert (result.stdout, "\x1b" in result.stderr) == ("bold\n\nlast", True)
    result = call(py(CODE).stderr_sanitize_vt(), "output_bytes")
    assert (b"\x1b" in result.stdout, result.stderr) == (True, "bold\n\nlast")


def test_a_cap_counts_what_is_left(call):
    result = call(py(CODE).sanitize_vt().output_limit(max_bytes=8), "output")
    assert (result.stdout, result.truncated) == ("bold\n\nlast", False)
