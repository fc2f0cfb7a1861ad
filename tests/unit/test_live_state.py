"""The fan-out's state without I/O: boards, logs, frames, headers, envelopes, names."""

import random
from typing import Any

import msgspec
import pytest
from engineio import packet as eio_packet
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from socketio import packet as sio_packet

from realtime.bus.bus import BusItem, Envelope
from realtime.fanout.engineio import frames
from realtime.fanout.feeds.latest import LatestState
from realtime.fanout.feeds.log import HELD_ENTRIES, TAIL_ENTRIES, LogState
from realtime.fanout.socketio.server import parse_header
from realtime.live.presence import DriverPresence, PresenceState, Reason, epoch_of, presence_order
from realtime.live.topics import journey_channel, parts, vendor_channel


def item(key: str, order: int) -> BusItem:
    return BusItem(key, order, f"{key}@{order}".encode())


def entry(number: int) -> BusItem:
    return BusItem("", number, str(number).encode())


# --- boards


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=40), st.randoms())
def test_a_board_ends_the_same_whatever_the_order_of_arrival(
    said: list[tuple[str, int]], rng: random.Random
) -> None:
    boards = [LatestState(), LatestState()]
    shuffled = list(said)
    rng.shuffle(shuffled)
    for board, order in zip(boards, (said, shuffled), strict=True):
        for key, at in order:
            board.apply("positions", [item(key, at)])
    assert sorted(boards[0].snapshot("positions")) == sorted(boards[1].snapshot("positions"))
    newest = {key: max(at for k, at in said if k == key) for key, _ in said}
    assert sorted(boards[0].snapshot("positions")) == sorted(item(k, at).fragment for k, at in newest.items())


def test_a_late_item_never_overwrites_a_newer_one_nor_counts_as_a_change() -> None:
    board = LatestState()
    assert board.apply("p", [item("a", 5)]) == [item("a", 5)]
    version = board.version
    assert board.apply("p", [item("a", 4), item("a", 5)]) == []
    assert board.version == version
    assert board.snapshot("p", "a") == [b"a@5"]
    assert board.snapshot("p", "b") == []


def test_what_changed_since_a_version_is_told_by_kind_and_key() -> None:
    board = LatestState()
    board.apply("p", [item("a", 1), item("b", 1)])
    seen = board.version
    board.apply("q", [item("b", 7)])
    board.apply("p", [item("a", 2)])
    assert dict(board.since(seen)) == {"p": [b"a@2"], "q": [b"b@7"]}
    assert dict(board.since(seen, "b")) == {"q": [b"b@7"]}
    assert dict(board.since(board.version)) == {}


# --- logs


class OfferMachine(RuleBasedStateMachine):
    """Entries come in any order and again; out comes 1..n, each once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.state = LogState(0)
        self.offered: set[int] = set()
        self.read: list[int] = []

    @rule(numbers=st.lists(st.integers(1, 60), max_size=12))
    def offer(self, numbers: list[int]) -> None:
        self.state.offer([entry(n) for n in numbers])
        self.offered.update(numbers)

    @rule(limit=st.integers(1, 10))
    def read_on(self, limit: int) -> None:
        fragments = self.state.after(len(self.read), limit)
        assert fragments is not None
        assert len(fragments) <= limit
        self.read += [int(fragment) for fragment in fragments]

    @invariant()
    def whole_up_to_the_first_gap(self) -> None:
        first_missing = next(n for n in range(1, 62) if n not in self.offered)
        assert self.state.through == first_missing - 1
        assert self.state.has_gap == any(n > first_missing for n in self.offered)
        assert self.read == list(range(1, len(self.read) + 1))


TestOfferMachine = OfferMachine.TestCase
TestOfferMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_a_log_begins_where_it_is_told() -> None:
    state = LogState(7)
    state.offer([entry(n) for n in (6, 7, 9, 8)])
    assert state.through == 9
    assert state.after(7, 10) == [b"8", b"9"]
    assert state.after(9, 10) == []


def test_what_is_no_longer_in_memory_is_said_to_be_so() -> None:
    state = LogState(0)
    state.offer([entry(n) for n in range(1, TAIL_ENTRIES + 11)])
    assert state.after(9, 5) is None
    assert state.after(10, 2) == [b"11", b"12"]


def test_entries_beyond_a_gap_are_bounded() -> None:
    state = LogState(0)
    state.offer([entry(n) for n in range(2, HELD_ENTRIES + 3)])
    assert not state.has_gap, "too many were held"
    state.offer([entry(n) for n in range(1, 11)])
    assert state.through == 10


def test_a_number_beyond_all_others_holds_nothing_up() -> None:
    state = LogState(0)
    state.offer([entry(10**12), entry(-5), entry(0)])
    state.offer([entry(n) for n in range(1, 20)])
    assert state.through == 19


# --- frames


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 70_000])
def test_a_frame_is_what_rfc_6455_says(size: int) -> None:
    payload = b"x" * size
    frame = frames.text_frame(payload)
    assert frame[0] == 0x81, "final, text"
    assert frame[1] & 0x80 == 0, "a server never masks"
    short = frame[1]
    if size < 126:
        assert (short, frame[2:]) == (size, payload)
    elif size < 65_536:
        assert (short, int.from_bytes(frame[2:4], "big"), frame[4:]) == (126, size, payload)
    else:
        assert (short, int.from_bytes(frame[2:10], "big"), frame[10:]) == (127, size, payload)


@pytest.mark.parametrize("namespace", ["/", "/watch"])
def test_stock_parsers_read_what_is_framed_here(namespace: str) -> None:
    made = frames.event(namespace, "positions", frames.json_bytes("vendor:v1"), b'[["d1","j",[1,2,3,4]]]')
    outer = eio_packet.Packet(encoded_packet=made.packet.decode())
    assert outer.packet_type == eio_packet.MESSAGE
    inner = sio_packet.Packet(encoded_packet=made.packet.decode()[1:])
    assert (inner.packet_type, inner.namespace) == (sio_packet.EVENT, None if namespace == "/" else namespace)
    assert inner.data == ["positions", "vendor:v1", [["d1", "j", [1, 2, 3, 4]]]]
    answer = sio_packet.Packet(encoded_packet=frames.ack(namespace, 17, b'{"ok":true}').packet.decode()[1:])
    assert (answer.packet_type, answer.id, answer.data) == (sio_packet.ACK, 17, [{"ok": True}])
    end = sio_packet.Packet(encoded_packet=frames.disconnect(namespace).packet.decode()[1:])
    assert end.packet_type == sio_packet.DISCONNECT


def test_a_name_is_encoded_and_cannot_break_out() -> None:
    made = frames.event("/watch", 'x"],["y', frames.json_bytes('"quoted"\n'))
    inner = sio_packet.Packet(encoded_packet=made.packet.decode()[1:])
    assert inner.data == ['x"],["y', '"quoted"\n']


# --- headers


@pytest.mark.parametrize("namespace", ["/", "/driver", "/watch"])
@pytest.mark.parametrize("ack_id", [None, 0, 7, 10**14])
def test_a_header_written_by_the_stock_library_is_read(namespace: str, ack_id: int | None) -> None:
    stock = sio_packet.Packet(sio_packet.EVENT, data=["e", 1], namespace=namespace, id=ack_id)
    text = stock.encode()[1:]
    header = parse_header(text)
    assert (header.namespace, header.ack_id) == (namespace, ack_id)
    assert msgspec.json.decode(text[header.body_at :]) == ["e", 1]


@given(st.text(max_size=300))
def test_any_text_has_some_header(text: str) -> None:
    header = parse_header(text)
    assert 0 <= header.body_at <= len(text)
    assert header.namespace.startswith("/")
    assert header.ack_id is None or header.ack_id < 10**15


@given(st.text(alphabet="0123456789-/,[]?x²٣", max_size=60))
def test_any_text_that_looks_like_a_header_is_one_or_not_but_never_a_fault(text: str) -> None:
    header = parse_header(text)
    assert 0 <= header.body_at <= len(text)


def test_attachments_are_passed_over() -> None:
    assert parse_header('1-/watch,12["e"]') == ("/watch", 12, 11)
    assert parse_header("/watch") == ("/watch", None, 6)
    assert parse_header("") == ("/", None, 0)


# --- envelopes

envelope_decoder = msgspec.msgpack.Decoder(Envelope)


@given(
    st.builds(
        Envelope,
        publisher=st.text(max_size=12),
        number=st.integers(0, 2**62),
        kind=st.text(max_size=12),
        items=st.lists(
            st.builds(BusItem, st.text(max_size=8), st.integers(0, 2**63 - 1), st.binary(max_size=20)),
            max_size=5,
        ),
        at_ms=st.integers(0, 2**53),
    )
)
def test_an_envelope_survives_the_bus(envelope: Envelope) -> None:
    assert envelope_decoder.decode(msgspec.msgpack.encode(envelope)) == envelope


@given(st.one_of(st.binary(max_size=60), st.integers(0, 99), st.lists(st.integers(-9, 9), max_size=6)))
def test_what_is_no_envelope_is_told_so(value: Any) -> None:
    body = value if isinstance(value, bytes) else msgspec.msgpack.encode(value)
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        envelope_decoder.decode(body)


# --- names and presence


def test_a_channel_gives_its_parts_back() -> None:
    assert parts(vendor_channel("t.1", "v:2")) == ("t.1", "v:2")
    assert parts(journey_channel("t1", "0190a5b0")) == ("t1", "0190a5b0")


def test_presence_is_ordered_by_connection_before_time() -> None:
    assert presence_order(2, 1_000) > presence_order(1, 2_000_000_000_000)
    assert presence_order(1, 2) > presence_order(1, 1)
    assert epoch_of(presence_order(1_000_000, 1_790_000_000_000)) == 1_000_000
    assert presence_order(2**21 - 1, 2**42 - 1) < 2**63


def test_a_driver_goes_stale_and_comes_back() -> None:
    driver = DriverPresence("t1", "v1", "d1", 1, heard_ms=0, since_ms=0)
    assert not driver.checked(59_999, 60_000)
    assert driver.checked(60_000, 60_000)
    assert (driver.state, driver.reason, driver.since_ms) == (PresenceState.STALE, Reason.SILENT, 60_000)
    assert not driver.checked(70_000, 60_000)
    assert driver.heard(80_000)
    assert not driver.heard(81_000)
    assert (driver.state, driver.since_ms) == (PresenceState.ONLINE, 80_000)
    driver.ended(90_000, Reason.LOST)
    assert (driver.state, driver.reason) == (PresenceState.OFFLINE, Reason.LOST)
