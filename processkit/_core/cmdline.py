"""Windows command lines: one string that the program splits into arguments again. Strings in, string out.

The C runtime's rules (learn.microsoft.com, "Parsing C command-line arguments"): blanks and tabs separate, quotation marks
group, a backslash escapes only a quotation mark, and backslashes before one are halved.
"""

from __future__ import annotations

#: CreateProcessW takes this many UTF-16 units, the final NUL included.
MOST_UNITS = 32767
BATCH = (".bat", ".cmd")


def quoted(word: str) -> str:
    """`word` as one argument for the C runtime's parser."""
    if word and not any(mark in word for mark in ' \t\n\v"'):
        return word
    pieces = ['"']
    backslashes = 0
    for character in word:
        if character == "\\":
            backslashes += 1
            continue
        pieces.append("\\" * (2 * backslashes + 1 if character == '"' else backslashes))
        pieces.append(character)
        backslashes = 0
    pieces.append("\\" * (2 * backslashes))
    pieces.append('"')
    return "".join(pieces)


def command_line(words: list[str]) -> str:
    """The words as one command line. The first has its own rule: it ends at the next quotation mark, whatever precedes that."""
    first, *rest = words
    return " ".join([f'"{first}"', *map(quoted, rest)])


def is_batch(path: str) -> bool:
    """Whether Windows would hand `path` to cmd.exe; Windows drops blanks and full stops at the end of a name."""
    return path.rstrip(". ").lower().endswith(BATCH)


def batch_line(path: str, arguments: list[str]) -> str:
    r"""The command line that makes cmd.exe run the script `path`; ValueError for text that cannot be passed to it safely.

    CVE-2024-24576: cmd.exe does not know the C runtime's escapes, and reads the line before the script does.

    1. A line end, or NUL, ends the line: refused.
    2. `%` expands variables even between quotation marks: `%%cd:~,%` is an expansion to nothing, and breaks up any other.
    3. A quotation mark is doubled, so that cmd.exe sees the same text as quoted as we do; backslashes before one are doubled
       for the program behind the script.
    """
    if '"' in path:
        raise ValueError("a script's name holds a quotation mark")
    words = []
    for word in arguments:
        if any(mark in word for mark in "\0\r\n"):
            raise ValueError(
                "an argument of a batch script holds a line end, which cmd.exe would take for the end of the command"
            )
        words.append(f'"{_for_cmd(word)}"')
    script = path.replace("%", "%%cd:~,%")
    return " ".join([f'/d /e:ON /v:OFF /s /c ""{script}"', *words]) + '"'


def _for_cmd(word: str) -> str:
    pieces = []
    backslashes = 0
    for character in word:
        if character == '"':
            pieces.append("\\" * backslashes)
        backslashes = backslashes + 1 if character == "\\" else 0
        pieces.append({'"': '""', "%": "%%cd:~,%"}.get(character, character))
    return "".join(pieces) + "\\" * backslashes
