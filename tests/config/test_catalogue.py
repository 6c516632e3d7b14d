"""What is subscribed: the file, RECIPIENTS, both; and the policy for addresses that records name."""

import os

import pytest

from kinto_notify.address import Mailbox, parse_mailbox
from kinto_notify.catalogue import load_catalogue
from kinto_notify.errors import ConfigError
from kinto_notify.settings import load_settings

ONE = '[[subscription]]\nname = "one"\nrecipients = ["a@x.org"]\n'


def settings(path=None, **given):
    named = {f"KINTO_NOTIFY_{name}": text for name, text in {"SENDER": "kinto@example.org", **given}.items()}
    if path is not None:
        named["KINTO_NOTIFY_SUBSCRIPTIONS"] = str(path)
    return load_settings(named)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "subscriptions.toml"


def problems(file, text, **given):
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_catalogue(settings(file, **given))
    start = f"KINTO_NOTIFY_SUBSCRIPTIONS: {file}"
    assert all(line.startswith((start, "KINTO_NOTIFY_RECIPIENTS")) for line in caught.value.problems)
    return [line.removeprefix(start).removeprefix(": ") for line in caught.value.problems]


def test_recipients_make_one_subscription_of_everything():
    catalogue = load_catalogue(settings(RECIPIENTS='"Doe, Jane" <j@x.org>, "A \\"B\\" C" <b@x.org>', DIGEST_WAIT="5s"))
    (one,) = catalogue.subscriptions
    assert one.identity == "file#default"
    assert one.recipients == (Mailbox("Doe, Jane", "j@x.org"), Mailbox('A "B" C', "b@x.org"))
    assert one.filters == ()
    assert one.rules.wait == 5_000


def test_the_file_and_recipients_stand_beside_each_other(file):
    file.write_text(ONE)
    catalogue = load_catalogue(settings(file, RECIPIENTS="j@x.org"))
    assert [one.presentation.name for one in catalogue.subscriptions] == ["one", "default"]
    assert catalogue.warnings == ()


def test_the_files_own_default_clashes_with_recipients_only(file):
    file.write_text(ONE.replace("one", "default"))
    assert load_catalogue(settings(file)).subscriptions[0].identity == "file#default"
    (line,) = problems(file, ONE.replace("one", "default"), RECIPIENTS="j@x.org")
    assert line == 'subscription "default": that is the name of the one KINTO_NOTIFY_RECIPIENTS makes'


def test_nothing_subscribed_is_a_warning(file):
    file.write_text("# nothing yet\n")
    for empty in (settings(), settings(file)):
        catalogue = load_catalogue(empty)
        assert catalogue.subscriptions == ()
        assert "nothing is subscribed" in catalogue.warnings[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ONE + "name = \n", ":4: is not TOML: "),
        ("[[subscription]\n", ":1: is not TOML: "),
        (ONE + 'name = "again"\n', ":4: is not TOML: "),
        (b"# caf\xc3\xa9\n# caf\xe9\n", ":2: is not UTF-8 text"),
        ("[subscription]\n", "write [[subscription]], in two brackets"),
        ("subscription = 3\n", "write [[subscription]], in two brackets"),
        ("subscription = [3]\n", "subscription 1: must be a table"),
        ("[[subscriptions]]\n", "subscriptions: there is no such key; did you mean subscription?"),
        (ONE + "[digest]\n", "digest: there is no such key"),
        (ONE + ONE, "subscription 2: a subscription before it has the name 'one'"),
    ],
)
def test_a_bad_file_is_told_with_its_place(file, text, told):
    (line,) = problems(file, text)
    assert line.startswith(told)


def test_a_byte_order_mark_is_no_harm(file):
    file.write_bytes(b"\xef\xbb\xbf" + ONE.encode())
    assert len(load_catalogue(settings(file)).subscriptions) == 1


def test_all_problems_of_all_subscriptions_at_once(file):
    text = '[[subscription]]\naction = 1\n[[subscription]]\nname = "b"\nrecipients = ["x"]\nwhen = 1979-05-27\n'
    assert [line.rpartition(": ")[0] for line in problems(file, text)] == [
        "subscription 1: action",
        "subscription 1: recipients",
        "subscription \"b\": recipients[0]: 'x'",
        'subscription "b": when',
    ]


def test_a_date_is_no_value_for_where(file):
    (line,) = problems(file, ONE + "where = { '/day' = 1979-05-27 }\n")
    assert "where: /day: a value is text" in line


def test_a_file_that_went_away_is_told_at_the_reload(file):
    file.write_text(ONE)
    known = settings(file)
    file.unlink()
    with pytest.raises(ConfigError, match=r"KINTO_NOTIFY_SUBSCRIPTIONS: .*: cannot be read: No such file"):
        load_catalogue(known)
    os.mkdir(file)
    with pytest.raises(ConfigError, match=r"KINTO_NOTIFY_SUBSCRIPTIONS: .*: cannot be read: Is a directory"):
        load_catalogue(known)


@pytest.mark.parametrize("address", ["kinto@example.org", "KINTO@Example.org", "Me <bounces@example.org>"])
def test_c12_our_own_addresses_are_no_recipients(file, address):
    (line,) = problems(file, ONE.replace("a@x.org", address), BOUNCE_ADDRESS="bounces@example.org")
    assert 'subscription "one": recipients: ' in line
    assert "own KINTO_NOTIFY_SENDER or KINTO_NOTIFY_BOUNCE_ADDRESS" in line
    with pytest.raises(ConfigError, match="KINTO_NOTIFY_RECIPIENTS: "):
        load_catalogue(settings(RECIPIENTS=address, BOUNCE_ADDRESS="bounces@example.org"))


def test_a_template_must_be_there(file, tmp_path):
    text = ONE + 'template = "short"\n'
    (line,) = problems(file, text)
    assert "KINTO_NOTIFY_TEMPLATES is not set" in line
    (line,) = problems(file, text, TEMPLATES=str(tmp_path))
    assert "holds neither short.subject nor short.txt nor short.html" in line
    (tmp_path / "short.txt").write_text("x")
    assert load_catalogue(settings(file, TEMPLATES=str(tmp_path))).subscriptions[0].presentation.template == "short"


@pytest.mark.parametrize(
    ("globs", "address", "allowed"),
    [
        (None, "a@example.org", True),
        (None, "A@EXAMPLE.org", True),
        (None, "a@sub.example.org", False),
        (None, "a@example.org.evil.test", False),
        (None, "a@evil.test", False),
        ("*", "a@evil.test", True),
        ("*@x.org,news-?@y.org", "news-1@y.org", True),
        ("*@x.org,news-?@y.org", "news-12@y.org", False),
        ("*@*.x.org", "a@b.x.org", True),
        ("*@*.x.org", "a@x.org", False),
        ("*@xn--bcher-kva.example", "a@bücher.example", True),
        # Our own never: a mail to them comes back for ever (C12).
        ("*", "kinto@example.org", False),
        ("*", "Bounces@example.org", False),
    ],
)
def test_c12_whom_a_record_may_name(globs, address, allowed):
    given = {"ALLOWED_RECIPIENTS": globs} if globs else {}
    catalogue = load_catalogue(settings(BOUNCE_ADDRESS="bounces@example.org", **given))
    assert catalogue.allows(parse_mailbox(address)) is allowed
