"""From bytes to lines, piece by piece, by the rules of api.md §3.5. Bytes in, lines out."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .encodings import Decoder, DecoderFactory


class Lines:
    r"""Decodes a stream into lines. A line ends at `\n`, which includes a `\r` before it, and with `lone_cr` at a lone `\r` too.

    A line of more than `longest` characters is not kept while it grows; it comes out as None.
    """

    __slots__ = ("_cr_ended", "_decoder", "_length", "_lone_cr", "_longest", "_make_decoder", "_pieces", "_too_long", "seen")

    def __init__(self, decoder: DecoderFactory, lone_cr: bool = False, longest: int | None = None) -> None:
        self._make_decoder = decoder
        self._decoder: Decoder | None = None
        self._lone_cr = lone_cr
        self._longest = longest
        # The line that has not ended yet, in pieces: joining it at every read would take quadratic time.
        self._pieces: list[str] = []
        self._length = 0
        self._too_long = False
        # The last piece ended with a lone `\r`: a `\n` at the beginning of the next one belongs to it.
        self._cr_ended = False
        #: Lines that are complete.
        self.seen = 0

    @property
    def bounded(self) -> bool:
        """Whether a line may come out as None."""
        return self._longest is not None

    @property
    def tail(self) -> str:
        """The line that has not ended yet."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def feed(self, data: bytes) -> list[str | None]:
        """The lines that end in `data`."""
        if self._decoder is None:
            self._decoder = self._make_decoder("replace")
        return self._split(self._decoder.decode(data))

    def close(self) -> list[str | None]:
        """The stream has ended: half a character becomes U+FFFD, an unterminated line is a line."""
        lines = [] if self._decoder is None else self._split(self._decoder.decode(b"", True))
        if self._pieces or self._too_long:
            lines.append(self._take(""))
            self.seen += 1
        return lines

    def _split(self, text: str) -> list[str | None]:
        if not text:
            return []
        if self._lone_cr:
            text = self._folded(text)
        parts: list[Any] = text.split("\n")
        rest = parts.pop()
        if parts:
            parts[0] = self._take(parts[0])
            if not self._lone_cr and ("\r" in text or (parts[0] or "").endswith("\r")):
                parts = [part[:-1] if part is not None and part.endswith("\r") else part for part in parts]
            self.seen += len(parts)
            if self._longest is not None:
                longest = self._longest
                parts = [part if part is not None and len(part) <= longest else None for part in parts]
        if rest:
            self._keep(rest)
        return parts

    def _folded(self, text: str) -> str:
        if self._cr_ended and text.startswith("\n"):
            text = text[1:]
        self._cr_ended = text.endswith("\r") if text else False
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def _take(self, end: str) -> str | None:
        """The line that `end` completes."""
        if self._too_long:
            self._too_long = False
            return None
        if self._pieces:
            self._pieces.append(end)
            end = "".join(self._pieces)
            self._pieces = []
            self._length = 0
        return end

    def _keep(self, piece: str) -> None:
        if self._too_long:
            return
        self._pieces.append(piece)
        self._length += len(piece)
        # One more than the longest: it may be the `\r` of a terminator.
        if self._longest is not None and self._length > self._longest + 1:
            self._pieces = []
            self._length = 0
            self._too_long = True
