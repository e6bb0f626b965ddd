"""Command lines of Windows, held against a parser written from the rules, on every system; test_windows.py asks Windows itself."""

import random

import pytest

from processkit._core.cmdline import batch_line, command_line, is_batch, quoted

ALPHABET = 'ab \\"\t%^&é☃'


def parsed(line):
    """The words in `line` by the C runtime's rules, one character after the other."""
    words, word, inside, started, at = [], "", False, False, 0
    assert line[0] == '"'
    end = line.index('"', 1)
    words.append(line[1:end])
    at = end + 1
    while at < len(line):
        backslashes = 0
        while at < len(line) and line[at] == "\\":
            backslashes += 1
            at += 1
        if at < len(line) and line[at] == '"':
            word += "\\" * (backslashes // 2)
            started = True
            if backslashes % 2:
                word += '"'
            else:
                inside = not inside
        else:
            word += "\\" * backslashes
            started = started or backslashes > 0
            if at < len(line):
                if line[at] in " \t" and not inside:
                    if started:
                        words.append(word)
                    word, started = "", False
                else:
                    word += line[at]
                    started = True
        at += 1
    return [*words, word] if started else words


def strings(count, seed=7):
    chance = random.Random(seed)
    return ["".join(chance.choices(ALPHABET, k=chance.randrange(9))) for _ in range(count)]


def test_every_word_comes_back_from_the_line_it_was_put_into():
    words = strings(3000)
    for start in range(0, len(words), 5):
        asked = ["C:\\dir with blanks\\x.exe", *words[start : start + 5]]
        assert parsed(command_line(asked)) == asked


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("", '""'),
        ("plain", "plain"),
        ("two words", '"two words"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("C:\\dir\\", "C:\\dir\\"),
        ("C:\\my dir\\", '"C:\\my dir\\\\"'),
        ('a\\"b', '"a\\\\\\"b"'),
    ],
)
def test_a_word_is_quoted_no_more_than_it_needs(word, text):
    assert quoted(word) == text


@pytest.mark.parametrize("name", ["x.bat", "X.CMD", "x.bat.", "x.cmd . .", "dir\\x.Bat  "])
def test_what_windows_would_hand_to_cmd_is_a_batch_script(name):
    assert is_batch(name)


@pytest.mark.parametrize("name", ["x.exe", "bat", "x.bat.exe", "cmd"])
def test_what_it_would_not_is_none(name):
    assert not is_batch(name)


@pytest.mark.parametrize("word", ["a\nb", "a\rb", "a\0b"])
def test_an_argument_that_would_end_the_line_of_a_script_is_refused(word):
    with pytest.raises(ValueError, match="line end"):
        batch_line("x.cmd", [word])


def test_a_script_whose_name_would_leave_its_quotes_is_refused():
    with pytest.raises(ValueError, match="quotation mark"):
        batch_line('x" & calc & ".cmd', [])


def outside_quotes(line):
    """What of the line cmd.exe sees unquoted: it knows no escape for a quotation mark."""
    return "".join(line.split('"')[0::2])


@pytest.mark.parametrize(
    "word", ['" & calc & "', "& calc", '"&calc', "a|b>c<d", "^&", '\\" & calc', "a b", "%PATH%", '%"%', "!x!"]
)
def test_no_argument_of_a_script_leaves_its_quotation_marks_or_names_a_variable(word):
    command = batch_line("C:\\my scripts\\x.cmd", [word]).partition("/c ")[2]
    assert (command[0], command[-1]) == ('"', '"'), "with /s cmd.exe takes these two away and keeps the rest as it is"
    line = command[1:-1]
    assert not set(outside_quotes(line)) & set("&|<>^")
    assert line.count('"') % 2 == 0
    without = line.replace("%%cd:~,%", "")
    assert "%" not in without
