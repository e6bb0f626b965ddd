"""From encoding labels to decoders: Python's codec names, and the WHATWG labels that Python lacks."""

from __future__ import annotations

import codecs
import sys
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Protocol

    class Decoder(Protocol):
        def decode(self, data: bytes, final: bool = False, /) -> str: ...

    DecoderFactory = Callable[[str], Decoder]

# The decoders of these codecs raise errors in every error mode.
_STRICT = ("idna", "punycode", "undefined")

# encoding.spec.whatwg.org, "Names and labels": the labels that codecs.lookup does not know.
_WHATWG = {
    "unicode-1-1-utf-8": "utf-8",
    "unicode11utf8": "utf-8",
    "unicode20utf8": "utf-8",
    "x-unicode20utf8": "utf-8",
    "dos-874": "cp874",
    "windows-874": "cp874",
    "iso-8859-8-e": "iso8859-8",
    "iso-8859-8-i": "iso8859-8",
    "csiso88596e": "iso8859-6",
    "csiso88596i": "iso8859-6",
    "iso-8859-6-e": "iso8859-6",
    "iso-8859-6-i": "iso8859-6",
    "csiso88598e": "iso8859-8",
    "csiso88598i": "iso8859-8",
    "logical": "iso8859-8",
    "visual": "iso8859-8",
    "sun_eu_greek": "iso8859-7",
    "csisolatin9": "iso8859-15",
    "csisolatin6": "iso8859-10",
    "koi": "koi8-r",
    "koi8": "koi8-r",
    "koi8-ru": "koi8-u",
    "csmacintosh": "mac-roman",
    "mac": "mac-roman",
    "x-mac-roman": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "x-mac-ukrainian": "mac-cyrillic",
    "x-cp1250": "cp1250",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
    "x-cp1253": "cp1253",
    "x-cp1254": "cp1254",
    "x-cp1255": "cp1255",
    "x-cp1256": "cp1256",
    "x-cp1257": "cp1257",
    "x-cp1258": "cp1258",
    "x-gbk": "gbk",
    "csgb2312": "gbk",
    "gb_2312": "gbk",
    "gb_2312-80": "gbk",
    "cseuckr": "euc-kr",
    "csksc56011987": "euc-kr",
    "iso-ir-149": "euc-kr",
    "ks_c_5601-1989": "euc-kr",
    "ksc_5601": "euc-kr",
    "cn-big5": "big5",
    "x-x-big5": "big5",
    "cseucpkdfmtjapanese": "euc-jp",
    "x-euc-jp": "euc-jp",
    "windows-31j": "cp932",
    "x-sjis": "shift_jis",
    "windows-949": "cp949",
    "csunicode": "utf-16-le",
    "iso-10646-ucs-2": "utf-16-le",
    "ucs-2": "utf-16-le",
    "unicode": "utf-16-le",
    "unicodefeff": "utf-16-le",
    "unicodefffe": "utf-16-be",
}
# `iso88592` for `iso8859-2`, and likewise for the whole family.
_WHATWG.update({f"iso8859{part}": f"iso8859-{part}" for part in (*range(1, 12), *range(13, 17))})


#: Encodings with a byte order mark: its width, and the encoding that each mark means. Without a mark: this machine's order.
_MARKED = {
    "utf-16": (2, {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}),
    "utf-32": (4, {codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be"}),
}


class _Marked:
    """Decodes UTF-16 or UTF-32 with or without a byte order mark; Python's incremental decoder refuses data without one."""

    __slots__ = ("_decoder", "_errors", "_head", "_name")

    def __init__(self, name: str, errors: str) -> None:
        self._name = name
        self._errors = errors
        self._head = b""
        self._decoder: Decoder | None = None

    def decode(self, data: bytes, final: bool = False, /) -> str:
        """The text of the next bytes."""
        if self._decoder is None:
            width, marks = _MARKED[self._name]
            self._head += data
            if len(self._head) < width and not final:
                return ""
            native = f"{self._name}-{'le' if sys.byteorder == 'little' else 'be'}"
            found = marks.get(self._head[:width])
            data, self._head = self._head if found is None else self._head[width:], b""
            self._decoder = _incremental(found or native)(self._errors)
        return self._decoder.decode(data, final)


class _Guarded:
    """Wraps a decoder that cannot replace invalid data, or that the caller supplied: gives U+FFFD, and never a UnicodeError."""

    __slots__ = ("_decoder",)

    def __init__(self, make: DecoderFactory, errors: str) -> None:
        self._decoder = make(errors)

    def decode(self, data: bytes, final: bool = False, /) -> str:
        """The text of the next bytes."""
        try:
            return self._decoder.decode(data, final)
        except UnicodeError:
            return data.decode("ascii", "replace")


def _incremental(name: str) -> DecoderFactory:
    found = codecs.lookup(name).incrementaldecoder
    assert found is not None
    return found


def decoder_factory(label: str | DecoderFactory, parameter: str = "encoding") -> DecoderFactory:
    """A callable of one argument, the error mode, that makes an incremental decoder; ValueError for an unknown label.

    A decoder factory that the caller supplies is accepted too.
    """
    if callable(label):
        return partial(_Guarded, label)
    if not isinstance(label, str):
        raise TypeError(f"{parameter} must be a str or make decoders, not {type(label).__name__}")
    name = label.strip()
    try:
        # Python before 3.17 drops what is no ASCII, and takes `\xfctf-8` for `tf-8`; from 3.15 on it warns of that.
        info = codecs.lookup(_WHATWG.get(name.encode("ascii").decode().lower(), name))
    except (LookupError, ValueError):
        raise ValueError(f"unknown encoding label {label!r}") from None
    if not getattr(info, "_is_text_encoding", True) or info.incrementaldecoder is None:
        raise ValueError(f"{label!r} is not a text encoding that can be decoded piece by piece")
    if info.name == "utf-8":
        return _incremental("utf-8-sig")  # a leading byte order mark is not content
    if info.name in _MARKED:
        return partial(_Marked, info.name)
    if info.name in _STRICT:
        return partial(_Guarded, info.incrementaldecoder)
    return info.incrementaldecoder


_default: DecoderFactory | None = None


def default_decoder(errors: str) -> Decoder:
    """A decoder of the default encoding, UTF-8."""
    global _default
    if _default is None:
        _default = decoder_factory("utf-8")
    return _default(errors)
