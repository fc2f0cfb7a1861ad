"""Keys, nodes and the plan: no clock, no network."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from alerts.alert import State
from geo.position import Point
from realtime.live.redis_state import StoredValue
from realtime.live.topics import position_item, presence_item
from realtime.mirror.keys import key_of, name_of, path_of
from realtime.mirror.nodes import WITHOUT_PRESENCE_MS, Nodes, VendorNodes, alert_nodes, journey_nodes
from realtime.mirror.plan import MirrorPlan
from realtime.store.mirror import JourneyRow
from tests.alerts.jobs import NOW_MS, alert

JOURNEY = UUID(int=9)


# --- keys


@given(st.text(min_size=1, max_size=60))
def test_every_name_has_a_key_of_its_own_and_comes_back(name: str) -> None:
    try:
        key = key_of(name)
    except (ValueError, UnicodeEncodeError):
        return  # a surrogate, or too long
    assert name_of(key) == name
    assert not set(key) & set(".$#[]/?&%") and key.isascii() and key.isprintable()


@pytest.mark.parametrize(
    ("name", "key"), [("a.b", "a=2Eb"), ("a=2Eb", "a=3D2Eb"), ("Taxi_7-x", "Taxi_7-x"), ("a:b", "a=3Ab")]
)
def test_keys_are_readable_where_they_can_be(name: str, key: str) -> None:
    assert key_of(name) == key


@pytest.mark.parametrize("key", ["", "a.b", "a=2", "a=zz", "a=2e", "ä"])
def test_what_is_no_key_of_ours_has_no_name(key: str) -> None:
    with pytest.raises(ValueError):
        name_of(key)


@pytest.mark.parametrize("name", ["", "x" * 769, "." * 257])
def test_what_firebase_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a name for a key"):
        key_of(name)


def test_two_names_never_share_a_path() -> None:
    assert path_of("live", "a/b", "c") != path_of("live", "a", "b/c")


# --- nodes


def position(driver: str, received_ms: int = NOW_MS - 1_000, **changes: Any) -> StoredValue:
    point = Point(
        **({"seq": 5, "t_ms": NOW_MS - 2_000, "lat": 52.5, "lon": 13.4, "speed_mps": 3.0} | changes)
    )
    return StoredValue(position_item(driver, str(JOURNEY), point, received_ms), str(received_ms))


def presence(driver: str, state: str, since_ms: int = NOW_MS - 60_000) -> StoredValue:
    return StoredValue(presence_item(driver, 1, state, since_ms, "connected"), "w1")


def shown(nodes: Nodes) -> dict[str, Any]:
    return {path: msgspec.json.decode(node) for path, node in nodes.items()}


def encoded(nodes: dict[str, Any]) -> Nodes:
    return {path: msgspec.json.encode(node) for path, node in nodes.items()}


def presences(states: list[StoredValue]) -> dict[str, bytes]:
    return {item.key: item.fragment for item, _ in states}


def drivers(positions: list[StoredValue], states: list[StoredValue], now_ms: int = NOW_MS) -> set[str]:
    nodes = VendorNodes("acme", "taxi").of(positions, presences(states), now_ms)
    return {name_of(path.rsplit("/", 1)[1]) for path in nodes}


def test_a_node_is_the_position_and_the_state_without_nulls() -> None:
    states = presences([presence("d.1", "online")])
    assert shown(VendorNodes("acme", "taxi").of([position("d.1")], states, NOW_MS)) == {
        "live/acme/taxi/d=2E1": {
            "seq": 5,
            "t_ms": NOW_MS - 2_000,
            "lat": 52.5,
            "lon": 13.4,
            "speed_mps": 3.0,
            "journey": str(JOURNEY),
            "received_ms": NOW_MS - 1_000,
            "state": "online",
            "since_ms": NOW_MS - 60_000,
        }
    }


@pytest.mark.parametrize(("state", "there"), [("online", True), ("stale", True), ("offline", False)])
def test_who_is_offline_is_not_there(state: str, there: bool) -> None:
    old = position("d", NOW_MS - 120_000)
    assert drivers([old], [presence("d", state)]) == ({"d"} if there else set())


def test_who_sends_without_a_connection_is_there_for_a_while() -> None:
    assert drivers([position("d")], []) == {"d"}
    assert drivers([position("d")], [presence("d", "offline")]) == {"d"}
    assert drivers([position("d")], [], NOW_MS + WITHOUT_PRESENCE_MS) == set()


def test_what_is_remembered_of_a_driver_is_never_old() -> None:
    vendor = VendorNodes("acme", "taxi")
    online, offline = presences([presence("d", "online")]), presences([presence("d", "offline", NOW_MS)])
    first = vendor.of([position("d")], online, NOW_MS)
    assert vendor.of([position("d")], online, NOW_MS) == first
    (moved,) = shown(vendor.of([position("d", lat=1.0)], online, NOW_MS)).values()
    assert moved["lat"] == 1.0
    assert vendor.of([position("d", lat=1.0)], offline, NOW_MS) == {}
    vendor.keep_only(set())
    assert vendor.of([position("d")], online, NOW_MS) == first


def test_what_cannot_be_read_is_left_out() -> None:
    broken = position("d")
    broken = broken._replace(item=broken.item._replace(fragment=b"{"))
    odd = presence("e", "online")
    odd = odd._replace(item=odd.item._replace(fragment=b"[1"))
    assert drivers([broken, position("e")], [odd]) == {"e"}


def test_duress_is_not_in_the_mirror() -> None:
    assert alert_nodes([alert(duress=True)]) == alert_nodes([alert(duress=False)])
    (node,) = shown(alert_nodes([alert(state=State.ACTIVE)])).values()
    assert node["state"] == "active" and node["lat"] == 52.52 and "duress" not in node


def test_a_journey_is_by_its_vendor() -> None:
    row = JourneyRow("acme", "taxi", "d", JOURNEY, 7, None)
    assert shown(journey_nodes([row])) == {f"journeys/acme/taxi/{JOURNEY}": {"driver": "d", "started_ms": 7}}


# --- the plan


def test_only_what_changed_is_written() -> None:
    plan = MirrorPlan()
    plan.want("g", encoded({"g/a": {"x": 1}, "g/b": {"x": 2}}))
    plan.written(plan.chunk(10, 10_000))
    plan.want("g", encoded({"g/a": {"x": 1}, "g/b": {"x": 3}}))
    assert plan.chunk(10, 10_000) == {"g/b": {"x": 3}}


def test_the_latest_wins() -> None:
    plan = MirrorPlan()
    for x in range(50):
        plan.want("g", encoded({"g/a": {"x": x}}))
    assert plan.waiting == 1
    assert plan.chunk(10, 10_000) == {"g/a": {"x": 49}}


def test_what_is_gone_is_removed_once() -> None:
    plan = MirrorPlan()
    plan.want("g", encoded({"g/a": {"x": 1}}))
    plan.written(plan.chunk(10, 10_000))
    plan.want("g", encoded({}))
    chunk = plan.chunk(10, 10_000)
    assert chunk == {"g/a": None}
    plan.written(chunk)
    assert plan.waiting == 0


def test_what_changed_while_it_was_written_is_written_again() -> None:
    plan = MirrorPlan()
    plan.want("g", encoded({"g/a": {"x": 1}}))
    chunk = plan.chunk(10, 10_000)
    plan.want("g", encoded({"g/a": {"x": 2}}))
    plan.written(chunk)
    assert plan.chunk(10, 10_000) == {"g/a": {"x": 2}}


def test_a_lost_write_is_written_again_even_when_all_is_as_before() -> None:
    plan = MirrorPlan()
    plan.want("g", encoded({"g/a": {"x": 1}}))
    plan.written(plan.chunk(10, 10_000))
    plan.want("g", encoded({"g/a": {"x": 2}}))
    lost = plan.chunk(10, 10_000)
    plan.want("g", encoded({"g/a": {"x": 1}}))
    plan.lost(lost)
    assert plan.chunk(10, 10_000) == {"g/a": {"x": 1}}


def test_a_chunk_is_bounded_by_paths_and_by_bytes() -> None:
    plan = MirrorPlan()
    plan.want("g", encoded({f"g/{n}": {"x": "y" * 100} for n in range(100)}))
    assert len(plan.chunk(7, 10_000)) == 7
    assert 1 <= len(plan.chunk(100, 1_000)) <= 9
    assert len(plan.chunk(100, 1)) == 1


class PlanAgainstADatabase(RuleBasedStateMachine):
    """Whatever is wanted, lost or taken: in the end the database holds what is wanted and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = MirrorPlan()
        self.there = dict[str, Any]()
        self.wanted = dict[str, dict[str, Any]]()

    @rule(
        group=st.sampled_from("ab"),
        values=st.dictionaries(st.sampled_from("123"), st.integers(0, 2), max_size=3),
    )
    def want(self, group: str, values: dict[str, int]) -> None:
        nodes = {f"{group}/{key}": {"x": value} for key, value in values.items()}
        self.wanted[group] = nodes
        self.plan.want(group, encoded(nodes))

    @rule(bound=st.integers(1, 4), done=st.booleans(), confirmed=st.booleans())
    def write(self, bound: int, done: bool, confirmed: bool) -> None:
        chunk = self.plan.chunk(bound, 1_000)
        if done or confirmed:
            self._take(chunk)
        if confirmed:
            self.plan.written(chunk)
        else:
            self.plan.lost(chunk)

    @rule(key=st.sampled_from(["a/1", "b/9", "c/1"]))
    def another_writes_and_we_look(self, key: str) -> None:
        self.there[key] = {"x": 99}
        self.plan.found(self.there)

    def _take(self, chunk: Any) -> None:
        for path, value in chunk.items():
            if value is None:
                self.there.pop(path, None)
            else:
                self.there[path] = value

    @invariant()
    def it_settles(self) -> None:
        there, everything = dict(self.there), {}
        for nodes in self.wanted.values():
            everything.update(nodes)
        differing = {p for p in there.keys() | everything.keys() if there.get(p) != everything.get(p)}
        assert differing <= set(self.plan.chunk(1_000, 1_000_000))


TestPlan = PlanAgainstADatabase.TestCase
TestPlan.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)
