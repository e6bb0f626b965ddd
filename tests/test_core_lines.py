"""Splitting into lines and keeping some of them, held against a naive reference over random chunkings and many codecs."""

import encodings.aliases
import random

import pytest

from processkit._core.caps import DROP_NEWEST, DROP_OLDEST, ERROR, Cap, CappedBytes, CappedText, size_of
from processkit._core.encodings import decoder_factory
from processkit._core.lines import Lines

CODECS = ["utf-8", "latin-1", "utf-16", "utf-16-le", "utf-32", "shift_jis", "gb18030", "euc_jp", "cp437", "utf-7", "iso2022_jp"]
ALPHABET = "ab\r\n\n\r x"


def reference(text, lone_cr):
    """All at once, by the words of the rule."""
    if lone_cr:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        lines = text.split("\n")
    else:
        lines = text.split("\n")
        lines = [line[:-1] if line.endswith("\r") and index < len(lines) - 1 else line for index, line in enumerate(lines)]
    return lines[:-1] if lines[-1] == "" else lines


def chunks(data, chance):
    while data:
        size = chance.choice((1, 1, 2, 3, 7, 64))
        yield data[:size]
        data = data[size:]


def split(data, codec, lone_cr, chance, longest=None):
    lines = Lines(decoder_factory(codec), lone_cr, longest)
    found = []
    for chunk in chunks(data, chance):
        found += lines.feed(chunk)
    found += lines.close()
    assert lines.seen == len(found)
    return found


@pytest.mark.parametrize("lone_cr", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_lines_are_the_same_however_the_bytes_arrive(codec, lone_cr):
    chance = random.Random(codec)
    extra = "é" if codec in ("utf-8", "latin-1", "utf-16", "utf-16-le", "utf-32", "gb18030", "cp437", "utf-7") else "あ"
    for _ in range(200):
        text = "".join(chance.choices(ALPHABET + extra, k=chance.randrange(40)))
        assert split(text.encode(codec), codec, lone_cr, chance) == reference(text, lone_cr), (text, codec)


def every_codec():
    """The names of all codecs of text that can be decoded piece by piece."""
    found = []
    for name in sorted({*encodings.aliases.aliases.values()}):
        try:
            decoder_factory(name)("replace")
        except (ValueError, NotImplementedError, ImportError, AttributeError):
            continue
        found.append(name)
    return found


@pytest.mark.parametrize("codec", every_codec())
def test_every_codec_splits_its_own_text_however_it_arrives(codec):
    chance = random.Random(codec)
    for _ in range(20):
        text = "".join(chance.choices("ab\r\n\n x", k=chance.randrange(40)))
        assert split(text.encode(codec), codec, False, chance) == reference(text, False)


def test_bytes_that_are_no_text_become_replacement_characters_wherever_they_are_cut():
    chance = random.Random(1)
    for _ in range(300):
        data = bytes(chance.choices([0x61, 0x0A, 0x0D, 0xC3, 0xA9, 0xFF, 0xE2, 0x98, 0x83], k=chance.randrange(30)))
        assert split(data, "utf-8", False, chance) == reference(data.decode("utf-8", "replace"), False)


def test_a_line_that_is_too_long_comes_out_as_none_and_is_not_kept_while_it_grows():
    lines = Lines(decoder_factory("utf-8"), longest=10)
    assert lines.feed(b"0123456789\n0123456789\r\n01234567890\nshort\n") == ["0123456789", "0123456789", None, "short"]
    for _ in range(100):
        assert lines.feed(b"x" * 1000) == []
        assert len(lines.tail) <= 11
    assert lines.feed(b"\nnext\n") == [None, "next"]


def test_one_line_of_many_megabytes_takes_linear_time():
    lines = Lines(decoder_factory("utf-8"))
    for _ in range(1000):
        lines.feed(b"x" * 65536)
    assert len(lines.close()[0]) == 65536000


def test_the_tail_is_the_line_that_has_not_ended():
    lines = Lines(decoder_factory("utf-8"))
    assert lines.feed(b"done\nname: ") == ["done"]
    assert lines.tail == "name: "
    assert lines.feed(b"x") == []
    assert lines.tail == "name: x"


# Caps.


def capped(lines, cap, chance):
    sink = CappedText(decoder_factory("utf-8"), False, cap)
    for chunk in chunks("".join(line + "\n" for line in lines).encode(), chance):
        sink.feed(chunk)
    sink.close()
    return sink


@pytest.mark.parametrize("mode", [DROP_OLDEST, DROP_NEWEST])
def test_a_cap_of_lines_keeps_exactly_the_last_or_the_first(mode):
    chance = random.Random(mode)
    for _ in range(200):
        lines = [f"line {number}" for number in range(chance.randrange(12))]
        most = chance.randrange(12)
        sink = capped(lines, Cap(None, most, mode), chance)
        kept = lines[-most:] if mode == DROP_OLDEST else lines[:most]
        assert sink.value() == "\n".join(kept if most else [])
        assert sink.truncated == (most < len(lines))


@pytest.mark.parametrize("mode", [DROP_OLDEST, DROP_NEWEST])
def test_a_cap_of_bytes_counts_content_and_keeps_whole_lines(mode):
    chance = random.Random(mode)
    for _ in range(300):
        lines = ["é" * chance.randrange(4) + "x" * chance.randrange(6) for _ in range(chance.randrange(10))]
        most = chance.randrange(1, 20)
        kept, size = [], 0
        fitting = [line for line in lines if size_of(line) <= most]
        for line in fitting if mode == DROP_NEWEST else fitting[::-1]:
            if size + size_of(line) > most:
                break
            kept.append(line)
            size += size_of(line)
        sink = capped(lines, Cap(most, None, mode), chance)
        assert sink.value() == "\n".join(kept if mode == DROP_NEWEST else kept[::-1]), (lines, most)
        assert sink.truncated == (len(kept) < len(lines))


def test_an_error_cap_counts_raw_bytes_and_stops_keeping():
    sink = CappedText(decoder_factory("utf-8"), False, Cap(20, None, ERROR))
    sink.feed(b"aaaa\r\naaaa\naaaa\n")
    assert not sink.too_large
    sink.feed(b"aaaa\n")
    assert (sink.bytes_seen, sink.too_large, sink.flooded, sink.truncated) == (21, True, False, False)
    sink.feed(b"\n" * (1 << 20))
    assert sink.flooded


@pytest.mark.parametrize(
    ("mode", "kept", "truncated"), [(DROP_OLDEST, b"6789", True), (DROP_NEWEST, b"0123", True), (ERROR, b"0123", False)]
)
def test_raw_bytes_are_cut_to_the_byte(mode, kept, truncated):
    sink = CappedBytes(Cap(4, 1, mode))
    for chunk in (b"012", b"345", b"6789"):
        sink.feed(chunk)
    assert (sink.value(), sink.truncated, sink.bytes_seen, sink.too_large) == (kept, truncated, 10, mode == ERROR)


def test_nothing_is_dropped_at_exactly_the_cap():
    for mode in (DROP_OLDEST, DROP_NEWEST, ERROR):
        sink = capped(["aaaa"] * 4, Cap(16 if mode != ERROR else 20, 4, mode), random.Random(3))
        assert (sink.value(), sink.truncated, sink.too_large) == ("aaaa\n" * 3 + "aaaa", False, False)
