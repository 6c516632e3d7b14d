"""Text made harmless: what a record, a user id or a title may carry into a mail.

In: any Python string, lone surrogates included. Out: a string that cannot start a header, forge a line, hide an address
behind a direction override, or send a command to a terminal. Never fails.
"""

import re

#: Every character that some reader takes for a line break, every other control character, and runs of blanks.
_BLANKS = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
#: What is left of these in a body: tab and line feed only.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_LINE_BREAKS = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
#: The Unicode property Bidi_Control: with these a mail shows other words than it holds.
_BIDI = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
#: Hebrew, Arabic and their neighbours, presentation forms, and the scripts of the first supplementary plane.
_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
#: A line break inside a value is shown, not obeyed: a value could otherwise forge the line that follows it.
SHOWN_BREAK = " ⏎ "
ELLIPSIS = "…"


def one_line(text: str, limit: int | None = None) -> str:
    """Return the text on one line, blanks folded; longer than `limit` it is cut at its end."""
    if text.isascii() and text.isprintable() and (limit is None or len(text) <= limit) and "  " not in text:
        return text.strip(" ")
    # Cut first: what is thrown away should not cost time. Folding blanks shortens the text, hence the factor.
    folded = text if limit is None else text[: limit * 8]
    if not (folded.isascii() and folded.isprintable() and "  " not in folded):
        folded = _BIDI.sub("", _SURROGATES.sub("�", _BLANKS.sub(" ", folded)))
    folded = folded.strip(" ")
    return folded if limit is None or len(folded) <= limit else folded[: limit - 1].rstrip(" ") + ELLIPSIS


def value_line(text: str) -> str:
    """Return a field's value on one line: its line breaks shown, blank values in quotes."""
    if text.isascii() and text.isprintable() and text and text[0] != " ":
        return text
    shown = _LINE_BREAKS.sub("\n", text).strip("\n").replace("\n", SHOWN_BREAK)
    return one_line(shown) or '""'


def isolated(text: str) -> str:
    """Return the text so that its right-to-left words turn nothing around them: `old → new` stays in this order."""
    return text if text.isascii() or not _RIGHT_TO_LEFT.search(text) else f"\u2068{text}\u2069"


def body_text(text: str) -> str:
    """Return text fit for a body: LF line ends only, no NUL, no other control but tab, no lone surrogate."""
    # What is printable line by line holds none of these; three searches through a page cost more than composing it.
    if all(map(str.isprintable, text.split("\n"))):
        return text
    return _SURROGATES.sub("�", _CONTROLS.sub("", _LINE_BREAKS.sub("\n", text)))
