"""Markup out of our own templates, filled with values that are strangers'.

In: a file in a package's `pages/` and values. Out: `Html`; every value that is not `Html` itself is escaped, so that a
name of a bucket is never markup. A value that is missing is a `KeyError`: a mistake of ours.
"""

from html import escape
from importlib.resources import files
from string import Template


class Html(str):
    """Markup that is complete: `fill` puts it in as it is."""

    __slots__ = ()


def fill(package: str, template: str, /, **values: str | int) -> Html:
    """Fill one page of a package; all values but `Html` are escaped."""
    text = Template(files(package).joinpath("pages", template).read_text("utf-8"))
    safe = {key: value if isinstance(value, Html) else escape(str(value)) for key, value in values.items()}
    return Html(text.substitute(safe))


def joined(parts: "list[Html]") -> Html:
    """Put markup in a row."""
    return Html("".join(parts))
