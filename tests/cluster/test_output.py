"""Text and values of a rank are kept within bounds."""

import io

import pytest

from labkit.cluster.output import LimitedStream, limit_bundle


def through(writes, limit=100, tail=30):
    target = io.StringIO()
    stream = LimitedStream(target, limit, tail)
    for text in writes:
        assert stream.write(text) == len(text)
    stream.close_cell()
    return target.getvalue()


@pytest.mark.parametrize("writes", [[], ["short"], ["x" * 70], ["a" * 50, "b" * 50], ["c"] * 100])
def test_what_fits_is_unchanged(writes):
    assert through(writes) == "".join(writes)


@pytest.mark.parametrize("writes", [["0123456789" * 50], ["0123456789"] * 50, ["x" * 99, "y" * 401], list("abcde" * 100)])
def test_beginning_and_end_of_much_text_are_kept(writes):
    text, shown = "".join(writes), through(writes)
    assert shown.startswith(text[:70] + "\n[... 400 characters are not shown")
    assert shown.endswith(text[-30:])


def test_only_text_is_written():
    with pytest.raises(TypeError, match="must be str, not bytes"):
        through([b"bytes"])


def test_a_huge_value_is_cut_and_others_are_kept():
    bundle = limit_bundle({"text/plain": "x" * 10**6, "text/html": "<b>", "application/json": {"a": 1}}, {})
    assert bundle["data"]["text/html"] == "<b>" and bundle["data"]["application/json"] == {"a": 1}
    assert bundle["data"]["text/plain"].endswith("[... 999,000 more characters]")
    assert limit_bundle({"text/plain": "4"}, {"m": 1}) == {"data": {"text/plain": "4"}, "metadata": {"m": 1}}
