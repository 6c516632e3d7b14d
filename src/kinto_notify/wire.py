"""The stream between Kinto and the daemon: key and field names, ids, and the JSON on it.

What comes in: plain Python values from Kinto's process. What goes out: the two fields of a stream entry
(`v` and `event`, a CloudEvents 1.0 envelope in structured JSON form). Standard library only: both Kinto's process and
the daemon import it, and a consumer in another language needs nothing more than what is written here.
"""

import json
import os
import re
import threading
import time
import uuid
from collections.abc import Callable
from itertools import chain, count
from typing import Any

VERSION = "1"
FIELD_VERSION = "v"
FIELD_EVENT = "event"
GROUP = "kinto-notify"
DEFAULT_NAMESPACE = "kinto-notify"
TYPE_PREFIX = "org.kinto-storage"
SPEC_VERSION = "1.0"
DATA_SCHEMA = "urn:kinto-notify:event:1"

#: An entry never holds more changes or bytes than this; larger events are split, larger objects cut to their id.
MAX_CHANGES = 500
MAX_ENTRY_BYTES = 256 * 1024
#: pydantic's JSON parser stops at about 200 levels; deeper values are replaced by a marker before they travel.
MAX_DEPTH = 64
MAX_INTEGER_BITS = 4096
_PLAIN = frozenset({str, int, float, bool, type(None)})
#: Where people put the name of a thing, in the order of our trust; a collection's metadata may name others.
TITLE_FIELDS = ("title", "name", "label", "display_name", "displayName", "subject")
#: What stands in place of a value that `redact` of Kinto's ini names.
REDACTED = "[redacted]"
TOO_DEEP = "… (nested too deeply)"

_NAMESPACE = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
# Lone surrogates cannot be encoded as UTF-8; NUL is refused by mail and by PostgreSQL's text.
_UNCLEAN = re.compile("[\ud800-\udfff\x00]")
_REPLACEMENT = "�"


def check_namespace(namespace: str) -> str:
    """Return the namespace, or raise `ValueError` if it would break the hash tag that keeps all keys in one slot."""
    if not _NAMESPACE.match(namespace):
        raise ValueError(f"namespace {namespace!r}: 1 to 64 letters, digits, '_', '.', ':' or '-'")
    return namespace


def events_key(namespace: str) -> str:
    """Name the stream of a namespace."""
    return f"{{{namespace}}}:events"


def filed_key(namespace: str) -> str:
    """Name the sorted set of the entries that the daemon has filed and that still stand in the stream."""
    return f"{{{namespace}}}:filed"


#: Between one id and the next one of its process is room for what an entry falls into later (`id_after`).
_ID_STEP = 512
_id_lock = threading.Lock()
#: The last id's milliseconds, and those with which an id began last; what all of this process' ids have in the middle,
#: and what counts them.
_id_ms, _id_middle, _id_count = 0, "", count()
_id_beginning = (-1, "")


#: The process that all this is of.
_id_process = 0


def _renew_ids() -> None:
    global _id_lock, _id_middle, _id_count, _id_process
    # A thread that is not in a forked child may have held it.
    _id_lock = threading.Lock()
    # Not of `random`, which children may have in common.
    drawn = int.from_bytes(os.urandom(10))
    _id_middle = f"7{drawn & 0xFFF:03x}-{0x8000 | drawn >> 12 & 0x3FFF:04x}"
    # Far from its end, which no process lives to see.
    _id_count = count(drawn >> 26 & (1 << 47) - 1, _ID_STEP)
    _id_process = os.getpid()


def new_id(now_ms: int | None = None) -> str:
    """Return a UUIDv7 (RFC 9562 5.7) that sorts after every one this process made before.

    Of the 74 bits after the time, 26 are the process' and 48 are counted up from a random number: drawing all of them
    for each id, and printing 128 bits, cost a write twice as much.
    """
    global _id_ms, _id_beginning
    ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    # Asked each time: uWSGI forks its workers without telling Python, and their ids would be the same.
    if os.getpid() != _id_process:
        _renew_ids()
    with _id_lock:
        # The clock may go back; the ids do not.
        _id_ms = ms = max(ms, _id_ms)
        number = next(_id_count)
    # In one piece: whoever looks at it at the same time sees the one or the other.
    minute, beginning = _id_beginning
    if ms >> 16 != minute:
        beginning = f"{ms >> 16 & 0xFFFFFFFF:08x}-"
        _id_beginning = ms >> 16, beginning
    return "%s%04x-%s-%012x" % (beginning, ms & 0xFFFF, _id_middle, number)  # noqa: UP031 - half the time


def id_after(event_id: str, place: int) -> str:
    """Return the id of the entry at a place (0 to 511) among those that one was made into: always the same."""
    return f"{event_id[:-12]}{int(event_id[-12:], 16) + place:012x}"


def id_time(event_id: str) -> int | None:
    """Return the milliseconds since the epoch inside a UUIDv7, or None for any other id."""
    try:
        parsed = uuid.UUID(event_id)
    except ValueError:
        return None
    return parsed.int >> 80 if parsed.version == 7 else None


def title(value: object) -> str:
    """Return what a value says as a name: a text without the blanks around it, a number; else nothing."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    return str(value) if isinstance(value, float) or value.bit_length() <= MAX_INTEGER_BITS else ""


def clean(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return JSON data fit to travel: lone surrogates and NUL become U+FFFD, what is nested too deeply a marker.

    Anything that JSON does not know is replaced by its `str()`. Non-finite numbers become their names.
    """
    if isinstance(value, str):
        return _UNCLEAN.sub(_REPLACEMENT, value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Python refuses to print an integer of more than 4,300 digits.
        return value if value.bit_length() <= MAX_INTEGER_BITS else "… (a number too large to print)"
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if depth <= 0:
        return TOO_DEEP
    if isinstance(value, dict):
        return {clean(k if isinstance(k, str) else str(k)): clean(v, depth - 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item, depth - 1) for item in value]
    return clean(str(value))


def _encoder() -> Callable[[Any], str]:
    """Make what encodes, once: `json` makes its encoder anew for each value, which costs a third of a small event."""
    # A circle ends in a RecursionError, and `clean` cuts it at its depth.
    usual = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"), allow_nan=False)
    try:
        make, text = json.encoder.c_make_encoder, json.encoder.encode_basestring  # type: ignore[attr-defined]
        pieces = make(None, usual.default, text, None, ":", ",", False, False, False)
    except (AttributeError, TypeError):
        # A Python without it, or with another one.
        return usual.encode
    return lambda value: "".join(pieces(value, 0))


_encode = _encoder()


def dumps(value: Any) -> str:
    """Encode as compact JSON that is always valid UTF-8."""
    return encode(value).decode()


def encode(value: Any, depth: int = MAX_DEPTH) -> bytes:
    """Encode as compact JSON in UTF-8, at most `depth` levels. Fast where nothing needs `clean`."""
    try:
        # A lone surrogate stops the second step.
        text = _encode(value).encode()
    except (TypeError, ValueError, RecursionError):
        return _encode(clean(value, depth)).encode()
    # `ensure_ascii=False` writes NUL as an escape, so a search for the escape finds it (and, rarely, a harmless
    # backslash before "u0000", which `clean` leaves as it is).
    if b"\\u0000" in text or (text.count(b"[") + text.count(b"{") > depth and _too_deep(value, depth)):
        return _encode(clean(value, depth)).encode()
    return text


def _too_deep(value: Any, depth: int) -> bool:
    """Tell whether containers are nested more than `depth` levels: many brackets may as well stand side by side."""
    level = [value]
    for _ in range(depth):
        inside = chain.from_iterable([outer.values() if isinstance(outer, dict) else outer for outer in level])
        # Most are plain values, which the first question tells fastest.
        level = [item for item in inside if type(item) not in _PLAIN and isinstance(item, (dict, list, tuple))]
        if not level:
            return False
    return True
