"""The story's own check must see what is lost and what comes twice."""

from kinto_notify.demo import story

TEXTS = [f"+ something\n  by someone\n  {write.uri}\n" for write in story.WRITES]


def test_each_change_once_is_right() -> None:
    assert (story.missing(TEXTS), story.faults(TEXTS)) == (0, ())
    assert story.faults(["".join(TEXTS)]) == ()


def test_a_lost_change_is_seen() -> None:
    assert story.missing(TEXTS[1:]) == 1
    assert story.faults(TEXTS[1:]) == ("/buckets/blog: 1 written, 0 reported",)


def test_one_of_two_changes_of_a_record_is_not_enough() -> None:
    lost = [text for text in TEXTS if "second-violin" not in text]
    (uri,) = {write.uri for write in story.WRITES if "second-violin" in write.uri}
    assert story.faults([*lost, uri]) == (f"{uri}: 2 written, 1 reported",)


def test_a_second_copy_is_seen() -> None:
    assert story.missing([*TEXTS, TEXTS[0]]) == 0
    assert story.faults([*TEXTS, TEXTS[0]]) == ("/buckets/blog: 1 written, 2 reported",)
