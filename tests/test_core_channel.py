"""Channels between a pump and an iterator, held against lists over random chunkings."""

import random

import pytest

from processkit._core.caps import DROP_NEWEST, DROP_OLDEST, ERROR, Cap
from processkit._core.capture import BLOCK
from processkit._core.channel import CappedChannel, Channel, LineSink
from processkit._core.encodings import decoder_factory
from processkit._core.lines import Lines


def taken(channel):
    """All that is at hand."""
    found = []
    while (items := channel.take()) is not None:
        found += items
    return found


def fed(sink, data, chance):
    """Feed in pieces of any size, and take now and then."""
    found = []
    while data:
        size = chance.choice((1, 2, 5, 40))
        sink.feed(data[:size])
        data = data[size:]
        if chance.random() < 0.2:
            items = sink.channel.take()
            found += [] if items is None else [item for _, item in zip(range(chance.randrange(1, 4)), items)]
    sink.close()
    return found + taken(sink.channel)


def sink_into(channel, **options):
    return LineSink(Lines(decoder_factory("utf-8")), channel, **options)


@pytest.mark.parametrize("seed", range(30))
def test_every_line_comes_once_and_in_order_however_it_is_read_and_taken(seed):
    chance = random.Random(seed)
    lines = ["".join(chance.choices("ab é", k=chance.randrange(6))) for _ in range(chance.randrange(60))]
    data = "".join(line + "\n" for line in lines).encode()
    assert fed(sink_into(Channel(most=chance.choice([1, 3, 1000]))), data, chance) == lines
    made = sink_into(Channel(), make=lambda some: ((len(line), line) for line in some))
    assert fed(made, data, chance) == [(len(line), line) for line in lines]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST])
def test_what_is_dropped_is_counted(policy, seed):
    chance = random.Random(seed)
    most = chance.randrange(1, 8)
    channel = Channel(most=most, on_overflow=policy)
    put = 0
    for _ in range(chance.randrange(1, 10)):
        lines = [str(put + n) for n in range(chance.randrange(12))]
        put += len(lines)
        channel.put(list(lines), 10)
        assert not channel.full
    kept = taken(channel)
    everything = [str(n) for n in range(put)]
    assert kept == (everything[-most:] if policy == DROP_OLDEST else everything[:most])
    assert channel.dropped == put - len(kept)


def test_a_channel_is_full_by_lines_or_by_bytes_until_it_has_been_emptied():
    channel = Channel(most=2)
    channel.put(["a", "b"], 4)
    assert channel.full
    assert next(channel.take()) == "a"
    assert not channel.full  # the rest of the chunk is in the taker's hands
    assert taken(channel) == ["b"]
    channel.put(["x"], 1 << 20)
    assert channel.full
    taken(channel)
    assert not channel.full
    channel.put(["a", "b", "c"], 6)
    channel.keep_all()
    assert not channel.full


def test_the_rest_stays_whoever_looks_at_it():
    channel = Channel()
    channel.put(["a", "b"], 4)
    channel.put(["c"], 2)
    items = channel.take()
    assert next(items) == "a"
    assert channel.rest() == channel.rest() == ["b", "c"]
    assert taken(channel) == ["b", "c"]


def test_who_only_waits_for_the_end_is_not_held_up_by_who_does_not_iterate():
    channel = Channel(most=1, on_overflow=BLOCK)
    channel.put(["a", "b"], 4)
    assert channel.full
    channel.let_go()
    assert not channel.full
    channel.put([str(n) for n in range(1 << 17)], 1 << 20)
    assert len(taken(channel)) == 1 << 16


@pytest.mark.parametrize("seed", range(20))
def test_a_cap_that_is_an_error_lets_the_same_lines_through_wherever_it_is_cut(seed):
    chance = random.Random(seed)
    lines = ["x" * chance.randrange(5) for _ in range(20)]
    data = "".join(line + "\n" for line in lines).encode()
    most = chance.randrange(len(data) + 3)
    expected = [line for n, line in enumerate(lines) if sum(len(before) + 1 for before in lines[: n + 1]) <= most]
    sink = sink_into(CappedChannel(Cap(most, None, ERROR)), cap=Cap(most, None, ERROR))
    assert fed(sink, data, chance) == expected
    assert sink.too_large == (len(data) > most)
    most = chance.randrange(25)
    sink = sink_into(CappedChannel(Cap(None, most, ERROR)), cap=Cap(None, most, ERROR))
    assert fed(sink, data, chance) == lines[:most]
    assert sink.channel.is_cut == (most < 20)


def test_a_cap_that_drops_counts_bytes_of_what_nobody_has_taken():
    channel = CappedChannel(Cap(4, None, DROP_OLDEST))
    channel.put(["aa", "bb", "cc"], 9)
    assert taken(channel) == ["bb", "cc"]
    channel.put(["dd", "toolong"], 10)
    assert taken(channel) == ["dd"]
    assert channel.dropped == 2
