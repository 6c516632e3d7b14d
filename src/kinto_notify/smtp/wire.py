"""What DATA sends: line ends, dots and the final dot.

Pure. In: a message. Out: the bytes that stand between the relay's 354 and its reply. Cannot fail.
"""


def on_the_wire(message: bytes) -> bytes:
    """Return the message with CRLF line ends only, its leading dots doubled, and the final dot.

    A lone CR or LF that reached a server could end the message early there (SMTP smuggling, CVE-2023-51764).
    """
    lines = message.count(b"\r\n")
    if message.count(b"\n") != lines or message.count(b"\r") != lines:
        message = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    if message.startswith(b"."):
        message = b"." + message
    end = b".\r\n" if not message or message.endswith(b"\r\n") else b"\r\n.\r\n"
    return message.replace(b"\r\n.", b"\r\n..") + end
