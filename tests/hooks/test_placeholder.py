"""The texts of hooks: what kinto-emailer's templates use, and nothing that costs or tells more (X01, X02)."""

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinto_notify.placeholder import MAX_RENDERED, MAX_TEXT, MAX_WIDTH, parse_template, render

CONTEXT = {
    "id": "abc",
    "user_id": "account:alice",
    "timestamp": 1_234_567,
    "impacted_objects": [{"new": {"id": "x", "deep": {"list": [1, 2]}}}],
    "settings": {"project_name": "kinto"},
}


def rendered(text: str) -> str:
    return render(parse_template(text), CONTEXT).text


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "",
        "{id} {{braces}}",
        "{impacted_objects[0][new][id]} {impacted_objects[0][new][deep][list][1]}",
        "{settings[project_name]:^12}|{id:>8}|{id:*<8}|{timestamp:,}|{timestamp:12}|{timestamp:012d}",
        "{id!r} {user_id!s:20}|{id:.2}",
        "{impacted_objects}",
        "{user_id[0]}",
    ],
)
def test_what_kinto_emailer_writes_is_written_the_same(text: str) -> None:
    assert rendered(text) == text.format(**CONTEXT)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{user_id.__class__.__init__.__globals__}", "attributes are not read"),
        ("{impacted_objects[0].keys}", "attributes are not read"),
        ("{}", "no name"),
        ("{0}", "no name"),
        ("{id", "expected '}'"),
        ("}", "Single '}'"),
        ("{ id}", "not a name"),
        ("{id:{timestamp}}", "not a width"),
        ("{id!x}", "no conversion"),
        ("{id" + "[a]" * 50 + "}", "too deep"),
        ("x" * (MAX_TEXT + 1), "longer than"),
    ],
)
def test_what_is_wrong_is_said_before_it_is_used(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_template(text)


@pytest.mark.parametrize(
    "text",
    [
        "{nothing}",
        "{settings[storage_url]}",
        "{impacted_objects[1]}",
        "{impacted_objects[new]}",
        "{timestamp[0]}",
        "{id:d}",
        "{timestamp:c}",
        "{id:=9}",
    ],
)
def test_x01_what_is_not_there_or_cannot_be_written_so_is_empty_and_named(text: str) -> None:
    found = render(parse_template(f"<{text}>"), CONTEXT)
    assert found.text == "<>"
    assert len(found.missing) == 1


def test_x02_widths_are_capped() -> None:
    assert len(rendered("{id:>999999999999999999999}")) == MAX_WIDTH
    assert len(rendered("{timestamp:.999999999f}")) < 2 * MAX_WIDTH
    assert len(rendered("{id:>" + "9" * 60_000 + "}")) == MAX_WIDTH


def test_x02_a_short_text_cannot_ask_for_much_work() -> None:
    fat = {"impacted_objects": [{"new": {f"k{i}": "v" * 1_000 for i in range(250)}}] * 4}
    texts = [
        "{impacted_objects:.0}" * 3_000,
        "".join(f"{{impacted_objects:.{n % 200}}}{{impacted_objects!r:.{n % 200}}}" for n in range(1_000)),
        "".join(f"{{impacted_objects[0][new][k{n % 250}]:>{n % 200}}}" for n in range(1_500)),
    ]
    # In this process's own time: other work on the machine does not count. A million characters take some milliseconds.
    began = time.process_time()
    for text in texts:
        assert len(render(parse_template(text), fat).text) <= MAX_RENDERED
    assert time.process_time() - began < 5


def test_what_is_rendered_is_cut_and_says_so() -> None:
    found = render(parse_template("{impacted_objects}"), {"impacted_objects": "x" * (MAX_RENDERED + 1)})
    assert len(found.text) <= MAX_RENDERED
    long = render(parse_template("{id:>200}" * 1_000), CONTEXT)
    assert long.cut
    assert len(long.text) == MAX_RENDERED


@given(st.text(alphabet=string.ascii_lowercase[:4] + "{}[]:.!0<>^ ié\u2028\0", max_size=60))
def test_whatever_is_written_it_is_refused_or_rendered(text: str) -> None:
    try:
        template = parse_template(text)
    except ValueError:
        return
    render(template, CONTEXT)


@given(st.text(alphabet="ab{}[]:>id", max_size=30))
def test_where_python_renders_it_we_render_the_same(text: str) -> None:
    context = {"id": "abc", "a": {"b": "x"}, "b": "y", "i": 3, "d": ["e"]}
    try:
        expected = text.format(**context)
        template = parse_template(text)
    except (ValueError, KeyError, IndexError, AttributeError, TypeError):
        return
    found = render(template, context)
    assert found.text == expected
    assert found.missing == ()
