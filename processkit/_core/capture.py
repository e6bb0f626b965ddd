"""Captures: a stream's bytes are kept as they are, decoded to text by the line rules, or only counted.

Text is the lines joined by `\\n` without a final newline, where a line ends at `\\n` (a `\\r` before it belongs to the
terminator) and, in carriage-return mode, at a lone `\\r` too. A capture takes about as much memory as the captured data: pieces
are joined as they arrive, never all at once.
"""

from __future__ import annotations

import io

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Protocol

    from .encodings import Decoder, DecoderFactory

    class Capture(Protocol):
        bytes_seen: int

        @property
        def lines_seen(self) -> int: ...
        @property
        def flooded(self) -> bool: ...
        @property
        def full(self) -> bool: ...
        @property
        def truncated(self) -> bool: ...
        def feed(self, data: bytes) -> None: ...
        def close(self) -> None: ...

    class Fillable(Protocol):
        def fill(self, read: Callable[[memoryview], int]) -> int: ...


#: The default bound of the lines that wait to be iterated, and the default policy past it: the child blocks.
BUFFER, BLOCK = 1024, "block"
JOIN_SIZE = 1 << 20
#: Most bytes that a capture takes at once from a fast writer.
POUR_SIZE = 1 << 20
#: Most bytes of memory that a capture of bytes takes in advance.
MOST_ROOM = 4 << 20
# Most bytes kept of a stream before the caller chooses how to consume it.
MOST_HELD = 1 << 20


class Discard:
    """Counts a stream's bytes and lines and keeps nothing."""

    flooded = full = truncated = False
    __slots__ = ("bytes_seen", "lines_seen")

    def __init__(self) -> None:
        self.bytes_seen = 0
        self.lines_seen = 0

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.bytes_seen += len(data)
        self.lines_seen += data.count(b"\n")

    def close(self) -> None:
        """The stream has ended."""


class BytesCapture:
    """Keeps a stream's exact bytes."""

    has_lines = False
    flooded = full = truncated = too_large = False
    __slots__ = ("_counted", "_kept", "_lines", "_room", "bytes_seen")

    def __init__(self) -> None:
        self.bytes_seen = 0
        self._kept = io.BytesIO()
        # How much memory there is, beyond `bytes_seen` of it unused. BytesIO grows by realloc(3), which moves pages, not bytes.
        self._room = 0
        # Lines are counted when they are asked for, which few do.
        self._lines = self._counted = 0

    @property
    def lines_seen(self) -> int:
        """Complete lines. From any thread: what is captured meanwhile goes into a copy."""
        seen = self.bytes_seen
        self._lines += self._kept.getvalue().count(b"\n", self._counted, seen)
        self._counted = seen
        return self._lines

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        self._kept.seek(self.bytes_seen)
        self._kept.write(data)
        self.bytes_seen += len(data)

    def fill(self, read: Callable[[memoryview], int]) -> int:
        """Have `read` put the next bytes right where they stay; returns how many it put, 0 at the end."""
        if self._room - self.bytes_seen < POUR_SIZE:
            self._room = self.bytes_seen + min(max(self.bytes_seen >> 3, POUR_SIZE), MOST_ROOM)
            self._kept.seek(self._room - 1)
            self._kept.write(b"\0")
        with self._kept.getbuffer() as whole, whole[self.bytes_seen : self.bytes_seen + POUR_SIZE] as room:
            count = read(room)
        self.bytes_seen += count
        return count

    def close(self) -> None:
        """The stream has ended."""

    def value(self) -> bytes:
        """All that was captured."""
        self._kept.truncate(self.bytes_seen)
        self._room = 0
        return self._kept.getvalue()


class Held:
    """Keeps a stream's exact bytes until the caller chooses how to consume them."""

    flooded = truncated = False
    __slots__ = ("_kept", "bytes_seen", "closed", "lines_seen")

    def __init__(self) -> None:
        self.bytes_seen = 0
        self.lines_seen = 0
        self.closed = False
        self._kept = bytearray()

    @property
    def full(self) -> bool:
        """Whether the stream must not be read for now."""
        return len(self._kept) >= MOST_HELD

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.bytes_seen += len(data)
        self.lines_seen += data.count(b"\n")
        self._kept += data

    def close(self) -> None:
        """The stream has ended."""
        self.closed = True

    def value(self) -> bytes:
        """All that is held."""
        return bytes(self._kept)

    def end_of(self, size: int) -> bytes:
        """The last bytes held, at most `size`."""
        return bytes(self._kept[-size:])

    def hand_over(self, sink: Capture) -> Capture:
        """Feed everything held to `sink`, which takes this capture's place; returns it."""
        if self._kept:
            sink.feed(bytes(self._kept))
        if self.closed:
            sink.close()
        return sink


def _made(make: DecoderFactory | None) -> Decoder:
    if make is None:
        from .encodings import default_decoder

        return default_decoder("replace")
    return make("replace")


class TextCapture:
    """Decodes incrementally and folds line ends; `value` is the text of api.md §3.5."""

    flooded = full = truncated = too_large = False
    __slots__ = (
        "_any",
        "_buffer",
        "_decoder",
        "_held",
        "_lines",
        "_lone_cr",
        "_make_decoder",
        "_pieces",
        "_size",
        "_text",
        "bytes_seen",
    )

    def __init__(self, decoder: DecoderFactory | None = None, lone_cr: bool = False) -> None:
        self.bytes_seen = 0
        # None: a decoder of the default encoding.
        self._make_decoder = decoder
        self._decoder: Decoder | None = None
        self._lone_cr = lone_cr
        # The unfolded terminator at the end of the text so far: the next piece may complete it; the end of the stream drops it.
        self._held = ""
        self._any = False
        self._lines = 0
        self._pieces: list[str] = []
        self._size = 0
        self._text = ""

    @property
    def lines_seen(self) -> int:
        """Lines that are complete."""
        return self._lines + self._held.endswith("\n")

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.bytes_seen += len(data)
        if self._decoder is None:
            self._decoder = _made(self._make_decoder)
        self._take(self._decoder.decode(data))

    def close(self) -> None:
        """The stream has ended: half a character becomes U+FFFD, an unterminated line is a line."""
        if self._decoder is None:
            return
        self._take(self._decoder.decode(b"", True))
        if self._held == "\r" and not self._lone_cr:
            self._keep(self._held)
        self._lines += self._any
        self._held = ""

    def value(self) -> str:
        """All that was captured; after `close`."""
        if self._pieces:
            self._join()
        return self._text

    def _take(self, text: str) -> None:
        if not text:
            return
        self._any = True
        text = self._held + text
        self._held = ""
        if text.endswith(("\n", "\r")):
            self._held = "\r\n" if text.endswith("\r\n") else text[-1]
            text = text[: -len(self._held)]
        if "\r" in text:
            text = text.replace("\r\n", "\n")
            if self._lone_cr:
                text = text.replace("\r", "\n")
        self._lines += text.count("\n")
        self._keep(text)

    def _keep(self, text: str) -> None:
        self._pieces.append(text)
        self._size += len(text)
        if self._size >= JOIN_SIZE:
            self._join()

    def _join(self) -> None:
        """Append the pending pieces. Meanwhile a local name is the text's only owner, so CPython grows it in place."""
        more = "".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        text, self._text = self._text, ""
        text += more
        self._text = text


def whole_text(data: bytes, decoder: DecoderFactory | None, lone_cr: bool) -> str:
    """The text of a whole stream."""
    if not data:
        return ""
    capture = TextCapture(decoder, lone_cr)
    capture.feed(data)
    capture.close()
    return capture.value()
