"""What the demo says in the terminal: one line for each thing that stands or happens.

In: words and an output stream. Out: aligned lines, in colour where the stream is a terminal (`NO_COLOR` is heeded).
Control characters of a mail are shown as `?`: a mail must not steer the terminal.
"""

import os
import time
from typing import TextIO

_DIM, _BOLD, _GREEN, _CYAN = "2", "1", "32", "36"


class Terminal:
    """Prints to `out`; every line is flushed, as others may be reading along through a pipe."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colour = out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def place(self, name: str, where: str, note: str = "") -> None:
        """Say that something stands: `kinto  http://…  demo:demo`."""
        self._print(f"  {self._paint(name.ljust(8), _BOLD)}{where.ljust(34)}{self._paint(note, _DIM)}")

    def event(self, kind: str, what: str, note: str = "") -> None:
        """Say that something happened, and when."""
        clock = self._paint(time.strftime("%H:%M:%S"), _DIM)
        coloured = self._paint(kind.ljust(7), _CYAN if kind == "mail" else _BOLD)
        self._print(f"  {clock}  {coloured}{_plain(what)}  {self._paint(_plain(note), _DIM)}")

    def block(self, text: str, limit: int | None = None, rest: str = "") -> None:
        """Show a text behind a bar; of more than `limit` lines, the first ones and where the `rest` is."""
        lines = text.rstrip().splitlines()
        shown = lines if limit is None or len(lines) <= limit + 1 else lines[:limit]
        bar = self._paint("│", _DIM)
        self.gap()
        for line in shown:
            self._print(f"    {bar} {_plain(line)}")
        if len(shown) < len(lines):
            self._print(f"    {bar} {self._paint(f'and {len(lines) - len(shown)} more lines: {rest}', _DIM)}")
        self.gap()

    def command(self, text: str) -> None:
        """Show a command that can be copied."""
        for line in text.splitlines():
            self._print(f"    {line}")

    def line(self, text: str) -> None:
        """Say something in plain words."""
        self._print(f"  {_plain(text)}")

    def good(self, text: str) -> None:
        """Say that all is well."""
        self._print(f"  {self._paint('ok', _GREEN)}  {text}")

    def gap(self) -> None:
        """Leave a line empty."""
        self._print("")

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and text else text

    def _print(self, line: str) -> None:
        print(line.rstrip(), file=self._out, flush=True)


def _plain(text: str) -> str:
    # A no-break space is a space to a person, and no printable sign to Python.
    return "".join(sign if sign.isprintable() else "?" for sign in text.replace("\xa0", " "))
