"""Generated cases for kinto-emailer beside kinto-notify: metadata, groups, operations.

Each piece of a hook comes with the deviations (D1 to D11, docs/coming-from-kinto-emailer.md) that it may show, and with
no others. The bucket's id stands as `{{B}}` in texts, since every case has a bucket of its own.
"""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

Tagged = tuple[Any, frozenset[str]]


def plain(*values: Any) -> list[Tagged]:
    return [(value, frozenset()) for value in values]


def tagged(tag: str, *values: Any) -> list[Tagged]:
    return [(value, frozenset({tag})) for value in values]


_LINES = [
    *plain(
        "{action} {resource_name} {id}",
        "{bucket_id}/{collection_id}/{record_id}",
        "{user_id} at {timestamp}",
        "{root_url}|{user_agent}|{event}",
        "{settings[project_name]}",
        "{impacted_objects[0][new][id]}",
        "{impacted_objects[0][new][last_modified]:,}",
        "{id:*^9}|{id!r}|{action!s:.3}",
        "{{id}} {{",
        "é 🦊 Grüße",
        "100 % sure",
    ),
    *tagged("D10", "<{uri}>", "<{client_address}>"),
    *tagged("D3", "{comment}", "{nope}", "{impacted_objects[0][new][none]}", "{impacted_objects[9][new]}"),
    *tagged("D3", "{impacted_objects[0][old][id]}", "{id:d}", "{settings[storage_url]}", "{timestamp[0]}"),
    *tagged("D4", "{", "a } b", "{0}", "{}", 3, ["{id}"], None, "{id!x}"),
    *tagged("D8", "{id.__class__}", "{id:>500}", "{id:{action}}"),
]
_BODIES = [
    *_LINES,
    *plain(
        "{impacted_objects}", "{impacted_objects[0][new]}", "{settings}", "one\n\n  two\n", "\tTab", "From here\n.\n"
    ),
    *plain("x" * 1200, "{timestamp:>20}|"),
]
_SUBJECTS = [
    *_LINES,
    *tagged("D8", "two  blanks", " {id:>12} ", "long " * 60),
    *tagged("D4", "a\nBcc: eve@evil.example"),
]
_SENDERS = [
    *plain("desk@example.org", "The Desk <desk@example.org>", None),
    *tagged("D4", "nobody", 5, "a@b\r\nBcc: eve@evil.example"),
]
_RECIPIENTS = [
    *plain("ann@example.org", "Bob <bob@example.org>", "a@b", "Joe <joe@localhost> junk", '"Q, R" <q@example.org>'),
    *plain("/buckets/{{B}}/groups/g", "/buckets/{{B}}/groups/{collection_id}-staff", "/buckets/{{B}}/groups/none"),
    *plain("/buckets/{{B}}/groups/{record_id}"),
    *plain(" a@b", "x", "a@b, c@d", "<a@b", "a@b@c", "/buckets/other/groups/g", "/buckets/{bucket_id}/groups/g"),
    *tagged("D7", "ANN@example.org", "ann@example.org"),
    *tagged("D2", "/buckets/{{B}}b/groups/g"),
    *tagged("D4", "a@b.", "a..b@example.org", "a@b\n", "<a@b>\r\nBcc: eve@evil.example", 5, None),
]
_FILTERS: dict[str, list[Tagged]] = {
    "action": [
        *plain("create", "update", "delete", "updated", "^cre.*|upd", "^(create|delete)$", "!create", ""),
        *tagged("D4", ["create"], "^(", None),
        *tagged("D8", "^" + "c" * 300),
    ],
    "resource_name": [*plain("record", "collection", "^.*", "group", "bucket"), *tagged("D4", 5), *tagged("D8", "^*")],
    "event": [
        *plain("kinto.core.events.ResourceChanged", "^kinto.core.events", "kinto_signer.events.ReviewRequested"),
        *tagged("D1", "kinto.core.events.AfterResourceChanged", "^kinto\\.core\\.events\\.After"),
    ],
    "collection_id": plain("c", "^c$", "d", "^(?!c$)", "{collection_id}"),
    "record_id": plain("r1", "^r", "{record_id}", "^(?!r1$)"),
    "id": plain("r1", "c", "^r[12]$", "nobody"),
    "colour": plain("red", {"any": "thing"}),
}
_SECTIONS = [
    *plain({}, {"hooks": [{}]}, {"hooks": [{"template": "x"}]}, {"hooks": [{"template": "x", "recipients": []}]}),
    *plain({"hooks": [{"template": "x", "recipients": "a@b."}]}),
    *tagged(
        "D4", None, "x", 3, [], {"hooks": None}, {"hooks": "x"}, {"hooks": {}}, {"hooks": ["x"]}, {"hooks": [None]}
    ),
]
#: After these both go on, and the next request can be compared too.
_HARMLESS = frozenset({"D1", "D7", "D10"})
#: So that a good many cases come to mails, what is deviant is rarer than what is not.
_rare = st.integers(0, 15).map(lambda number: number == 0)


@st.composite
def _piece(draw: st.DrawFn, pieces: list[Tagged]) -> Tagged:
    usual = [piece for piece in pieces if piece[1] <= _HARMLESS]
    if not draw(_rare):
        return draw(st.sampled_from(usual))
    tag = draw(st.sampled_from(sorted({tag for piece in pieces for tag in piece[1]} or {""})))
    return draw(st.sampled_from([piece for piece in pieces if tag in piece[1]] or usual))


@dataclass
class Section:
    """What stands under `kinto-emailer`, and the deviations that it may show: all of it, and each hook's own."""

    written: Any
    tags: frozenset[str] = frozenset()
    hooks: dict[str, frozenset[str]] = field(default_factory=dict)


@st.composite
def _hook(draw: st.DrawFn, marker: str) -> tuple[dict[str, Any], frozenset[str]]:
    hook: dict[str, Any] = {}
    tags: set[str] = set()

    def take(key: str, pieces: list[Tagged]) -> None:
        hook[key], found = draw(_piece(pieces))
        tags.update(found)

    take("template", _BODIES)
    if isinstance(hook["template"], str):
        hook["template"] += f" #{marker}"
    if draw(st.booleans()):
        take("subject", _SUBJECTS)
    if draw(st.integers(0, 3)) == 0:
        take("sender", _SENDERS)
    named = draw(st.lists(_piece(_RECIPIENTS[:9] + _RECIPIENTS[16:]), min_size=1, max_size=3))
    if draw(_rare):
        named = draw(st.lists(_piece(_RECIPIENTS), min_size=1, max_size=2))
    hook["recipients"] = [one for one, _ in named]
    tags.update(*(found for _, found in named))
    if draw(_rare):
        hook |= {"template": "", "subject": f"#{marker}"}
        tags.add("D9")
    for key in draw(st.lists(st.sampled_from(sorted(_FILTERS)), max_size=2, unique=True)):
        take(key, _FILTERS[key])
    return hook, frozenset(tags)


@st.composite
def sections(draw: st.DrawFn, letter: str) -> Section | None:
    """What stands under `kinto-emailer` in one object; None: nothing. Hooks are marked `#` and letter and number."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        written, tags = draw(_piece(_SECTIONS))
        return Section(written, tags)
    if kind == 1:
        return Section({"hooks": []})
    if kind == 2:
        return None
    hooks = [draw(_hook(f"{letter}{index}")) for index in range(draw(st.integers(1, 3)))]
    tags = frozenset().union(*(found for _, found in hooks))
    return Section(
        {"hooks": [hook for hook, _ in hooks]}, tags, {f"{letter}{n}": found for n, (_, found) in enumerate(hooks)}
    )


@dataclass
class Operation:
    """A request. `several`: its events hold more than one object, or a URI that is not the object's own (D10, D5)."""

    method: str
    path: str
    body: Any = None
    several: bool = False


_C = "/buckets/{{B}}/collections/c"
_DATA = {"data": {"title": "t", "deep": {"list": [1, None, True, 1.5]}}}
_BATCH = [
    ("PUT", f"{_C}/records/r1"),
    ("PUT", f"{_C}/records/r2"),
    ("DELETE", f"{_C}/records/r1"),
    ("PATCH", f"{_C}/records/r2"),
    ("POST", f"{_C}/records"),
    ("PATCH", _C),
    ("PUT", "/buckets/{{B}}/collections/d"),
    ("DELETE", f"{_C}/records/none"),
]


def _single(method: str, path: str) -> Operation:
    several = path.endswith(("records", "collections"))
    body = None if method == "DELETE" else _DATA
    if method == "POST":
        body = {"data": {**_DATA["data"], "id": "r3"}}
    return Operation(method, path, body, several)


def _two_collections() -> Operation:
    parts = [_single("PATCH", _C), _single("PUT", "/buckets/{{B}}/collections/d")]
    requests = [{"method": one.method, "path": one.path, "body": one.body} for one in parts]
    return Operation("POST", "/batch", {"requests": requests}, several=True)


_OPERATIONS = [
    *(_single(method, f"{_C}/records/{ident}") for method in ("PUT", "PATCH", "DELETE") for ident in ("r1", "r2")),
    _single("PUT", f"{_C}/records/r1"),
    _single("POST", f"{_C}/records"),
    _single("DELETE", f"{_C}/records"),
    _single("PATCH", _C),
    _single("PUT", _C),
    _single("DELETE", _C),
    _single("PUT", "/buckets/{{B}}/collections/d"),
    _single("DELETE", "/buckets/{{B}}/collections"),
    _single("PATCH", "/buckets/{{B}}"),
    Operation("PUT", "/buckets/{{B}}/groups/new", {"data": {"members": ["eve@evil.example"]}}),
    Operation("PATCH", "/buckets/{{B}}/groups/g", {"data": {"members": ["ldap:zoe@example.org", "fxa:1"]}}),
    _single("DELETE", "/buckets/{{B}}/groups/g"),
    _single("DELETE", "/buckets/{{B}}"),
    *[_two_collections()] * 2,
]


@st.composite
def _batch(draw: st.DrawFn) -> Operation:
    parts = draw(st.lists(st.sampled_from(_BATCH), min_size=2, max_size=4))
    requests = [
        {"method": one.method, "path": one.path, "body": one.body} for one in (_single(*part) for part in parts)
    ]
    for one in requests:
        if one["body"] is None:
            del one["body"]
    return Operation("POST", "/batch", {"requests": requests}, several=True)


@dataclass
class Case:
    """A bucket with groups and a collection, hooks in both, and what then happens there."""

    bucket: Section | None
    collection: Section | None
    operations: list[Operation]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    operation = st.integers(0, 3).flatmap(lambda number: _batch() if number == 0 else st.sampled_from(_OPERATIONS))
    first = Operation("PUT", f"{_C}/records/r1", _DATA)
    rest = draw(st.lists(operation, min_size=1, max_size=4))
    return Case(draw(sections("b")), draw(sections("c")), [first, *rest])


def told(tag: str, *operations: Operation, **pieces: Any) -> Case:
    """A case that shows one deviation for certain: one hook of the collection, and what happens."""
    hook = {"template": "{id} #c0", "recipients": ["ann@example.org"], **pieces}
    tags = frozenset({tag})
    first = Operation("PUT", f"{_C}/records/r1", _DATA)
    return Case(None, Section({"hooks": [hook]}, tags, {"c0": tags}), [first, *operations])


CERTAIN = [
    told("D1", event="kinto.core.events.AfterResourceChanged"),
    told("D2", recipients=["/buckets/{{B}}b/groups/g"]),
    told("D3", template="{comment} #c0"),
    told("D4", action=["create"]),
    told("D5", _two_collections()),
    told("D7", recipients=["ann@example.org", "Ann <ann@example.org>"]),
    told("D8", subject="two  blanks"),
    told("D9", template="", subject="#c0"),
    told("D10", _single("DELETE", f"{_C}/records"), template="<{uri}> #c0"),
]
