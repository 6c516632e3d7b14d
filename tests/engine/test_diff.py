"""What a mail shows of two values: short, and always what differs."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kinto_notify.diff import MAX_VALUE_LENGTH, FieldDiff, differences

LONG = st.text(st.sampled_from("ab "), min_size=200, max_size=1500)


def shown(old: object, new: object) -> FieldDiff:
    ((field,), more) = differences({"a": old}, {"a": new})
    assert more == 0
    return field


@given(LONG, LONG, st.text(st.sampled_from("ab "), max_size=3), st.text(st.sampled_from("ab "), max_size=3))
@example("x" * 500, "", "", "x")
@example("x" * 500, "y" * 500, "10", "11")
@example("x" * 500, " ", "", " ")
def test_two_long_texts_that_differ_are_shown_differing(head: str, tail: str, old: str, new: str) -> None:
    if old == new:
        return
    field = shown(f"{head}{old}{tail}", f"{head}{new}{tail}")
    assert field.old != field.new
    assert max(len(field.old or ""), len(field.new or "")) <= MAX_VALUE_LENGTH


def test_both_ends_are_kept_where_they_differ() -> None:
    field = shown("a" * 500 + "end", "a" * 500 + "END")
    assert field.old is not None
    assert field.old.startswith("aaaa")
    assert " … " in field.old
    assert field.old.endswith("end")


def test_what_differs_in_the_middle_is_shown_with_what_stands_before_it() -> None:
    text = "It was a good year. " + "Much happened. " * 60 + "The price is {} euros. " + "And so on. " * 60
    field = shown(text.format(10), text.format(11))
    for value, price in ((field.old, "10"), (field.new, "11")):
        assert value is not None
        assert value.startswith("It was a good year.")
        assert f"Much happened. The price is {price} euros. And so on." in value
        assert value.endswith(" …")


@pytest.mark.parametrize(("old", "new"), [(["x" * 300, 1], ["x" * 300, 1, 2]), ({"a": 1}, ["y" * 400])])
def test_lists_and_objects_are_cut_as_they_are_written(old: object, new: object) -> None:
    field = shown(old, new)
    assert field.old != field.new
    assert max(len(field.old or ""), len(field.new or "")) <= MAX_VALUE_LENGTH


def test_nested_objects_go_by_json_pointer() -> None:
    fields, _ = differences({"a": {"b/c": [1, {"d~": 2}]}}, {"a": {"b/c": [1, {"d~": 3}], "e": None}})
    assert fields == (FieldDiff("/a/b~1c/1/d~0", "2", "3"), FieldDiff("/a/e", None, "null"))
