"""Encoding labels to decoders: what Python calls a codec, and the names of the WHATWG list that Python lacks."""

from __future__ import annotations

import codecs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Protocol

    class Decoder(Protocol):
        def decode(self, data: bytes, final: bool = False, /) -> str: ...

    DecoderFactory = Callable[[str], Decoder]

# encoding.spec.whatwg.org, "Names and labels": those that codecs.lookup does not know.
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
# `iso88592` for `iso8859-2`, and so for all of its family.
_WHATWG.update({f"iso8859{part}": f"iso8859-{part}" for part in (*range(1, 12), *range(13, 17))})


def decoder_factory(label: str) -> DecoderFactory:
    """A callable of one argument, the error mode, that makes an incremental decoder; ValueError for an unknown label."""
    name = label.strip()
    try:
        info = codecs.lookup(_WHATWG.get(name.lower(), name))
    except (LookupError, ValueError):
        raise ValueError(f"unknown encoding label {label!r}") from None
    if not getattr(info, "_is_text_encoding", True) or info.incrementaldecoder is None:
        raise ValueError(f"{label!r} is not a text encoding that can be decoded piece by piece")
    if info.name == "utf-8":
        info = codecs.lookup("utf-8-sig")  # a leading byte order mark is no content
        assert info.incrementaldecoder is not None
    return info.incrementaldecoder


def default_decoder(errors: str) -> Decoder:
    """A decoder of the default encoding, UTF-8."""
    global _default
    if _default is None:
        _default = decoder_factory("utf-8")
    return _default(errors)


_default: DecoderFactory | None = None
