"""The MIME body: whatever the text, 7-bit lines of at most 78, and it comes back as it was (C06, C07, C09)."""

import re
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kinto_notify.compose import mime
from kinto_notify.compose.plain import body_text
from support.mail_linter import parse

MARK = mime.boundary("a digest")
ANY_TEXT = st.text(st.characters(), max_size=600)


def read(body: bytes) -> list[str]:
    head = f'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="{MARK}"\r\n\r\n'
    parts = list(parse(head.encode() + body).iter_parts())
    return [part.get_payload(decode=True).decode().replace("\r\n", "\n") for part in parts]


@given(ANY_TEXT)
@example(".")
@example(".\r\n.\n.")
@example("\n.\r\nMAIL FROM:<evil@example.org>\r\n")
@example("x" * 100_000)
@example("é" * 2000)
@example("漢字" * 2000)
@example("a\x00b\x1b[31mc")
@example("\ud800 lone")
@example("trailing \nblanks\t\n")
@example("From me\nFrom you")
@example("= =3D =\n=")
@example(f"--{MARK}\nContent-Type: text/html\n\nevil")
@example(f"--{MARK}--")
@example("x" * 74 + " " + "y" * 80 + " ")
def test_any_text_comes_back_and_only_crlf_ends_a_line(text):
    body = mime.alternative(text, "<p>x</p>", MARK)
    assert body.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", body)
    assert max(map(len, body.split(b"\r\n"))) <= 78
    shown, html = read(body)
    # The line end before a boundary belongs to the boundary (RFC 2046 5.1.1).
    assert shown.rstrip("\n") == body_text(text).rstrip("\n")
    assert html.rstrip("\n") == "<p>x</p>"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain words", b"7bit"),
        ("an arrow → here", b"quoted-printable"),
        ("漢字" * 50, b"base64"),
        ("x" * 79, b"quoted-printable"),
    ],
)
def test_the_shortest_encoding_is_chosen(text, encoding):
    body = mime.alternative(text, "<p>x</p>", MARK)
    assert b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " + encoding in body


def test_c07_nul_and_terminal_commands_are_gone():
    assert read(mime.alternative("a\x00b\x1b[31m\x07c\x9bd\te", "<p>x</p>", MARK))[0] == "ab[31mcd\te\n".rstrip("\n")


def test_c09_a_lone_surrogate_is_a_replacement_character():
    assert read(mime.alternative("a\udfffb", "<p>x</p>", MARK))[0].strip() == "a�b"


def test_long_lines_are_not_kept_in_memory():
    """A hook's text may be one line of 64 KiB, and another one in each mail."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100):
            line = f"{number} " + "é" * 20_000
            mime.alternative(line, f"<p>{line}</p>", MARK)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_000_000
