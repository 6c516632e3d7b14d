"""Files on the command line: JSON and events, from a path or from standard input; `BadInput` says what is wrong."""

import json
import sys
from pathlib import Path

from kinto_notify.errors import BadInput, MalformedEntry
from kinto_notify.event import Event, parse_event


def text_of(named: str) -> str | None:
    """Return the text of a file or of standard input (`-`), or None where the name is that of no file."""
    try:
        if named == "-":
            return sys.stdin.read()
        if Path(named).is_file():
            return Path(named).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise BadInput(f"{named}: {fault}") from None
    return None


def read_event(named: str) -> Event:
    """Read an event as it stands in the stream (docs/wire-format.md)."""
    return parsed_event(_there(named))


def read_json(named: str) -> object:
    """Read any JSON."""
    try:
        found: object = json.loads(_there(named))
    except (ValueError, RecursionError) as fault:
        raise BadInput(f"{named}: is no JSON: {fault}") from None
    return found


def parsed_event(text: str) -> Event:
    """Read the JSON of an event."""
    try:
        return parse_event(text)
    except MalformedEntry as fault:
        raise BadInput(f"that is no event: {fault}") from None


def _there(named: str) -> str:
    text = text_of(named)
    if text is None:
        raise BadInput(f"there is no file {named!r}")
    return text
