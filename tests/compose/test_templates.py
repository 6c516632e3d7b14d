"""The operator's own templates, and what happens when one fails (C11, G06)."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from kinto_notify.compose.composer import Composer
from kinto_notify.compose.view import ChangeView, CountView, FieldView, View
from kinto_notify.errors import ConfigError
from kinto_notify.subscription import Presentation
from support.digests import HELLO, SENDER, digest, message
from support.mail_linter import lint


def write(directory: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (directory / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return directory


def test_a_template_has_three_parts_and_a_missing_one_is_the_built_in(tmp_path):
    write(tmp_path, brief__subject="{{ total }} in {{ where }}\n", brief__txt="{{ totals }}\n")
    composer = Composer(sender=SENDER, templates=tmp_path)
    parts = composer.parts(digest(HELLO, template="brief"))
    assert parts.subject == "1 in blog/articles"
    assert parts.text.strip() == "1 record updated"
    assert "Why you get this." in parts.html
    assert "To stop it" in composer.parts(digest(HELLO)).text
    assert lint(message(composer, digest(HELLO, template="brief"))) == []


def test_the_operator_may_replace_or_extend_the_built_in_for_all(tmp_path):
    write(tmp_path, digest__txt='Dear reader,\n{% include "builtin/digest.txt" %}')
    text = Composer(sender=SENDER, templates=tmp_path).parts(digest(HELLO)).text
    assert text.startswith("Dear reader,\n1 record updated\n")


def test_a_wrapped_text_is_no_markup_because_some_markup_reads_like_it(tmp_path):
    write(tmp_path, digest__html="{{ '<b>' | safe | hang(1, 1) }}{{ changes[0].title | hang(1, 1) }}")
    html = Composer(sender=SENDER, templates=tmp_path).parts(digest(replace(HELLO, title="<b>"))).html
    assert html == " <b> &lt;b&gt;"


def test_html_is_escaped_and_text_is_not(tmp_path):
    write(tmp_path, digest__txt="{{ changes[0].title }}", digest__html="<p>{{ changes[0].title }}</p>")
    parts = Composer(sender=SENDER, templates=tmp_path).parts(digest(HELLO))
    assert (parts.text, parts.html) == ("Hello", "<p>Hello</p>")


def test_g06_every_broken_template_is_told_with_file_and_line(tmp_path):
    write(tmp_path, a__txt="one\n{% if %}\n", b__html="<p>\n\n{{ nothing }}</p>", c__subject="{{ total ", d__txt="fine")
    with pytest.raises(ConfigError) as caught:
        Composer(sender=SENDER, templates=tmp_path)
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        f"{tmp_path}/a.txt:2",
        f"{tmp_path}/c.subject:1",
    ]
    write(tmp_path, a__txt="one", c__subject="x")
    with pytest.raises(ConfigError, match=r"b\.html:3: .*'nothing' is undefined"):
        Composer(sender=SENDER, templates=tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ changes[0].titel }}", "x.txt:1: UndefinedError: a change has no 'titel'; did you mean title?"),
        ("{{ changes[0].fields[0].nme }}", "x.txt:1: UndefinedError: a field has no 'nme'; did you mean name?"),
        ("{{ counts[0].zzz }}", "x.txt:1: UndefinedError: a count has no 'zzz'"),
    ],
)
def test_g06_a_misspelt_name_is_told_in_the_words_of_the_documents(tmp_path, text, said):
    write(tmp_path, x__txt=text)
    with pytest.raises(ConfigError) as caught:
        Composer(sender=SENDER, templates=tmp_path)
    assert list(caught.value.problems) == [f"{tmp_path}/{said}"]


def test_g06_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no directory"):
        Composer(sender=SENDER, templates=tmp_path / "missing")
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.txt"):
        Composer(sender=SENDER, templates=tmp_path)


def test_c11_a_template_that_fails_on_real_data_is_replaced_and_told_once(tmp_path):
    write(
        tmp_path, digest__txt="{{ changes[0].title }}{{ changes[1].title }}", digest__html="{% if more %}x{% endif %}"
    )
    told: list[tuple[str, str]] = []
    composer = Composer(sender=SENDER, templates=tmp_path, on_fallback=lambda name, why: told.append((name, why)))
    for _ in range(3):
        mail = message(composer, digest(HELLO))
        assert lint(mail) == []
        assert "To stop it" in composer.parts(digest(HELLO)).text
    assert [name for name, _ in told] == ["digest.txt", "digest.html"]
    assert "digest.txt:1: UndefinedError" in told[0][1]


@pytest.mark.parametrize("text", ["{{ group[changes[0].title] }}", "{{ changes[0].title.encode('ascii') }}"])
def test_x09_what_is_told_of_a_failing_template_holds_nothing_of_the_record(text):
    told: list[tuple[str, str]] = []
    composer = Composer(sender=SENDER, on_fallback=lambda name, why: told.append((name, why)))
    composer.subject(digest(replace(HELLO, title="sécret"), subject=text))
    ((name, why),) = told
    assert name == "subject of file#articles"
    assert "Error" in why
    assert "é" not in why
    assert "sécret" not in why
    assert r"\xe9" not in why


@pytest.mark.parametrize(
    "attack",
    [
        "{{ changes.__class__.__mro__ }}",
        "{{ changes[0].__init__.__globals__ }}",
        "{{ ''.__class__ }}",
        "{{ group.update({'a': 1}) }}",
        "{% for i in range(10 ** 9) %}{% endfor %}",
    ],
)
def test_a_template_stays_in_its_sandbox(tmp_path, attack):
    with pytest.raises(ConfigError, match=r"Security|Overflow"):
        Composer(sender=SENDER, templates=write(tmp_path, digest__txt=attack))
    told: list[tuple[str, str]] = []
    composer = Composer(sender=SENDER, on_fallback=lambda name, why: told.append((name, why)))
    assert composer.subject(digest(HELLO, subject=attack)).startswith("[blog/articles]")
    assert told[0][0] == "subject of file#articles"


def test_an_unknown_template_or_a_broken_subject_falls_back():
    told: list[tuple[str, str]] = []
    composer = Composer(sender=SENDER, on_fallback=lambda name, why: told.append((name, why)))
    mail = message(composer, digest(HELLO, template="missing", subject="{{ oops"))
    assert lint(mail) == []
    assert [name for name, _ in told] == ["missing", "subject of file#articles"]


def test_problems_of_a_subscription_are_known_before_it_is_used(tmp_path):
    composer = Composer(sender=SENDER, templates=write(tmp_path, brief__txt="x"))
    good = Presentation("file", "a", template="brief", subject="{{ where }}", reply_to="a@x.org")
    assert composer.problems(good) == []
    bad = Presentation("file", "a", template="missing", subject="{{ wher }}", reply_to="a", sender="b@x, c@x")
    found = composer.problems(bad)
    assert len(found) == 4
    assert found[0] == "template 'missing': no such file in TEMPLATES"
    assert "'wher' is undefined" in found[1]
    # What a hook calls a template is a text with placeholders, not the name of a file.
    assert composer.problems(Presentation("/buckets/b", "0", template="missing", subject="{{ wher }}")) == []


def test_a_hook_never_reaches_the_operators_templates(tmp_path):
    composer = Composer(sender=SENDER, templates=write(tmp_path, secret__txt="internal"))
    assert "internal" not in composer.parts(digest(HELLO, home="/buckets/b", template="secret")).text


@pytest.mark.parametrize("shown", [View, ChangeView, FieldView, CountView])
def test_every_name_that_a_template_sees_is_documented(shown):
    documented = (Path(__file__).parents[2] / "docs" / "templates.md").read_text(encoding="utf-8")
    assert [field.name for field in fields(shown) if f"`{field.name}`" not in documented] == []
