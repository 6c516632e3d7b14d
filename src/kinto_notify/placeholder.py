"""The placeholders of a hook's texts: `{name}`, `{name[key][0]}`, `{name:>20}`, `{{` and `}}`.

Pure, and bounded, since whoever may write a collection may write a hook: no attribute access, no nested format, widths
and lengths capped, no more work than a constant whatever the text asks for. What a text names and the context lacks
is empty. The grammar is that of `str.format` as far as kinto-emailer's templates use it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

#: A longer text is a mistake or an attack; a mail shows 100 KB at most anyway.
MAX_TEXT = 65_536
#: What a rendered text is cut at, in characters.
MAX_RENDERED = 65_536
#: `{id:>999999999}` is fifteen bytes that ask for a gigabyte.
MAX_WIDTH = 200
#: Characters of values that one rendering may write out, so that 6,000 times `{impacted_objects}` is one.
_MAX_WORK = 1_048_576
#: What any piece of a text costs of it, however little it writes.
_PIECE = 16
#: A path goes into objects that are as deep as a request's JSON.
_MAX_STEPS = 32

_PATH = re.compile(r"([^.\[\]{}!:\s][^.\[\]{}!:]*)((?:\[[^\[\]{}]+\])*)\Z")
_SPEC = re.compile(r"((?:.?[<>=^])?[-+ ]?z?#?0?)([0-9]*)([_,]?)(?:\.([0-9]+))?([bcdeEfFgGnosxX%]?)\Z", re.DOTALL)
_CONVERSIONS: Mapping[str, Callable[[object], str]] = {"": str, "s": str, "r": repr, "a": ascii}
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One field: where its value stands, and how it is written."""

    name: str
    steps: tuple[str | int, ...] = ()
    conversion: str = ""
    spec: str = ""

    def __str__(self) -> str:
        return self.name + "".join(f"[{step}]" for step in self.steps)


@dataclass(frozen=True, slots=True)
class Template:
    """A text that was read: literal pieces and placeholders, in order."""

    pieces: tuple[str | Placeholder, ...]

    @property
    def names(self) -> frozenset[str]:
        """The names that it needs."""
        return frozenset(piece.name for piece in self.pieces if isinstance(piece, Placeholder))


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text with its values in. `missing` names what the context lacked or could not write as asked.

    `work` is what it cost, about in characters.
    """

    text: str
    missing: tuple[str, ...] = ()
    cut: bool = False
    work: int = 0


def parse_template(text: str) -> Template:
    """Read a text; `ValueError` says which placeholder is wrong, and why."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"is longer than {MAX_TEXT} characters")
    pieces: list[str | Placeholder] = []
    try:
        for literal, name, spec, conversion in Formatter().parse(text):
            if literal:
                pieces.append(literal)
            if name is not None:
                pieces.append(_placeholder(name, spec or "", conversion or ""))
    except ValueError as fault:
        raise ValueError(f"{fault}; write {{{{ and }}}} for braces") from None
    return Template(tuple(pieces))


def _placeholder(field: str, spec: str, conversion: str) -> Placeholder:
    shown = f"{{{field[:60]}}}"
    if not field or field[0].isdigit():
        raise ValueError(f"placeholder {shown} has no name")
    found = _PATH.match(field)
    if found is None:
        raise ValueError(f"placeholder {shown} is not a name with indexes in brackets; attributes are not read")
    steps = tuple(
        int(step) if step.isascii() and step.isdigit() else step for step in found[2][1:-1].split("][") if step
    )
    if len(steps) > _MAX_STEPS or len(found[2]) > MAX_WIDTH:
        raise ValueError(f"placeholder {shown} goes too deep")
    if conversion not in _CONVERSIONS:
        raise ValueError(f"placeholder {shown}: there is no conversion !{conversion[:10]}")
    return Placeholder(found[1], steps, conversion, _capped(spec, shown))


def _capped(spec: str, shown: str) -> str:
    """Return the format with its width and precision capped."""
    found = _SPEC.match(spec)
    if found is None:
        raise ValueError(f"placeholder {shown}: {spec[:30]!r} is not a width or alignment")
    head, width, grouping, precision, kind = found.groups()
    width = _at_most(width) if width else ""
    return head + width + grouping + (f".{_at_most(precision)}" if precision else "") + kind


def _at_most(digits: str) -> str:
    # Not int() first: a number of 60,000 digits takes a while, and Python refuses it.
    return digits if len(digits) <= 3 and int(digits) <= MAX_WIDTH else str(MAX_WIDTH)


def render(template: Template, context: Mapping[str, object]) -> Rendered:
    """Put the context's values in. Never fails: what is missing or can't be written so is empty, and named."""
    pen = _Pen(context)
    parts: list[str] = []
    room = MAX_RENDERED
    for piece in template.pieces:
        part = piece if isinstance(piece, str) else pen.write(piece)
        parts.append(part[:room])
        room -= len(part)
        if room < 0:
            break
    text = "".join(parts)
    work = pen.work + len(text) + _PIECE * len(template.pieces)
    return Rendered(text, tuple(pen.missing), cut=room < 0, work=work)


class _Pen:
    """Writes the values of one rendering, each of them once."""

    def __init__(self, context: Mapping[str, object]) -> None:
        self._context = context
        self._written: dict[Placeholder, str] = {}
        #: How many characters of values were written out.
        self.work = 0
        self.missing: dict[str, None] = {}

    def write(self, placeholder: Placeholder) -> str:
        known = self._written.get(placeholder)
        if known is None:
            known = self._written[placeholder] = self._fresh(placeholder)
        return known

    def _fresh(self, placeholder: Placeholder) -> str:
        value = _find(self._context.get(placeholder.name, _MISSING), placeholder.steps)
        if value is _MISSING or self.work >= _MAX_WORK:
            self.missing[str(placeholder)] = None
            return ""
        try:
            return self._formatted(value, placeholder)
        except (ValueError, TypeError, OverflowError, RecursionError):
            self.missing[str(placeholder)] = None
            return ""

    def _formatted(self, value: object, placeholder: Placeholder) -> str:
        if not placeholder.conversion and isinstance(value, (int, float)) and placeholder.spec:
            return format(value, placeholder.spec)
        write = _CONVERSIONS[placeholder.conversion]
        text = write(value)
        self.work += len(text)
        return format(text[:MAX_RENDERED], placeholder.spec)


def _find(value: object, steps: Sequence[str | int]) -> object:
    for step in steps:
        if isinstance(value, Mapping) and isinstance(step, str):
            value = value.get(step, _MISSING)
        elif isinstance(value, (list, tuple, str)) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return _MISSING
    return value
