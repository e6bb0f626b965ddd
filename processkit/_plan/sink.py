"""A tee as it was asked for: a writer, or a file of ours."""

from __future__ import annotations

from .._base.validate import path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Sink:
    """The target of a tee. Owns its file, which is open from the builder's call until no command refers to it any more."""

    __slots__ = ("_file", "writer")

    def __init__(self, sink: Any, append: object) -> None:
        self._file: Any = None
        try:
            write = sink.write
        except AttributeError:
            #: The caller's writer; None for a file of ours.
            self.writer: Any = None
            path = path_text(sink, "sink")
            self._file = open(path, "ab" if append else "wb", buffering=0)
            return
        if append:
            raise ValueError("append is for a path: a writer is written to as it is")
        if not callable(write):
            raise TypeError(f"the write of a sink must be callable, not {type(write).__name__}")
        self.writer = sink

    def save(self, data: bytes) -> None:
        """Write all of `data` to the file."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()
