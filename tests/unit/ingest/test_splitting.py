"""Batches that do not parse as a whole are taken apart."""

import json

from hypothesis import given
from hypothesis import strategies as st

from clm_ingest.core.splitting import MOST_TOKENS, split

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    events=st.lists(json_values, max_size=8),
    others=st.dictionaries(st.text().filter(lambda key: key != "batch"), json_values, max_size=3),
    ascii_only=st.booleans(),
)
def test_every_event_comes_out_as_it_went_in(
    events: list[object], others: dict[str, object], *, ascii_only: bool
) -> None:
    body = json.dumps({**others, "batch": events, "sentAt": 1}, ensure_ascii=ascii_only)

    parts = split(body.encode("utf-8", "surrogatepass"))

    assert parts is not None
    assert parts.events == [
        json.dumps(event, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        for event in events
    ]
    assert json.loads(parts.shell.decode("utf-8", "surrogatepass"))["batch"] == []


def test_a_key_named_batch_inside_an_event_is_not_the_batch() -> None:
    body = b'{"context":{"batch":[1]},"x":"batch","batch":[{"batch":[NaN,2]},3]}'

    parts = split(body)

    assert parts is not None
    assert parts.events == [b'{"batch":[NaN,2]}', b"3"]


def test_nested_lists_are_followed_as_deep_as_they_go() -> None:
    deep = b"[" * 20_000 + b"]" * 20_000

    parts = split(b'{"batch":[{"a":' + deep + b'},{"b":1}]}')

    assert parts is not None
    assert parts.events[1] == b'{"b":1}'


@given(st.binary())
def test_any_bytes_are_answered(body: bytes) -> None:
    split(body)
    split(b'{"batch":[' + body)


def test_brackets_that_do_not_match_up_are_given_up() -> None:
    assert split(b'{"batch":[{"a":1}') is None
    assert split(b'{"batch":[{"a":"1}]}') is None
    assert split(b'{"events":[1]}') is None


def test_a_body_of_brackets_is_given_up_soon() -> None:
    assert split(b'{"batch":[' + b"[],' " * MOST_TOKENS) is None


def test_unpaired_quotes_do_not_make_it_slow() -> None:
    assert split(b'{"batch":[' + b'"\\' * 1_000_000) is None
