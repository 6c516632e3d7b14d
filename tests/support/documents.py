"""The documents as tests read them: their text, tables, code blocks and the commands they show."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TICKED = re.compile(r"`([^`\n]+)`")
#: In a shell block or between ticks: variables and a path may stand before the command, a redirection behind it.
_COMMAND = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\S*/)?kinto-notify(?= |$)([^>|&]*)")


class Block(NamedTuple):
    """A fenced block: where it stands, its language, its text."""

    page: str
    language: str
    text: str


def page(name: str) -> str:
    """Return the text of a page, named from the root."""
    return (ROOT / name).read_text("utf-8")


def section(name: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of its level or higher."""
    text = page(name)
    level, start = re.search(rf"^(#+) {re.escape(heading)}\n", text, re.MULTILINE), 0
    assert level, f"{name} has no heading {heading!r}"
    start = level.end()
    following = re.search(
        rf"^#{{1,{len(level[1])}}} ", re.sub(r"^```.*?^```", _blank, text[start:], flags=re.M | re.S), re.M
    )
    return text[start : start + following.start()] if following else text[start:]


def rows(text: str) -> list[list[str]]:
    """Return the rows of all tables in a text, without their heads."""
    found = []
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found.append(cells)
    heads = {index - 1 for index, cells in enumerate(found) if set(cells[0]) == {"-"}}
    return [cells for index, cells in enumerate(found) if index not in heads and set(cells[0]) != {"-"}]


def ticked(text: str) -> list[str]:
    """Return what stands between ticks."""
    return _TICKED.findall(text)


def blocks(*languages: str) -> list[Block]:
    """Return all fenced blocks of these languages."""
    return [
        Block(str(path.relative_to(ROOT)), found[1], found[2])
        for path in PAGES
        for found in _FENCE.finditer(path.read_text("utf-8"))
        if found[1] in languages
    ]


def commands() -> list[tuple[str, list[str]]]:
    """Return every kinto-notify command that a page shows: the page, the arguments."""
    shown = [(block.page, line) for block in blocks("sh", "console") for line in block.text.splitlines()]
    shown += [(str(path.relative_to(ROOT)), text) for path in PAGES for text in ticked(path.read_text("utf-8"))]
    return [(where, found[1].split()) for where, text in shown if (found := _COMMAND.match(text)) and found[1].strip()]


def _blank(found: re.Match[str]) -> str:
    return "".join("\n" if char == "\n" else " " for char in found[0])
