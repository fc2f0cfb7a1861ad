"""What comes from the bus is not trusted: bytes that are no envelope, invented numbers and publishers."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.bus.envelope import (
    MAX_MESSAGE_BYTES,
    MAX_NAME,
    PUBLISHERS_COUNTED,
    BusItem,
    MalformedEnvelope,
    Message,
    Sequencer,
    SequenceTracker,
    read,
)

GOOD = ["p", 1, "k", [["a", 1, b"1"], ["b", 2, b"2"]], 7]
TREES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.text(max_size=9),
        st.binary(max_size=9),
    ),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def refused(data: bytes) -> str:
    with pytest.raises(MalformedEnvelope) as refusal:
        read(data)
    return str(refusal.value)


@given(st.binary(max_size=400))
def test_random_bytes_are_an_envelope_or_refused_and_never_another_fault(data: bytes) -> None:
    try:
        read(data)
    except MalformedEnvelope as refusal:
        assert str(refusal) == "malformed"


@given(TREES, st.integers(0, 10))
def test_a_wrong_value_anywhere_inside_is_refused_or_is_of_the_right_shape(value: object, place: int) -> None:
    body: list[object] = ["p", 1, "k", [["a", 1, b"1"], ["b", 2, b"2"]], 7]
    items = body[3]
    assert isinstance(items, list)
    if place < 5:
        body[place] = value
    elif place < 8:
        items[1][place - 5] = value
    else:
        items[place % 2] = value
    try:
        envelope = read(msgspec.msgpack.encode(body))
    except MalformedEnvelope:
        return
    assert isinstance(envelope.publisher, str) and 0 <= envelope.number < 2**63
    for key, order, fragment in envelope.items:
        assert isinstance(key, str) and 0 <= order < 2**63 and isinstance(fragment, bytes)


@pytest.mark.parametrize("number", [-1, 2**63, 2**64 - 1, 1.5, True, "1", None])
def test_a_number_that_is_none_is_refused_wherever_it_stands(number: object) -> None:
    for body in (
        ["p", number, "k", [], 7],
        ["p", 1, "k", [], number],
        ["p", 1, "k", [["a", number, b"1"]], 7],
    ):
        assert refused(msgspec.msgpack.encode(body)) == "malformed"


def test_what_is_cut_off_too_large_or_has_endless_names_is_refused() -> None:
    whole = msgspec.msgpack.encode(GOOD)
    assert read(whole).items == [BusItem("a", 1, b"1"), BusItem("b", 2, b"2")]
    for size in range(len(whole)):
        assert refused(whole[:size]) == "malformed"
    assert refused(b"x" * (MAX_MESSAGE_BYTES + 1)) == "oversize"
    name = "n" * (MAX_NAME + 1)
    for body in ([name, *GOOD[1:]], ["p", 1, name, [], 7], ["p", 1, "k", [[name, 1, b"1"]], 7]):
        assert refused(msgspec.msgpack.encode(body)) == "malformed"


def test_what_is_packed_is_read_with_the_next_number_of_its_channel() -> None:
    numbers = Sequencer("p")
    said = [Message(channel, "k", [BusItem("a", 1, b"1")], 7) for channel in ("c", "d", "c")]
    envelopes = [read(numbers.pack(message)) for message in said]
    assert [(e.publisher, e.number, e.items) for e in envelopes] == [
        ("p", number, [BusItem("a", 1, b"1")]) for number in (1, 1, 2)
    ]


def test_wild_numbers_in_anothers_name_are_gaps_and_the_count_goes_on_from_the_last() -> None:
    heard = SequenceTracker()
    assert [heard.heard("p", n) for n in (5, 6, 2**62, 7, 8, 1, 2)] == [
        None,
        None,
        "gap",
        "gap",
        None,
        "gap",
        None,
    ]


def test_a_flood_of_invented_publishers_is_bounded_and_cannot_hide_a_gap() -> None:
    heard, rng = SequenceTracker(), random.Random(7)
    assert heard.heard("real", 1) is None
    doubts = [heard.heard(f"p{rng.random()}", 1) for _ in range(5_000)]
    assert len(heard) == PUBLISHERS_COUNTED
    assert doubts.count("gap") >= 5_000 - PUBLISHERS_COUNTED
    assert heard.heard("real", 3) == "gap"
