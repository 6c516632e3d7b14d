"""The templates: the built-in ones, and the operator's over them.

In: a directory of `NAME.subject`, `NAME.txt`, `NAME.html` (Jinja2). Out: texts. Everything is compiled and tried on a
sample when the set is made: `ConfigError` lists every fault with file and line. A template that fails later, on real
data, raises `TemplateFault`; the caller takes the built-in one instead.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from traceback import extract_tb

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    select_autoescape,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from kinto_notify.compose.plain import isolated
from kinto_notify.compose.view import ChangeView, CountView, FieldView
from kinto_notify.errors import ConfigError
from kinto_notify.nearest import nearest

#: The template of a subscription that names none; an operator's file of this name replaces it.
DEFAULT = "digest"
KINDS = ("subject", "txt", "html")
#: What an operator's template writes to extend ours: `{% extends "builtin/digest.html" %}`.
BUILTIN_PREFIX = "builtin"
_BUILTIN = Path(__file__).with_name("templates")
#: Text parts are read in terminals: some blanks less than the classic 80 columns, for the `>` of replies.
_TEXT_WIDTH = 72
#: Subjects written in a subscription are few; the bound is for a file that is reloaded again and again.
_MAX_COMPILED_SUBJECTS = 256
#: A longer text is not remembered once it is wrapped: an operator's template may wrap what a hook wrote.
_MAX_KNOWN = 1_000
_VIEWS = {"Change": ChangeView, "Field": FieldView, "Count": CountView}
_NO_SUCH = re.compile(r"'\S+\.(Change|Field|Count)View object' has no attribute '(\w+)'")


class TemplateFault(Exception):
    """A template failed; the text says where and of what kind, in one line.

    `detail` is what Python says of it: of real data it may repeat a record's content, so it is not part of the text.
    """

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail

    def in_full(self) -> str:
        """Return the text with the detail, where the data was a sample."""
        return f"{self}: {self.detail}" if self.detail else str(self)


class TemplateSet:
    """Finds, compiles and renders; never looks at the disk again once it is made."""

    def __init__(self, directory: Path | None = None, sample: Mapping[str, object] | None = None) -> None:
        # Ours need no sandbox, and it triples the time of a mail.
        self._builtin = _environment(Environment, FileSystemLoader(_BUILTIN))
        builtin = PrefixLoader({BUILTIN_PREFIX: FileSystemLoader(_BUILTIN)})
        loader = builtin if directory is None else ChoiceLoader([FileSystemLoader(directory), builtin])
        self._own = _environment(ImmutableSandboxedEnvironment, loader)
        self._names: frozenset[str] = frozenset()
        self._compile_subject = lru_cache(_MAX_COMPILED_SUBJECTS)(self._own.from_string)
        for kind in KINDS:
            self._builtin.get_template(f"{DEFAULT}.{kind}")
        if directory is not None:
            self._adopt(directory, sample)

    def has(self, name: str) -> bool:
        """Tell whether a subscription may name this template."""
        return name == DEFAULT or any(f"{name}.{kind}" in self._names for kind in KINDS)

    def owns(self, name: str, kind: str) -> bool:
        """Tell whether the operator wrote this part of the template."""
        return f"{name}.{kind}" in self._names

    def render(self, name: str, kind: str, context: Mapping[str, object]) -> str:
        """Render the operator's template of this name and kind, or else the built-in one."""
        if kind == "subject" and not self.owns(name, kind):
            # Ours says nothing else; rendering it takes as long as finding the words.
            return str(context["default_subject"])
        if self.owns(name, kind):
            return _render(self._own.get_template(f"{name}.{kind}"), f"{name}.{kind}", context)
        return self.render_builtin(kind, context)

    def render_builtin(self, kind: str, context: Mapping[str, object], name: str = DEFAULT) -> str:
        """Render a built-in template; that of digests takes any context that `view` makes."""
        template = self._builtin.get_template(f"{name}.{kind}")
        # They use no globals, which `Template.render` would mix into a copy of the context: a fifth of a mail's time.
        return "".join(template.root_render_func(template.new_context(dict(context), shared=True)))

    def render_subject(self, text: str, context: Mapping[str, object]) -> str:
        """Render a subject that the operator wrote into a subscription."""
        try:
            template = self._compile_subject(text)
        except TemplateError as fault:
            raise TemplateFault(f"subject {text!r}: {fault}") from None
        return _render(template, f"subject {text!r}", context)

    def _adopt(self, directory: Path, sample: Mapping[str, object] | None) -> None:
        if not directory.is_dir():
            raise ConfigError(f"TEMPLATES: {directory} is no directory")
        try:
            names = sorted(path.name for path in directory.iterdir() if path.suffix[1:] in KINDS and path.is_file())
        except OSError as fault:
            raise ConfigError(f"TEMPLATES: {fault}") from None
        self._names = frozenset(names)
        problems = self._compile(names)
        if sample is not None and not problems:
            problems = list(self._try(names, sample))
        if problems:
            raise ConfigError(problems)

    def _compile(self, names: list[str]) -> list[str]:
        problems = []
        for name in names:
            try:
                self._own.get_template(name)
            except TemplateSyntaxError as fault:
                problems.append(f"{fault.filename or name}:{fault.lineno}: {fault.message}")
            except (TemplateError, OSError, UnicodeDecodeError) as fault:
                problems.append(f"{name}: {fault}")
        return problems

    def _try(self, names: list[str], sample: Mapping[str, object]) -> Iterator[str]:
        """Yield what fails on a sample: a misspelt variable is a fault that no compiler sees."""
        for name in names:
            try:
                stem, _, kind = name.rpartition(".")
                self.render(stem, kind, sample)
            except TemplateFault as fault:
                yield fault.in_full()


def _environment(kind: type[Environment], loader: BaseLoader) -> Environment:
    environment = kind(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=select_autoescape(("html",), default_for_string=False, default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        # A digest in work must not change with the disk; SIGHUP makes a new set.
        auto_reload=False,
        cache_size=-1,
    )
    environment.filters["hang"] = _hang
    environment.filters["isolated"] = isolated
    return environment


def _render(template: Template, name: str, context: Mapping[str, object]) -> str:
    try:
        return template.render(context)
    except Exception as fault:  # noqa: BLE001 - a template may fail in any way Python can; the mail goes out all the same
        raise TemplateFault(f"{_where(template, name, fault)}: {type(fault).__name__}", _said(fault)) from None


def _said(fault: Exception) -> str:
    """Return what Python says, in the words of docs/templates.md; it would name our classes."""
    found = _NO_SUCH.fullmatch(str(fault))
    if found is None:
        return str(fault)
    known = [one.name for one in fields(_VIEWS[found[1]])]
    return f"a {found[1].lower()} has no {found[2]!r}{nearest(found[2], known)}"


def _where(template: Template, name: str, fault: Exception) -> str:
    """Return `file:line`; Jinja2 rewrites tracebacks so that they name the template's own lines."""
    if template.filename is None or template.filename == "<template>":
        return name
    lines = [frame.lineno for frame in extract_tb(fault.__traceback__) if frame.filename == template.filename]
    return f"{template.filename}:{lines[-1]}" if lines else template.filename


def _hang(text: str, first: int = 0, rest: int = 0) -> str:
    """Wrap for a terminal: the first line indented by `first` blanks, the others by `rest`; links stay whole."""
    return (_known if len(text) <= _MAX_KNOWN else _wrapped)(text, first, rest)


# Why one gets a mail, and how to stop it, is said in every mail alike. `typed`: what is markup stays markup, and a text
# with the same letters a text.
@lru_cache(1024, typed=True)
def _known(text: str, first: int, rest: int) -> str:
    return _wrapped(text, first, rest)


def _wrapped(text: str, first: int, rest: int) -> str:
    indented = " " * first + text
    if len(indented) <= _TEXT_WIDTH:
        return indented
    return textwrap.fill(
        text,
        width=_TEXT_WIDTH,
        initial_indent=" " * first,
        subsequent_indent=" " * rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
