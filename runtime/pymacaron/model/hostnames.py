"""Host names: RFC 1123, and internationalized ones as RFC 5891 and 5892 define them."""

from __future__ import annotations

import re
import unicodedata

LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
DOTS = re.compile("[.\u3002\uff0e\uff61]")
# RFC 5892 §2.6: letters by their category, and yet not allowed
DISALLOWED = frozenset("\u0640\u07fa\u302e\u302f\u3031\u3032\u3033\u3034\u3035\u303b")
ARABIC_DIGITS = re.compile("[\u0660-\u0669]")
EXTENDED_ARABIC_DIGITS = re.compile("[\u06f0-\u06f9]")
JAPANESE = re.compile("HIRAGANA|KATAKANA LETTER|CJK|IDEOGRAPHIC")
VIRAMA = 9
ZERO_WIDTH_NON_JOINER, ZERO_WIDTH_JOINER = "\u200c", "\u200d"
MIDDLE_DOT, GREEK_KERAIA, KATAKANA_MIDDLE_DOT = "\u00b7", "\u0375", "\u30fb"
GERESH, GERSHAYIM = "\u05f3", "\u05f4"


def is_hostname(text: str) -> bool:
    return 0 < len(text) <= 253 and all(
        LABEL.fullmatch(label) is not None and (label[2:4] != "--" or _is_a_label(label))
        for label in text.split(".")
    )


def is_idn_hostname(text: str) -> bool:
    try:
        ascii_form = text.encode("idna").decode("ascii")
    except UnicodeError:
        return False
    return is_hostname(ascii_form) and all(
        label.isascii() or _is_u_label(label) for label in DOTS.split(text)
    )


def _is_a_label(label: str) -> bool:
    if label[:4].lower() != "xn--":
        return False
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, IndexError, OverflowError):
        return False
    return _is_u_label(decoded)


def _is_u_label(label: str) -> bool:
    return (
        bool(label)
        and label[2:4] != "--"
        and label == label.strip("-")
        and not unicodedata.category(label[0]).startswith("M")
        and DISALLOWED.isdisjoint(label)
        and not (ARABIC_DIGITS.search(label) and EXTENDED_ARABIC_DIGITS.search(label))
        and all(_may_stand(char, label[:at], label[at + 1 :]) for at, char in enumerate(label))
    )


def _may_stand(char: str, before: str, after: str) -> bool:
    """The rules of RFC 5892, appendix A, for characters that need certain others around them."""
    if char == MIDDLE_DOT:
        return before.endswith("l") and after.startswith("l")
    if char == GREEK_KERAIA:
        return _script(after[:1]) == "GREEK"
    if char in (GERESH, GERSHAYIM):
        return _script(before[-1:]) == "HEBREW"
    if char == KATAKANA_MIDDLE_DOT:
        return any(JAPANESE.match(unicodedata.name(other, "")) for other in before + after)
    if char == ZERO_WIDTH_JOINER:
        return _follows_virama(before)
    if char == ZERO_WIDTH_NON_JOINER:
        return _follows_virama(before) or (_joins(before[-1:]) and _joins(after[:1]))
    return True


def _follows_virama(before: str) -> bool:
    return bool(before) and unicodedata.combining(before[-1]) == VIRAMA


def _joins(char: str) -> bool:
    """Whether a letter joins its neighbours: those of the Arabic script and its relatives."""
    return bool(char) and unicodedata.bidirectional(char) == "AL"


def _script(char: str) -> str:
    return unicodedata.name(char, "").partition(" ")[0] if char else ""
