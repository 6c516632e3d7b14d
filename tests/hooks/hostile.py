"""A corpus of hostile hooks: what may be written by somebody who means ill, or has no idea.

Each entry is what stands under `kinto-emailer` or `kinto-notify`. Faults X01, X02, X04 to X07, C01, C02 and C05.
"""

from collections.abc import Iterator
from typing import Any

TEXTS = [
    *(
        "{",
        "}",
        "{}",
        "{0}",
        "{a.b}",
        "{a[b}",
        "{a]b}",
        "{!r}",
        "{:}",
        "{a!}",
        "{a!x}",
        "{a:{b}}",
        "{a:{b:{c}}}",
        "{{}",
        "{}}",
    ),
    "{user_id.__class__.__init__.__globals__}",
    "{impacted_objects.__class__.__mro__}",
    "{settings.__dict__}",
    "{settings[storage_url]}",
    "{settings[userid_hmac_secret]}",
    "{event.request.registry.settings}",
    "{__builtins__[eval]}",
    "{id.__format__}",
    "{id:>999999999}",
    "{id:>" + "9" * 60_000 + "}",
    "{timestamp:.999999999f}",
    "{timestamp:0999999999}",
    "{timestamp:c}",
    "{id:%Y}",
    "{impacted_objects" + "[0]" * 5_000 + "}",
    "{impacted_objects[" + "9" * 5_000 + "]}",
    "{impacted_objects[-1]}",
    "{impacted_objects[0][new]" + "[x]" * 31 + "}",
    "{impacted_objects}" * 3_000,
    "{impacted_objects!r:>200}" * 1_000,
    "{impacted_objects!a}" * 1_000,
    "{" * 60_000,
    "{{" * 30_000,
    "{a}" * 20_000,
    "{" + "a" * 60_000 + "}",
    "x" * 200_000,
    "\ud800{id}\udfff",
    "\x00\x01\x1b[31m{id}",
    "\u202e{id}\u2066",
    "a\r\nBcc: eve@evil.example\r\n\r\nbody",
    "a\nBcc: eve@evil.example",
    "a\rBcc: eve@evil.example",
    "a\x0bBcc: eve@evil.example",
    "a\x85Bcc: eve@evil.example",
    "a\u2028Bcc: eve@evil.example",
    "=?utf-8?q?a=0D=0ABcc:_eve=40evil.example?=",
    "=?utf-8?b?DQpCY2M6IGV2ZUBldmlsLmV4YW1wbGU=?=",
    "\r\n.\r\nMAIL FROM:<eve@evil.example>\r\n",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "javascript:alert(1) {{ 7*7 }} {% for x in range(10) %}{% endfor %}",
    "${7*7} #{7*7} %(id)s %s %n",
    "\u0000" * 5_000,
    "é" * 60_000,
    "🦊" * 30_000,
    "\t\n " * 10_000,
]
ADDRESSES = [
    *(
        "",
        " ",
        "@",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        "a@b c",
        "a,b@c",
        "a@b, c@d",
        "a@b;c@d",
        "a@b\n",
        "a@b\r\n",
        "<>",
        "<a@b",
        "a@b>",
    ),
    "<eve@evil.example>\r\nBcc: x@evil.example",
    "<eve@evil.example>\nSubject: x",
    "Ann <ann@example.org>\r\nBcc: eve@evil.example",
    "ann@example.org\x00@evil.example",
    "ann@example.org>,<eve@evil.example",
    '"ann@example.org" <eve@evil.example>',
    "ann@example.org <eve@evil.example>",
    "<ann@example.org> <eve@evil.example>",
    "<eve@evil.example> ann@example.org",
    "eve@evil.example(ann@example.org)",
    "ann@example.org.evil.example",
    "eve%evil.example@example.org",
    "@example.org:eve@evil.example",
    "=?utf-8?q?eve=40evil.example=3E?=@example.org",
    "=?utf-8?q?=0D=0ABcc:_eve=40evil.example?= <ann@example.org>",
    "\u202eann <ann@example.org>",
    "ann@examp\u200dle.org",
    "ann@еxample.org",
    "kinto@example.org",
    "x" * 70 + "@example.org",
    "a@" + "b." * 200 + "org",
    "a" * 100_000 + "@example.org",
    "<" * 10_000 + "a@b" + ">" * 10_000,
    "@" * 20_000,
    "/buckets/b/groups/",
    "/buckets//groups/g",
    "/buckets/other/groups/g",
    "/buckets/bb/groups/g",
    "/buckets/b/groups/../../other/groups/g",
    "/buckets/b/groups/g\n",
    "/buckets/{bucket_id}/groups/g",
    "/buckets/b/groups/{record_id}",
    "/buckets/b/groups/{user_id.__class__}",
    "/buckets/b/groups/{id:>999999999}",
    "/buckets/b/groups/" + "{id}" * 5_000,
    "/buckets/b/groups/{",
    "{new[/evil]}",
    "{new[/evils]}",
    "{new[/" + "a/" * 5_000 + "]}",
    "{new[/\ud800]}",
    "{old[/evil]}",
]
PATTERNS = [
    *("^(", "^[", "^*", "^(?P<a", "^(?<=a+)b", "^\\", "^(?R)", "^(?(1)a|b)", "^a{2,1}", "!", "!^", "!^(a+)+$", ""),
    "^(a+)+$",
    "^(a|aa)+$",
    "^(a|a?)+$",
    "^(.*)*$",
    "^(.*a){20}$",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "^(?:(?:a*)*)*b",
    "^(a?){60}a{60}",
    "^" + "(" * 90 + ")" * 90,
    "^" + "(a*" * 40 + ")*" * 40,
    "^(?:a{1,1000}){1,1000}$",
    "^((a{1,100}){1,100}){1,100}$",
    "^(((((a{9}){9}){9}){9}){9}){9}",
    "^(?i)" + "ſ" * 100,
    "^\\p{L}+(?:\\p{L}+)*$",
    "^(?:eve){e<=30}",
    "^(?e)(?:aaaaaaaaaaaaaaaaaaaaaaaaa){e}",
    "^(?b)(?:aaaaaaaaaaaaaaaaaaaaaaaaa){i,d,s}",
    "^(?r)(a+)+b",
    "^(?=(a+))*\\1\\1\\1b",
    "^(a+)\\1+\\1+\\1+$",
    "^" + "a" * 100_000,
    "\ud800",
    "^\x00",
]
_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    "",
    "x",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    ["a"] * 1_000,
    "\ud800",
    10**30,
]
_KEYS = (
    *("template", "subject", "sender", "recipients", "event", "action", "resource_name", "record_id", "id", "name"),
    *("digest", "where", "changed", "redact", "urgent", "exclude_actor", "content", "reply_to", "user_id"),
)
_GOOD = {"template": "{id}", "subject": "{id}", "recipients": ["ann@example.org"]}


def _deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"a": [value]}
    return value


def sections() -> Iterator[Any]:
    """Whole sections that are no sections, or far too much of one."""
    yield from _VALUES
    for value in _VALUES:
        yield {"hooks": value}
        yield {"hooks": [value]}
        yield {"hooks": [_GOOD], "inherit": value}
    yield {"hooks": [_GOOD] * 5_000}
    yield {"hooks": [{**_GOOD, "recipients": [f"a{number}@example.org" for number in range(5_000)]}]}
    yield {"hooks": [{**_GOOD, "recipients": [f"/buckets/b/groups/g{number}" for number in range(5_000)]}]}
    yield {"hooks": [{**_GOOD, "recipients": [f"/buckets/b/groups/{{id:>{number}}}" for number in range(500)]}]}
    yield {"hooks": [{**_GOOD, "id": "^(a+)+$", "event": "^(a|aa)+$", "action": "^(.*)*x"}] * 100}
    yield {"hooks": [{**_GOOD, "more": _deep(80)}]}
    yield {"hooks": [{**_GOOD, **{f"key{number}": number for number in range(5_000)}}]}
    yield {"hooks": [_GOOD], **{f"key{number}": number for number in range(5_000)}}


def hooks() -> Iterator[dict[str, Any]]:
    for text in TEXTS:
        yield {**_GOOD, "template": text}
        yield {**_GOOD, "subject": text}
    for address in ADDRESSES:
        yield {**_GOOD, "recipients": [address]}
        yield {**_GOOD, "recipients": ["ann@example.org", address]}
        yield {**_GOOD, "sender": address}
    for pattern in PATTERNS:
        yield {**_GOOD, "id": pattern}
        yield {**_GOOD, "where": {"/evil": pattern}}
    for key in _KEYS:
        for value in _VALUES:
            yield {**_GOOD, key: value}


def corpus() -> list[Any]:
    """All of it: what stands under the key."""
    return [*sections(), *({"hooks": [hook]} for hook in hooks())]
