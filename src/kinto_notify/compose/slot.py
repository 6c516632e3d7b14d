"""The slot: where a recipient's token goes into the body that all recipients of a digest share.

Pure. In: the recipient's own header lines and the shared body. Out: the message. The slot is as long as a token and is
named by a hash of the frozen digest's id: what a record or a hook holds cannot be it, since that id is a hash of event
ids that were drawn later. Without a link in the headers the body stays as it is.
"""

import base64
import hashlib
import re

from kinto_notify.inbox_link import PATH, TOKEN_LENGTH

_LINK = re.compile(rb"^List-Unsubscribe: <[^>\r\n]*%b([A-Za-z0-9_-]{%d})>\r$" % (PATH.encode(), TOKEN_LENGTH), re.M)


def slot(digest: str) -> str:
    """Return what stands in the body of this digest in place of a token."""
    return base64.urlsafe_b64encode(hashlib.sha384(b"slot\0" + digest.encode()).digest()).decode()


def unsubscribe_line(url: str) -> bytes:
    """Return the header field of a recipient's link, as `filled` finds it."""
    return b"List-Unsubscribe: <%b>\r\n" % url.encode("ascii")


def filled(head: bytes, body: bytes, digest: str) -> bytes:
    """Return the whole message, the token of the headers in the slots of the body."""
    found = _LINK.search(head)
    return head + (body.replace(slot(digest).encode(), found[1]) if found else body)
