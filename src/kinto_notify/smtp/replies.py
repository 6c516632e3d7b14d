"""What the relay says, reply by reply, however many come in one segment.

Pure. In: bytes as they came. Out: the replies, in the order of the commands. Fails with `SMTPResponseException` for
what is none. aiosmtplib reads one reply for one command, and throws away what follows it.
"""

from aiosmtplib import SMTPResponse, SMTPResponseException

from kinto_notify.smtp.outcome import GARBAGE

#: What is kept of a relay that talks without an end, in bytes; a long answer to EHLO is a tenth of it.
MOST = 32_768


def take(buffer: bytearray) -> SMTPResponse | None:
    """Take the first reply out of the buffer; None while it is not whole. Raises `SMTPResponseException` for another.

    The lines of a text are joined with line feeds, as aiosmtplib does.
    """
    if not buffer:
        return None
    texts: list[bytes] = []
    start = 0
    while (end := buffer.find(b"\n", start)) >= 0:
        line = bytes(buffer[start:end])
        start = end + 1
        code = line[:3]
        if len(code) < 3 or not code.isdigit():
            raise SMTPResponseException(GARBAGE, f"Malformed SMTP response line: {line.decode('utf-8', 'ignore')}")
        texts.append(line[4:].strip())
        if line[3:4] != b"-":
            del buffer[:start]
            return SMTPResponse(int(code), b"\n".join(texts).decode("utf-8", "surrogateescape"))
    return None
