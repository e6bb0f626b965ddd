import codecs
import random

import pytest

from processkit._core.capture import POUR_SIZE, BytesCapture, Discard, TextCapture
from processkit._core.encodings import decoder_factory


def naive_lines(text, lone_cr):
    """The rules of api.md §3.5 written down as simply as they can be."""
    lines, line, index = [], "", 0
    while index < len(text):
        char = text[index]
        if char == "\n" or (lone_cr and char == "\r"):
            if char == "\n" and line.endswith("\r"):
                line = line[:-1]
            if char == "\r" and text[index + 1 : index + 2] == "\n":
                index += 1
            lines.append(line)
            line = ""
        else:
            line += char
        index += 1
    if line:
        lines.append(line)
    return lines


def captured(pieces, label="utf-8", lone_cr=False):
    capture = TextCapture(decoder_factory(label), lone_cr)
    for piece in pieces:
        capture.feed(piece)
    capture.close()
    return capture


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\nb\n", "a\nb"),
        (b"a\nb\n\n", "a\nb\n"),
        (b"\n", ""),
        (b"a\r\nb", "a\nb"),
        (b"", ""),
        (b"a\rb\n", "a\rb"),
        (b"a\r", "a\r"),
        (b"a\r\r\n", "a\r"),
        (b"\xef\xbb\xbfhi\n", "hi"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"\xe2\x82", "\ufffd"),
    ],
)
def test_captured_text_is_the_lines_joined_by_newlines_without_a_final_one(data, text):
    assert captured([data]).value() == text
    assert captured([data[i : i + 1] for i in range(len(data))]).value() == text


@pytest.mark.parametrize("lone_cr", [False, True])
@pytest.mark.parametrize(
    "label", ["utf-8", "utf-16", "utf-16-le", "shift_jis", "latin-1", "cp437", "euc_jp", "utf-32", "gb18030"]
)
def test_any_chunking_gives_what_a_naive_reader_gives(label, lone_cr):
    chance = random.Random(f"{label}{lone_cr}")
    alphabet = "a\r\n" if label in ("latin-1", "cp437") else "aあ\r\n"
    for _ in range(200):
        text = "".join(chance.choice(alphabet) for _ in range(chance.randrange(30)))
        data = text.encode(label)
        cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(6)))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
        capture = captured(pieces, label, lone_cr)
        lines = naive_lines(text, lone_cr)
        assert capture.value() == "\n".join(lines), (text, pieces)
        assert capture.lines_seen == len(lines), (text, pieces)
        assert capture.bytes_seen == len(data)


def test_invalid_bytes_split_over_reads_become_replacement_characters_once():
    data = b"\xf0\x9f\x98\x80\xf0\x9f\xff\n"
    whole = codecs.decode(data, "utf-8", "replace").rstrip("\n")
    for cut in range(len(data)):
        assert captured([data[:cut], data[cut:]]).value() == whole


def test_large_text_is_joined_as_it_comes_and_is_complete():
    capture = captured([b"x" * 65536 + b"\n"] * 64)
    assert capture.value() == "\n".join(["x" * 65536] * 64)
    assert capture.lines_seen == 64


def test_bytes_are_kept_exactly_and_discarded_ones_are_counted():
    kept, counted = BytesCapture(), Discard()
    for sink in (kept, counted):
        for piece in (b"a\r\n", b"\xff", b"\n"):
            sink.feed(piece)
        sink.close()
    assert kept.value() == b"a\r\n\xff\n"
    assert (counted.bytes_seen, counted.lines_seen) == (5, 2)


@pytest.mark.parametrize("label", ["latin_1", "latin-1", "utf_8", "UTF_8", "euc_jp", "utf_16", "iso8859_15", "cp1252", "x-sjis"])
def test_python_and_whatwg_labels_are_known(label):
    assert decoder_factory(label)("replace").decode(b"", True) == ""


@pytest.mark.parametrize("label", ["nonsense", "", "base64", "rot13", "hex", "a\0b"])
def test_unknown_labels_and_codecs_that_are_no_text_are_refused_by_name(label):
    with pytest.raises(ValueError) as refused:
        decoder_factory(label)
    assert repr(label) in str(refused.value)


def filled(capture, pieces):
    """What `fill` makes of pieces that a pipe gives, and b"" at its end."""
    waiting = [*pieces]

    def read(room):
        piece = waiting.pop(0) if waiting else b""
        room[: len(piece)] = piece
        return len(piece)

    while capture.fill(read):
        pass
    return capture


@pytest.mark.parametrize("sizes", [[1], [POUR_SIZE], [POUR_SIZE, POUR_SIZE, 3], [5, POUR_SIZE, 0], [65536] * 40])
def test_bytes_that_are_read_where_they_stay_are_those_that_came(sizes):
    pieces = [bytes([65 + number % 26]) * (size - 1) + b"\n" for number, size in enumerate(sizes) if size]
    capture = filled(BytesCapture(), pieces)
    assert capture.bytes_seen == sum(sizes)
    assert capture.lines_seen == len(pieces)
    assert capture.value() == b"".join(pieces)


def test_bytes_may_be_fed_before_between_and_after_those_that_are_read_where_they_stay():
    capture = BytesCapture()
    capture.feed(b"one\n")
    filled(capture, [b"two\n", b"three"])
    assert capture.lines_seen == 2
    capture.feed(b"\nfour\n")
    assert capture.value() == b"one\ntwo\nthree\nfour\n"
    filled(capture, [b"five\n"])
    assert (capture.lines_seen, capture.bytes_seen) == (5, 24)
    assert capture.value() == b"one\ntwo\nthree\nfour\nfive\n"


def test_a_capture_that_is_looked_at_while_it_is_filled_loses_nothing():
    capture = BytesCapture()
    for number in range(40):
        filled(capture, [b"x" * 100_000 + b"\n"])
        assert capture.lines_seen == number + 1
    assert len(capture.value()) == 40 * 100_001
