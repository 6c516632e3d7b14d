"""JSON pointers (RFC 6901): find a value, and take one away.

Pure. A pointer is kept as its tuple of unescaped tokens; `()` is the whole document.
"""

from collections.abc import Iterable, Mapping, Sequence

Pointer = tuple[str, ...]


class _Missing:
    """The type of `MISSING`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


#: There is nothing at the pointer; `None` would be JSON's null.
MISSING = _Missing()


def parse(text: str) -> Pointer:
    """Split a pointer into its tokens; `ValueError` if it is neither empty nor begins with a slash."""
    if text == "":
        return ()
    if not text.startswith("/"):
        raise ValueError(f"JSON pointer {text!r}: must begin with '/'")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def text(pointer: Iterable[str]) -> str:
    """Write a pointer the way `parse` reads it."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in pointer)


def find(document: object, pointer: Pointer) -> object:
    """Return the value at the pointer, or `MISSING`."""
    here = document
    for token in pointer:
        if isinstance(here, Mapping):
            if token not in here:
                return MISSING
            here = here[token]
        elif isinstance(here, Sequence) and not isinstance(here, str):
            if not token.isascii() or not token.isdigit() or int(token) >= len(here):
                return MISSING
            here = here[int(token)]
        else:
            return MISSING
    return here


def covers(redacted: Sequence[Pointer], pointer: Pointer) -> bool:
    """Tell whether the pointer is one of the redacted ones or lies below one."""
    return any(pointer[: len(hidden)] == hidden for hidden in redacted)


def overlaps(redacted: Sequence[Pointer], pointer: Pointer) -> bool:
    """Tell whether showing the value at the pointer would show (a part of) a redacted one."""
    return any(pointer[: len(hidden)] == hidden or hidden[: len(pointer)] == pointer for hidden in redacted)
