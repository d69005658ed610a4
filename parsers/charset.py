"""Octets to text, whatever the label says: never raises, and never imports a codec by a name out of a mail.

Sources: RFC 2046 §4.1.2 (charset), RFC 6532 (UTF-8 in mail).
"""

from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache

CODECS = {
    **aliases,
    **{codec: codec for codec in aliases.values()},
    "windows_874": "cp874",
    "ks_c_5601_1987": "cp949",
    "x_sjis": "cp932",
    "unicode_1_1_utf_8": "utf_8",
}
"""Names to codecs.  Python would search the disk for a name that it does not know, and remember each one for ever."""

MEANT = {
    "ascii": "utf_8",  # what is labelled us-ascii and is not, is UTF-8 (Haraka, Postfix with SMTPUTF8)
    "latin_1": "cp1252",  # as browsers do: 0x80 to 0x9f are quotation marks, not control characters
    "iso8859_9": "cp1254",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "tis_620": "cp874",
    # no charset, more than linear time, or a way to smuggle characters:
    **dict.fromkeys(("punycode", "idna", "utf_7", "unicode_escape", "raw_unicode_escape", "mbcs", "oem"), "utf_8"),
    **dict.fromkeys(("rot_13", "base64_codec", "bz2_codec", "zlib_codec", "hex_codec", "quopri_codec"), "utf_8"),
    "uu_codec": "utf_8",
}
"""What stands behind a label in practice: mostly the wider codec that everybody writes under the narrower name."""

SEVEN_BIT_OR_WIDE = frozenset(
    codec for codec in CODECS.values() if codec.startswith(("iso2022", "utf_16", "utf_32", "hz", "cp037", "cp500"))
)
"""Codecs under which ASCII octets do not stand for themselves."""

FEW = 50
"""One bad octet in so many others: the text is UTF-8 all the same (cut in the middle of a character, or damaged)."""


def decode(octets: bytes, charset: str | None = None) -> str:
    """`octets` as text.  Unlabelled text is UTF-8, else Windows-1252; what does not fit becomes U+FFFD."""
    codec = _codec(charset) if charset else "utf_8"
    if codec in SEVEN_BIT_OR_WIDE:
        return octets.decode(codec, "replace")
    try:
        # Whatever the label says: text beyond ASCII that is valid UTF-8 was meant so, there is hardly another way.
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        if codec != "utf_8":
            return octets.decode(codec, "replace")
        text = octets.decode("utf-8", "replace")
        return (
            text if text.count("\ufffd") * FEW <= len(text) and _is_utf8(text) else octets.decode("cp1252", "replace")
        )


@lru_cache(maxsize=256)  # of names at most as long as a Content-Type that is read
def _codec(charset: str) -> str:
    if not charset.isascii():
        return "utf_8"
    codec = CODECS.get(normalize_encoding(charset).lower(), "utf_8")
    return MEANT.get(codec, codec)


def _is_utf8(text: str) -> bool:
    """Whether some characters beyond ASCII were read as UTF-8 without fault."""
    return not text.replace("\ufffd", "").isascii()
