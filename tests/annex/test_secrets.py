"""What must not leave Kinto's process does not."""

from collections.abc import Callable
from pathlib import Path

import webtest

from support.kinto_app import RECORDS
from support.stream import StreamReader

MakeApp = Callable[..., webtest.TestApp]

ACCOUNTS = {
    "includes": "kinto.plugins.accounts",
    "multiauth.policies": "account",
    "multiauth.policy.account.use": "kinto.plugins.accounts.authentication.AccountsAuthenticationPolicy",
    "account_create_principals": "system.Everyone",
}


def everything(spool: Path, stream: StreamReader) -> bytes:
    """Every byte of the spool and of Redis."""
    kept = b"".join(path.read_bytes() for path in spool.iterdir())
    return kept + b"".join(b"".join(fields.values()) for _, fields in stream.client.xrange(stream.key))


def test_an_accounts_password_hash_is_nowhere(make_app: MakeApp, stream: StreamReader, spool: Path) -> None:
    app = make_app(settings=ACCOUNTS)
    app.authorization = None
    app.put_json("/v1/accounts/ann", {"data": {"password": "s3cret"}}, status=201)
    app.authorization = ("Basic", ("ann", "s3cret"))
    app.put_json("/v1/accounts/ann", {"data": {"password": "s3cret2"}}, status=200)
    app.authorization = ("Basic", ("ann", "s3cret2"))
    app.put_json("/v1/buckets/b", status=201)
    app.delete("/v1/accounts/ann")
    app.authorization = None
    app.put_json("/v1/accounts/bob", {"data": {"password": "s3cret"}}, status=201)
    app.authorization = ("Basic", ("bob", "s3cret"))
    app.put_json("/v1/buckets/last")
    assert [e["type"] for e in stream.wait(2)] == ["org.kinto-storage.bucket.create"] * 2
    storage = app.app.registry.storage
    password = storage.get("account", "bob", "bob")["password"]
    assert password.startswith("$2")
    found = everything(spool, stream)
    assert b"$2" not in found
    assert b"s3cret" not in found
    assert b"/buckets/last" in found


def test_a_resource_of_the_operators_choice_is_not_published_either(make_app: MakeApp, stream: StreamReader) -> None:
    app = make_app(exclude_resources="group, collection")
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/b/groups/g", {"data": {"members": []}})
    app.put_json("/v1/buckets/b/collections/c")
    app.put_json(f"{RECORDS}/r")
    assert [e["data"]["resource_name"] for e in stream.wait(2)] == ["bucket", "record"]


def test_redacted_values_are_replaced_in_both_states(make_app: MakeApp, stream: StreamReader, spool: Path) -> None:
    app = make_app(redact="/title /profile/email /tags/1 /a~1b")
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/b/collections/c")
    before = {"title": "hush1", "profile": {"email": "hush2", "n": 1}, "tags": ["x", "hush3"], "a/b": "hush4"}
    app.put_json(f"{RECORDS}/r", {"data": before})
    app.put_json(f"{RECORDS}/r", {"data": before | {"n": 2}})
    created, updated = stream.wait(4)[2:]
    (first,), (second,) = created["data"]["changes"], updated["data"]["changes"]
    marker = "[redacted]"
    for state in (first["new"], second["old"], second["new"]):
        assert (state["title"], state["profile"]) == (marker, {"email": marker, "n": 1})
        assert (state["tags"], state["a/b"]) == (["x", marker], marker)
    assert "title" not in created["data"]
    assert b"hush" not in everything(spool, stream)
    # Kinto's own object is as it was.
    assert app.get(f"{RECORDS}/r").json["data"]["title"] == "hush1"
