"""Removes terminal commands from a line: those of ECMA-48 and the additions of xterm. Text in, text out."""

from __future__ import annotations

import re

# In this order: a control sequence; a string (OSC, DCS, SOS, PM, APC) up to its terminator, or to the end of the line where
# that is missing; any other escape sequence; a single control character except the tab.
_COMMANDS = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]",
    re.DOTALL,
)


def plain(line: str) -> str:
    """`line` without control sequences and control characters; tabs stay."""
    return _COMMANDS.sub("", line) if not line.isprintable() else line
