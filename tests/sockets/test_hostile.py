"""Whatever a client says: a coded answer or the stated close; nothing changes and others are served."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa

from alerts.alert import Actor, ActorKind
from realtime.settings import Settings
from realtime.store import revocations, shares
from tests.sockets.kit import SECRET, Raw, Server, census, good, now_ms, serving, until

SOMEBODY = Actor(ActorKind.OPERATOR, "x")


class World:
    """Two tenants. The witness drives and is watched all the while: it must never notice anything."""

    def __init__(self, server: Server, census_taker: asyncpg.Connection) -> None:
        self.server = server
        self.census_taker = census_taker

    async def begin(self) -> "World":
        server = self.server
        self.witness = await server.driver("witness", "t0", "v0")
        self.watcher = await server.viewer("t0", ["v0"])
        self.witness_journey = await server.journey(self.witness)
        self.seen = 0
        assert (await self.watcher.ask("/watch", "watch", {"feed": {"journey": self.witness_journey}}))["ok"]
        self.victim = await server.driver("victim", "t2", "v2")
        self.victim_journey = await server.journey(self.victim, points=3)
        grant = await shares.create(
            server.db, "t2", UUID(self.victim_journey), "journey", now_ms() + 10**7, "x"
        )
        self.victim_share = ".".join(grant)
        self.driver = await server.driver("d1")
        self.journey = await server.journey(self.driver, points=3)
        self.viewer = await server.viewer()
        return self

    async def others_are_served(self) -> None:
        """The witness stores one more point and its watcher sees it."""
        self.seen += 1
        sent = {"journey_id": self.witness_journey, "points": [good(self.seen)]}
        answer = await self.witness.ask("/driver", "positions", sent)
        assert answer == {"ok": True, "through": self.seen, "voided": []}
        _, items = await self.watcher.event("/watch", "positions")
        assert [item[2][0] for item in items] == [self.seen]

    async def before(self) -> dict[str, Any]:
        return await census(self.census_taker)

    async def unchanged(self, before: dict[str, Any]) -> None:
        """Nothing of anybody has changed; then, that others are served."""
        assert await census(self.census_taker) == before
        await self.others_are_served()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(server: Server, shared_url: str) -> AsyncIterator[World]:
    connection = await asyncpg.connect(shared_url, timeout=20)
    await connection.execute("SET ROLE wayguard_writer")
    yield await World(server, connection).begin()
    await connection.close()


def code(answer: dict[str, Any]) -> str:
    """The code of a refusal, whose shape is checked."""
    assert answer["ok"] is False
    error = answer["error"]
    assert isinstance(error["message"], str)
    assert len(error["message"]) < 250
    assert error["message"].isprintable()
    assert isinstance(error["retryable"], bool)
    return str(error["code"])


# --- credentials

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _forged(kind: str) -> Any:
    now_s = int(time.time())
    claims = {
        "sub": "d1", "role": "driver", "tenant": "t1", "vendors": ["v1"], "driver": "d1", "jti": uuid4().hex,
        "aud": "wayguard", "iss": "wayguard", "exp": now_s + 600,
    }  # fmt: skip
    none = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none"}, claims)
    )
    changes: dict[str, dict[str, Any]] = {
        "expired": {"exp": now_s - 3600},
        "foreign audience": {"aud": "other"},
        "foreign issuer": {"iss": "other"},
        "no tenant": {"tenant": None},
        "a tenant with a slash": {"tenant": "t1/v1"},
        "a tenant of 10,000": {"tenant": "t" * 4_000},
        "a driver with a nul": {"driver": "d\0"},
        "a driver with a dot first": {"driver": "../d"},
        "two vendors": {"vendors": ["v1", "v2"]},
        "a role that is none": {"role": "root"},
        "the role share": {"role": "share"},
    }
    made: dict[str, Any] = {
        "none": none + ".",
        "no signature": none,
        "another secret": jwt.encode(claims, "another secret of thirty-two byte"),
        "a key of its own": jwt.encode(claims, RSA, algorithm="RS256"),
        "hs512": jwt.encode(claims, SECRET * 2, algorithm="HS512"),
        "a number": 5,
        "nothing": None,
        "a list": ["x"],
        "an object": {"$ne": None},
        "20,000 characters": "x" * 20_000,
        "a nul": "\0",
        "half a surrogate": "\ud800",
        **{name: jwt.encode({**claims, **change}, SECRET) for name, change in changes.items()},
    }
    return made[kind]


@pytest.mark.parametrize("namespace", ["/driver", "/watch"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", "unauthenticated"),
        ("no signature", "unauthenticated"),
        ("another secret", "unauthenticated"),
        ("a key of its own", "unauthenticated"),
        ("hs512", "unauthenticated"),
        ("expired", "token_expired"),
        ("foreign audience", "unauthenticated"),
        ("foreign issuer", "unauthenticated"),
        ("no tenant", "unauthenticated"),
        ("a tenant with a slash", "unauthenticated"),
        ("a tenant of 10,000", "unauthenticated"),
        ("a driver with a nul", "unauthenticated"),
        ("a driver with a dot first", "unauthenticated"),
        ("two vendors", "unauthenticated"),
        ("a role that is none", "unauthenticated"),
        ("the role share", "unauthenticated"),
        ("a number", "unauthenticated"),
        ("nothing", "unauthenticated"),
        ("a list", "unauthenticated"),
        ("an object", "unauthenticated"),
        ("20,000 characters", "unauthenticated"),
        ("a nul", "unauthenticated"),
        ("half a surrogate", "unauthenticated"),
    ],
)
async def test_a_token_that_is_none_lets_nobody_in(
    world: World, namespace: str, kind: str, expected: str
) -> None:
    before = await world.before()
    raw = await world.server.raw()
    error = await raw.connect(namespace, token=_forged(kind))
    assert error["code"] == expected
    assert error["retryable"] is False
    assert code(await raw.ask(namespace, "whoami")) == "unauthenticated"
    await world.unchanged(before)


@pytest.mark.parametrize(
    "auth",
    [
        "",
        "null",
        "[]",
        "5",
        '"token"',
        "{}",
        '{"token":""}',
        '{"share":5}',
        json.dumps({str(n): n for n in range(50)}),
    ],
)
@pytest.mark.parametrize("namespace", ["/driver", "/watch"])
async def test_a_connect_payload_that_is_none_is_refused_with_a_code(
    world: World, namespace: str, auth: str
) -> None:
    raw = await world.server.raw()
    await raw.say(f"40{namespace},{auth}")
    error = json.loads(await raw.packet(f"44{namespace},"))
    assert error["data"]["code"] in {"unauthenticated", "not_found"}
    await world.others_are_served()


@pytest.mark.parametrize("auth", ['{"token":', "[" * 5_000, "NaN{"])
async def test_a_connect_that_cannot_be_read_opens_nothing(world: World, auth: str) -> None:
    raw = await world.server.raw()
    await raw.say(f"40/driver,{auth}")
    assert code(await raw.ask("/driver", "positions", {})) == "unauthenticated"
    await world.others_are_served()


@pytest.mark.parametrize(
    "share",
    [
        "",
        ".",
        "x",
        "x.y",
        "../etc.passwd",
        "a\0b.c",
        "\ud800.\ud800",
        "a" * 10_000,
        "'; DROP TABLE shares; --.x",
        5,
        None,
    ],
)
async def test_a_share_that_is_none_is_not_found(world: World, share: Any) -> None:
    before = await world.before()
    raw = await world.server.raw()
    assert (await raw.connect("/watch", share=share))["code"] == "not_found"
    await world.unchanged(before)


async def test_a_wrong_secret_a_revoked_share_and_a_missing_one_look_the_same(world: World) -> None:
    share_id, _, secret = world.victim_share.partition(".")
    revoked = await shares.create(
        world.server.db, "t2", UUID(world.victim_journey), "journey", now_ms() + 10**7, "x"
    )
    await shares.revoke(world.server.db, "t2", revoked[0], SOMEBODY)
    expired = await shares.create(
        world.server.db, "t2", UUID(world.victim_journey), "journey", now_ms() - 1, "x"
    )
    errors = []
    for wrong in (
        f"{share_id}.{secret[:-1]}{'y' if secret[-1] == 'x' else 'x'}",
        f"{share_id}.",
        ".".join(revoked),
        ".".join(expired),
        "no.thing",
    ):
        raw = await world.server.raw()
        errors.append(await raw.connect("/watch", share=wrong))
    assert all(error == errors[0] for error in errors)
    assert errors[0]["code"] == "not_found"


async def test_a_share_opens_no_driver_and_no_api(world: World) -> None:
    raw = await world.server.raw()
    assert (await raw.connect("/driver", share=world.victim_share))["code"] == "unauthenticated"
    async with world.server.session.get(
        f"{world.server.url}/api/v1/journeys", headers={"Authorization": f"Bearer {world.victim_share}"}
    ) as response:
        assert response.status == 401


async def test_a_dispatcher_cannot_drive(world: World) -> None:
    before = await world.before()
    for role in ("dispatcher", "admin", "service"):
        raw = await world.server.raw()
        assert (await raw.connect("/driver", token=world.server.token(role)))["code"] == "forbidden"
    await world.unchanged(before)


# --- points

J = object()
"""Stands for the driver's own journey in a table of payloads."""


def filled(value: Any, world: World) -> Any:
    if value is J:
        return world.journey
    if isinstance(value, dict):
        return {name: filled(inner, world) for name, inner in value.items()}
    return value


BAD_IDS: list[Any] = ["", "a/b", "../x", "a.b", "\0", "x" * 10_000, 5, None, True, [], {}, "%00", "null"]
BAD_TYPES: list[Any] = [None, 5, 1.5, True, "x", [], {}, "\0", 2**63, -1, [[]], {"$gt": ""}]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"journey_id": J, "points": [[-1, 1, 1.5, 1.5]]}, "invalid"),
        ({"journey_id": J, "points": [[0, 1, 1.5, 1.5]]}, "invalid"),
        ({"journey_id": J, "points": [[2**63, 1, 1.5, 1.5]]}, "invalid"),
        ({"journey_id": J, "points": [[2**31, 1, 1.5, 1.5]]}, "invalid"),
        ({"journey_id": J, "points": [["7", 1, 1.5, 1.5]]}, "invalid"),
        ({"journey_id": J, "points": [[None, 1, 1.5, 1.5]]}, "invalid"),
        ({"journey_id": J, "points": [[]]}, "invalid"),
        ({"journey_id": J, "points": ["x"]}, "invalid"),
        ({"journey_id": J, "points": [{"seq": 4}]}, "invalid"),
        ({"journey_id": J, "points": "x"}, "invalid"),
        ({"journey_id": J, "points": {"0": []}}, "invalid"),
        ({"journey_id": J, "points": [good(4), good(6)]}, "invalid"),
        ({"journey_id": J, "points": [good(5), good(4)]}, "invalid"),
        ({"journey_id": J, "points": [good(6)]}, "expected_seq"),
        ({"journey_id": J, "points": [good(2**31 - 1)]}, "expected_seq"),
        ({"journey_id": J, "points": [good(seq) for seq in range(4, 505)]}, "too_many_points"),
        ({"journey_id": J, "points": [good(3, t_ms=5)]}, "conflict"),
        ({"journey_id": J, "skip": [4, 20_000, "lost"]}, "invalid"),
        ({"journey_id": J, "skip": [6, 7, "lost"]}, "expected_seq"),
        ({"journey_id": J, "skip": [1, 2, "lost"]}, "conflict"),
        ({"journey_id": J, "skip": [4, 5, "\0"]}, "invalid"),
        ({"journey_id": J, "skip": ["4", "5", "lost"]}, "invalid"),
        ({"journey_id": J, "skip": {"from": 4}}, "invalid"),
        ({"points": [good(4)]}, "invalid"),
        ({}, "invalid"),
        ([], "invalid"),
        (None, "invalid"),
        ("positions", "invalid"),
        (5, "invalid"),
        *(({"journey_id": bad, "points": [good(4)]}, "invalid") for bad in BAD_IDS),
        ({"journey_id": str(uuid4()), "points": [good(1)]}, "not_found"),
        ({"journey_id": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "points": [good(1)]}, "not_found"),
    ],
)
async def test_points_that_cannot_be_taken_are_refused_with_a_code(
    world: World, payload: Any, expected: str
) -> None:
    before = await world.before()
    answer = await world.driver.ask("/driver", "positions", filled(payload, world))
    assert code(answer) == expected
    assert answer["error"]["retryable"] == (expected == "expected_seq")
    if expected == "expected_seq":
        assert answer["error"]["expected"] == 4
    await world.unchanged(before)


async def test_bad_points_are_voids_with_a_reason_and_good_ones_beside_them_are_stored(world: World) -> None:
    driver = await world.server.driver("voids")
    journey_id = await world.server.journey(driver)
    year_ms = 365 * 86_400_000
    points: list[Any] = [
        good(1),
        [2, now_ms(), 91, 0.5],
        [3, now_ms(), 0.5, -181],
        [4, now_ms(), None, None],
        [5, -1, 53.4, -2.9],
        [6, now_ms(), "53.4", -2.9],
        [7, now_ms(), 53.4, -2.9, "fast", {}, [], True, "x"],
        good(8, t_ms=0),
        good(9, t_ms=now_ms() + year_ms),
        [10, now_ms(), 53.4, -2.9, -1, -1, -1, -1, -1],
    ]
    answer = await driver.ask("/driver", "positions", {"journey_id": journey_id, "points": points})
    assert answer == {
        "ok": True,
        "through": 10,
        "voided": [
            [2, "lat_out_of_range"],
            [3, "lon_out_of_range"],
            [4, "no_fix"],
            [5, "bad_time"],
            [6, "bad_type"],
        ],
    }
    async with world.server.db.writer() as connection:
        rows = await connection.fetch(
            "SELECT seq, lat, void_reason, clock_odd FROM journey_points WHERE journey_id = $1 ORDER BY seq",
            UUID(journey_id),
        )
    assert [row["seq"] for row in rows] == list(range(1, 11))
    assert [row["seq"] for row in rows if row["clock_odd"]] == [8, 9], "points from 1970 and next year"
    assert [row["seq"] for row in rows if row["void_reason"]] == [2, 3, 4, 5, 6]
    await world.others_are_served()


@pytest.mark.parametrize("event", ["positions", "journey:start", "journey:end"])
@pytest.mark.parametrize(
    "body",
    [
        '{"journey_id":"%s","points":[[4,1,NaN,1]]}',
        '{"journey_id":"%s","points":[[4,1,Infinity,1]]}',
        '{"journey_id":"%s","points":[[4,1,1,1]',
        '{"journey_id":"%s"}]extra',
        "{'journey_id':'%s'}",
        '{"journey_id":"%s","points":' + "[" * 50_000 + "]" * 50_000 + "}",
        '{"journey_id":"%s","latest":' + '{"a":' * 20_000 + "1" + "}" * 20_000 + "}",
    ],
)
async def test_a_frame_that_is_no_json_is_malformed_and_not_to_be_sent_again(
    world: World, event: str, body: str
) -> None:
    before = await world.before()
    full = f'["{event}",{body.replace("%s", world.journey)}]'
    answer = json.loads(await world.driver.ask_text("/driver", full))[0]
    assert code(answer) in {"malformed", "invalid"}
    assert answer["error"]["retryable"] is False
    await world.unchanged(before)


# --- other people's things


async def test_another_tenants_journey_is_as_if_it_were_not_there(world: World) -> None:
    before = await world.before()

    def positions(journey_id: str) -> str:
        return json.dumps(["positions", {"journey_id": journey_id, "points": [good(1, t_ms=7)]}])

    def later(journey_id: str) -> str:
        return json.dumps(["positions", {"journey_id": journey_id, "points": [good(4, t_ms=7)]}])

    def hole(journey_id: str) -> str:
        return json.dumps(["positions", {"journey_id": journey_id, "points": [good(99, t_ms=7)]}])

    def only_latest(journey_id: str) -> str:
        return json.dumps(["positions", {"journey_id": journey_id, "latest": good(99, t_ms=7)}])

    def end(journey_id: str) -> str:
        return json.dumps(["journey:end", {"journey_id": journey_id, "ended_at": 5, "last_seq": 3}])

    colleague = await world.server.driver("stranger", "t2", "v2")
    namesake = await world.server.driver("victim", "t1", "v1")
    for driver in (world.driver, colleague, namesake):
        for make in (positions, later, hole, only_latest, end):
            theirs = await driver.ask_text("/driver", make(world.victim_journey))
            nobodys = await driver.ask_text("/driver", make(str(uuid4())))
            assert theirs == nobodys
            assert code(json.loads(theirs)[0]) == "not_found"
    after = await world.before()
    assert after["journeys"] == before["journeys"]
    assert after["journey_points"] == before["journey_points"]
    await world.others_are_served()


async def test_a_stranger_who_asks_first_does_not_answer_for_the_owner(world: World) -> None:
    """The owner's question must not be answered by what a stranger was told a moment before."""
    owner = await world.server.driver("owner", "t2", "v2")
    journey_id = await world.server.journey(owner, points=1)
    for seq in range(2, 12):
        world.server.instance.positions._logs.clear()  # as on an instance that has never met the journey
        body = {"journey_id": journey_id, "points": [good(seq)]}
        theirs, own = await asyncio.gather(
            world.driver.ask("/driver", "positions", body), owner.ask("/driver", "positions", body)
        )
        assert code(theirs) == "not_found"
        assert own["ok"], own


async def test_batches_sent_at_once_to_an_instance_that_has_never_met_the_journey_are_all_taken(
    world: World,
) -> None:
    driver = await world.server.driver("hasty")
    journey_id = await world.server.journey(driver)
    world.server.instance.positions._logs.clear()
    answers = await asyncio.gather(
        *(
            driver.ask("/driver", "positions", {"journey_id": journey_id, "points": [good(seq)]})
            for seq in range(1, 21)
        )
    )
    assert [answer.get("through") for answer in answers] == list(range(1, 21))


async def test_another_tenants_feeds_are_as_if_they_were_not_there(world: World) -> None:
    nowhere = str(uuid4())
    await world.server.driver("only-in-t2", "t2", "v2")
    all_of_t1 = await world.server.viewer("t1", None)
    for viewer in (world.viewer, all_of_t1):
        for name, theirs, nobodys in (
            ("journey", world.victim_journey, nowhere),
            ("driver", "only-in-t2", "nobody"),
        ):
            answers = [
                (await viewer.ask_text("/watch", json.dumps(["watch", {"feed": {name: each}}])))
                for each in (theirs, nobodys)
            ]
            assert answers[0] == answers[1]
            assert code(json.loads(answers[0])[0]) == "not_found"
    answers = [
        await world.viewer.ask_text("/watch", json.dumps(["watch", {"feed": {"vendor": each}}]))
        for each in ("v2", "no-such-vendor")
    ]
    assert answers[0] == answers[1]
    assert code(json.loads(answers[0])[0]) == "not_found"
    # With all vendors of t1, t2's vendor is one of t1 that has nobody in it.
    answer = await all_of_t1.ask("/watch", "watch", {"feed": {"vendor": "v2"}})
    assert answer["snapshot"] == {"positions": [], "presence": {}, "alerts": []}
    await world.victim.ask("/driver", "positions", {"journey_id": world.victim_journey, "latest": good(4)})
    await world.others_are_served()
    assert all_of_t1.events("/watch", "positions") == []


async def test_a_driver_sees_itself_and_nobody_else(world: World) -> None:
    raw = await world.server.raw()
    token = world.server.token("driver", "t1", ["v1"], driver="d1")
    assert await raw.connect("/watch", token=token) == {}
    other = await world.server.driver("d2")
    others_journey = await world.server.journey(other)
    for feed in ({"vendor": "v1"}, {"driver": "d2"}, {"journey": others_journey}):
        assert code(await raw.ask("/watch", "watch", {"feed": feed})) == "not_found"
    assert (await raw.ask("/watch", "watch", {"feed": {"driver": "d1"}}))["ok"]
    assert (await raw.ask("/watch", "watch", {"feed": {"journey": world.journey}}))["ok"]


async def test_a_share_sees_its_journey_and_nothing_else(world: World) -> None:
    raw = await world.server.raw()
    assert await raw.connect("/watch", share=world.victim_share) == {}
    for feed in ({"vendor": "v2"}, {"driver": "victim"}, {"journey": world.journey}):
        assert code(await raw.ask("/watch", "watch", {"feed": feed})) == "not_found"
    assert (await raw.ask("/watch", "watch", {"feed": {"journey": world.victim_journey}}))["ok"]
    who = await raw.ask("/watch", "whoami")
    assert (who["role"], who["journey_id"], who["vendors"]) == ("share", world.victim_journey, [])


# --- watch, start and end with wrong types everywhere


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        *(({"feed": bad}, "invalid") for bad in BAD_TYPES),
        *((bad, "invalid") for bad in BAD_TYPES),
        *(({"feed": {"vendor": bad}}, "invalid") for bad in BAD_IDS if bad not in ("a.b", "null", None)),
        *(({"feed": {"journey": bad}}, "invalid") for bad in BAD_IDS),
        *(({"feed": {"driver": bad}}, "invalid") for bad in ("", "a/b", "\0", "x" * 10_000, 5, [], {})),
        ({"feed": {"vendor": "v1", "driver": "d1"}}, "invalid"),
        ({"feed": {"vendor": "v1", "extra": 1}}, "invalid"),
        ({"feed": {"area": {"bbox": [0, 0, 1, 1], "zoom": 3}}}, "invalid"),
        ({"feed": {"vendor": "V1"}}, "not_found"),
        ({"feed": {"vendor": "v1 "}}, "invalid"),
        *(
            ({"feed": {"journey": J, "since_seq": bad}}, "invalid")
            for bad in (-1, "1", 1.5, [], 2**70, 4, 2**31, 2**63)
        ),
    ],
)
async def test_a_watch_that_makes_no_sense_is_refused_with_a_code(
    world: World, payload: Any, expected: str
) -> None:
    if isinstance(payload, dict) and isinstance(payload.get("feed"), dict):
        payload = {"feed": filled(payload["feed"], world)}
    before = world.server.instance.hub.counts()
    assert code(await world.viewer.ask("/watch", "watch", payload)) == expected
    assert world.server.instance.hub.counts() == before
    await world.others_are_served()


@pytest.mark.parametrize(
    "feed", [None, 5, "", "vendor:v1", "journey:x", "x" * 10_000, "\0", {"vendor": "v1"}, []]
)
async def test_what_is_not_watched_cannot_be_left(world: World, feed: Any) -> None:
    raw = await world.server.viewer()
    assert code(await raw.ask("/watch", "unwatch", {"feed": feed})) in {"invalid", "not_found"}


@pytest.mark.parametrize(
    "change",
    [
        *({"client_journey_id": bad} for bad in BAD_IDS),
        *({"started_at": bad} for bad in (None, "now", 1.5, -1, 2**63, 2**70, [], True)),
        *({"vehicle": bad} for bad in (5, "v" * 101, [], {}, "nul\0")),
        {"destination": "x" * 17_000},
        {"route": [[1.5, 2.5]] * 2_000},
    ],
)
async def test_a_start_that_makes_no_sense_starts_nothing(world: World, change: dict[str, Any]) -> None:
    before = await world.before()
    payload = {"client_journey_id": str(uuid4()), "started_at": now_ms(), **change}
    assert code(await world.driver.ask("/driver", "journey:start", payload)) == "invalid"
    await world.unchanged(before)


@pytest.mark.parametrize(
    "extra", [{"a": "\0"}, [1, [2, [3]]], "text \ud83d\ude00", {"$where": "1"}, -1e308, [[1.5, 2.5]] * 500]
)
async def test_a_destination_may_be_any_json(world: World, extra: Any) -> None:
    driver = await world.server.driver("any-json")
    payload = {"client_journey_id": str(uuid4()), "started_at": 0, "destination": extra, "route": extra}
    assert (await driver.ask("/driver", "journey:start", payload))["ok"]


@pytest.mark.parametrize(
    "change",
    [
        *({"journey_id": bad} for bad in BAD_IDS),
        *({"ended_at": bad} for bad in (None, "now", 1.5, -1, 2**63)),
        *({"last_seq": bad} for bad in (None, "3", -1, 2**31, 2**63, 1.5)),
    ],
)
async def test_an_end_that_makes_no_sense_ends_nothing(world: World, change: dict[str, Any]) -> None:
    before = await world.before()
    payload = {"journey_id": world.journey, "ended_at": now_ms(), "last_seq": 3, **change}
    assert code(await world.driver.ask("/driver", "journey:end", payload)) == "invalid"
    await world.unchanged(before)


async def test_nothing_is_taken_beyond_the_declared_end(world: World) -> None:
    driver = await world.server.driver("ender")
    journey_id = await world.server.journey(driver, points=2)
    assert (
        await driver.ask("/driver", "journey:end", {"journey_id": journey_id, "ended_at": 1, "last_seq": 3})
    )["ok"]
    beyond = {"journey_id": journey_id, "points": [good(3), good(4)]}
    assert code(await driver.ask("/driver", "positions", beyond)) == "journey_ended"
    assert (await driver.ask("/driver", "positions", {"journey_id": journey_id, "points": [good(3)]}))["ok"]


# --- frames


@pytest.mark.parametrize("namespace", ["/driver", "/watch"])
@pytest.mark.parametrize(
    "event", ["nope", "connect", "disconnect", "__proto__", "", "\0", "x" * 10_000, "mayday"]
)
async def test_an_event_nobody_knows_is_said_to_be_unknown(world: World, namespace: str, event: str) -> None:
    client = world.driver if namespace == "/driver" else world.viewer
    assert code(await client.ask(namespace, event, {})) == "unknown_event"


@pytest.mark.parametrize(
    "body", ["[]", "[5]", "[null,{}]", "{}", '"x"', "", "[[]]", '["positions"', "nonsense"]
)
async def test_an_event_without_a_name_is_malformed(world: World, body: str) -> None:
    answer = json.loads(await world.driver.ask_text("/driver", body))[0]
    assert code(answer) == "malformed"


async def test_events_before_connect_and_to_other_namespaces_are_not_let_in(world: World) -> None:
    raw = await world.server.raw()
    before = await world.before()
    for namespace in ("/driver", "/watch", "/admin", "/" + "x" * 60):
        assert code(await raw.ask(namespace, "positions", {})) == "unauthenticated"
    assert json.loads(await _root_ack(raw))[0]["error"]["code"] == "unauthenticated"
    await world.unchanged(before)


async def _root_ack(raw: Raw) -> str:
    await raw.say('421["x"]')
    return await raw.packet("431")


@pytest.mark.parametrize("namespace", ["/admin", "/driver/x", "/DRIVER", "/%2e", "/" + "n" * 100])
async def test_a_namespace_nobody_knows_is_invalid(world: World, namespace: str) -> None:
    raw = await world.server.raw()
    await raw.say(f"40{namespace},{{}}")
    assert json.loads(await raw.packet(f"44{namespace},")) == {"message": "Invalid namespace"}


async def test_binary_is_refused_and_what_follows_is_served(world: World) -> None:
    before = await world.before()
    raw = await world.server.driver("binary")
    await raw.socket.send_bytes(b"\x00\x01\x02")
    await raw.say('451-/driver,9["positions",{"_placeholder":true,"num":0}]')
    await raw.socket.send_bytes(b"\x04anything")
    assert code(json.loads(await raw.packet("43/driver,9"))[0]) == "binary_refused"
    await raw.say("461-/driver,9[]")
    await raw.say("bAAAA")
    assert code(await raw.ask("/driver", "nope")) == "unknown_event"
    after = await world.before()
    assert after["journey_points"] == before["journey_points"]
    await world.others_are_served()


async def test_a_frame_of_257_kib_ends_the_connection_with_1009(world: World) -> None:
    before = await world.before()
    raw = await world.server.raw()
    await raw.say("4" + "x" * (257 * 1024))
    assert await raw.has_ended() == 1009
    await world.unchanged(before)


async def test_text_that_is_no_utf8_ends_the_connection(world: World) -> None:
    raw = await world.server.raw()
    transport = raw.socket._writer.transport  # type: ignore[attr-defined]
    transport.write(b"\x81\x84\0\0\0\0\xff\xfe\xfd\xfc")
    assert await raw.has_ended() in {1007, 1006, 1002}
    await world.others_are_served()


@pytest.mark.parametrize(
    "text", ["", "9", "x", "0{}", "0" + "[" * 50_000, "2probe", "5", "6", "2" * 100_000, "-1", "٣"]
)
async def test_an_engine_packet_no_client_sends_ends_the_connection(world: World, text: str) -> None:
    raw = await world.server.raw()
    await raw.say(text)
    await raw.has_ended()
    await world.others_are_served()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "4",
            "49",
            "4x",
            "4\0",
            "4٣[]",
            "41",
            "41/nowhere,",
            "42",
            "42/driver",
            "42/driver,",
            "42,[]",
            "42-1",
            "45",
        ),
        *("43/driver,1", "43/driver,99999999999999999999[]", "44/driver,{}", "499-", "40/driver,5-"),
        *("42/driver,123456789012345678901234567890[1]", "451234567890123-/driver,[]"),
        "43/watch,1" + "[" * 9_000,
        "40" + "/" * 9_000,
    ],
)
async def test_a_packet_that_means_nothing_harms_nobody(world: World, text: str) -> None:
    raw = await world.server.driver("odd-packets")
    await raw.say(text)
    assert code(await raw.ask("/driver", "nope")) == "unknown_event"
    await world.others_are_served()


async def test_a_flood_of_acks_and_faults_harms_nobody(world: World) -> None:
    raw = await world.server.driver("flood")
    for number in range(3_000):
        await raw.say(f"43/driver,{number}[]")
        await raw.say("42/driver,[")
    assert code(await raw.ask("/driver", "nope")) == "unknown_event"
    await world.others_are_served()


# --- connections


async def test_two_connects_to_one_namespace_the_first_stands(world: World) -> None:
    raw = await world.server.driver("twice")
    token = world.server.token("driver", "t2", ["v2"], driver="victim")
    error = await raw.connect("/driver", token=token)
    assert "message" in error
    journey_id = await world.server.journey(raw, points=1)
    async with world.server.db.writer() as connection:
        row = await connection.fetchrow("SELECT * FROM journeys WHERE journey_id = $1", UUID(journey_id))
    assert (row["tenant_id"], row["driver_id"]) == ("t1", "twice")


async def test_both_namespaces_on_one_connection_each_with_its_own_token(world: World) -> None:
    raw = await world.server.driver("both")
    assert await raw.connect("/watch", token=world.server.token("dispatcher", "t2", ["v2"])) == {}
    assert (await raw.ask("/watch", "whoami"))["tenant"] == "t2"
    journey_id = await world.server.journey(raw, points=1)
    assert code(await raw.ask("/watch", "watch", {"feed": {"journey": journey_id}})) == "not_found"
    await raw.say("41/watch,")
    assert code(await raw.ask("/watch", "whoami")) == "unauthenticated"
    assert (await raw.ask("/driver", "positions", {"journey_id": journey_id, "points": [good(2)]}))["ok"]


async def test_leaving_while_a_watch_is_answered_leaves_nothing_behind(world: World) -> None:
    hub = world.server.instance.hub
    before = hub.counts()
    raw = await world.server.driver("leaver")
    for _ in range(5):
        assert await raw.connect("/watch", token=world.server.token("dispatcher")) == {}
        await raw.say(f'42/watch,901["watch",{{"feed":{{"journey":"{world.journey}"}}}}]')
        await raw.say('42/watch,902["watch",{"feed":{"vendor":"v1"}}]')
        await raw.say("41/watch,")
        for number in (901, 902):  # answered, the socket still there
            await raw.packet(f"43/watch,{number}")
    await raw.close()
    await until(lambda: hub.counts() == before, "an empty hub")


async def test_a_thousand_feeds_are_not_watched_by_one_viewer(server: Server, world: World) -> None:
    raw = await server.viewer("t1", None)
    limit = server.instance.settings.max_feeds_per_viewer
    codes: dict[str, int] = {}
    for start in range(0, 1_000, 20):
        answers = await asyncio.gather(
            *(raw.ask("/watch", "watch", {"feed": {"vendor": f"many{n}"}}) for n in range(start, start + 20))
        )
        for answer in answers:
            outcome = "ok" if answer["ok"] else code(answer)
            codes[outcome] = codes.get(outcome, 0) + 1
    assert codes["ok"] == limit
    assert set(codes) <= {"ok", "too_many_feeds", "rate_limited"}
    answer = await raw.ask("/watch", "watch", {"feed": {"vendor": "many0"}})
    assert answer["ok"], "what one watches already is not one more"
    await raw.close()
    await until(lambda: server.instance.hub.counts().members["vendor"] < limit, "the members' end")
    await world.others_are_served()


async def test_too_many_requests_at_once_are_told_to_come_back(world: World) -> None:
    raw = await world.server.viewer("t1", None)
    for number in range(200):
        await raw.say(f'42/watch,{number + 1000}["watch",{{"feed":{{"driver":"nobody{number}"}}}}]')
    answers = [json.loads(await raw.packet(f"43/watch,{number + 1000}"))[0] for number in range(200)]
    codes = {code(answer) for answer in answers}
    assert codes <= {"not_found", "overloaded"}
    assert "overloaded" in codes
    assert all(a["error"].get("retry_after_s") for a in answers if a["error"]["code"] == "overloaded")


async def test_a_foreign_origin_is_not_let_in(world: World) -> None:
    server = world.server
    for origin in ("https://evil.example", "null", "http://127.0.0.1", "https://app.example.evil"):
        for path in ("transport=polling", "transport=websocket"):
            async with server.session.get(
                f"{server.url}/socket.io/?EIO=4&{path}", headers={"Origin": origin}
            ) as response:
                assert response.status == 403
                assert (await response.json())["error"]["code"] == "origin_refused"
    for origin in (server.url, "https://app.example"):
        raw = await server.raw(headers={"Origin": origin})
        assert await raw.connect("/watch", token=server.token("dispatcher")) == {}


# --- credentials that end


async def test_a_token_revoked_meanwhile_is_closed_with_a_code(world: World) -> None:
    server = world.server
    jti = uuid4().hex
    raws = []
    for namespace, role, more in (("/driver", "driver", {"driver": "revoked"}), ("/watch", "admin", {})):
        raw = await server.raw()
        assert await raw.connect(namespace, token=server.token(role, jti=jti, **more)) == {}
        raws.append((raw, namespace))
    await revocations.revoke(server.db, "t1", jti, now_ms() + 10**6)
    for raw, namespace in raws:
        (closing,) = await raw.event(namespace, "closing")
        assert (closing["code"], closing["retryable"]) == ("revoked", False)
        await raw.has_ended()
    raw = await server.raw()
    assert (await raw.connect("/watch", token=server.token("admin", jti=jti)))["code"] == "revoked"
    await world.others_are_served()


async def test_a_token_that_expires_meanwhile_is_closed_with_a_code(world: World) -> None:
    raw = await world.server.raw()
    # Still let in by the clock leeway, and over at the first look.
    token = world.server.token("dispatcher", ttl_s=-1)
    assert await raw.connect("/watch", token=token) == {}
    (closing,) = await raw.event("/watch", "closing")
    assert closing["code"] == "token_expired"
    await raw.has_ended()


@pytest.mark.parametrize("redis", ["up", "down"])
async def test_a_share_revoked_meanwhile_is_closed_with_a_code_with_redis_down_too(
    world: World, settings: Settings, redis: str
) -> None:
    changed = {} if redis == "up" else {"redis_url": "redis://127.0.0.1:1/0", "redis_timeout_s": 0.3}
    async with serving(Settings(**{**settings.model_dump(), **changed})) as server:
        share_id, secret = await shares.create(
            server.db, "t2", UUID(world.victim_journey), "journey", now_ms() + 10**7, "x"
        )
        raw = await server.raw()
        assert await raw.connect("/watch", share=f"{share_id}.{secret}") == {}
        answer = await raw.ask("/watch", "watch", {"feed": {"journey": world.victim_journey}})
        assert len(answer["snapshot"]["positions"]) >= 3
        await shares.revoke(server.db, "t2", share_id, SOMEBODY)
        (closing,) = await raw.event("/watch", "closing")
        assert (closing["code"], closing["retryable"]) == ("revoked", False)
        await raw.has_ended()
        again = await server.raw()
        assert (await again.connect("/watch", share=f"{share_id}.{secret}"))["code"] == "not_found"


async def test_connect_and_say_nothing_is_closed(settings: Settings) -> None:
    # An upgrade that was begun is given up when no pong would be waited for any more either.
    changed = Settings(**{**settings.model_dump(), "connect_timeout_s": 0.6, "ping_timeout_s": 1.5})
    async with serving(changed) as server:
        quiet = [await server.raw() for _ in range(5)]
        refused = await server.raw()
        await refused.connect("/watch", token="x")
        async with server.session.get(f"{server.url}/socket.io/?EIO=4&transport=polling") as response:
            sid = json.loads((await response.text())[1:])["sid"]
        upgrade = await server.raw(sid=sid)
        for raw in [*quiet, refused, upgrade]:
            await raw.has_ended()
        await until(lambda: not server.instance.gateway.server.eio.sockets, "no sessions")


async def test_who_leaves_the_last_namespace_is_closed_like_who_says_nothing(settings: Settings) -> None:
    changed = Settings(**{**settings.model_dump(), "connect_timeout_s": 0.6})
    async with serving(changed) as server:
        viewer = await server.viewer()
        await viewer.say("41/watch,")
        await viewer.has_ended()
        await until(lambda: not server.instance.gateway.server.eio.sockets, "no sessions")


async def test_more_points_a_second_than_agreed_are_told_to_wait(settings: Settings) -> None:
    changed = Settings(**{**settings.model_dump(), "driver_points_burst": 500, "driver_points_per_s": 1})
    async with serving(changed) as server:
        driver = await server.driver("hurried")
        journey_id = await server.journey(driver, points=400)
        more = {"journey_id": journey_id, "points": [good(seq) for seq in range(401, 601)]}
        answer = await driver.ask("/driver", "positions", more)
        assert code(answer) == "rate_limited"
        assert answer["error"]["retryable"]
        assert answer["error"]["retry_after_s"] > 1
        few = {"journey_id": journey_id, "points": [good(seq) for seq in range(401, 451)]}
        assert (await driver.ask("/driver", "positions", few))["through"] == 450


async def test_more_starts_than_agreed_are_told_to_wait(world: World) -> None:
    raw = await world.server.driver("starter")
    codes = set()
    for _ in range(130):
        payload = {"client_journey_id": str(uuid4()), "started_at": 1}
        answer = await raw.ask("/driver", "journey:start", payload)
        if not answer["ok"]:
            codes.add(code(answer))
            break
    assert codes == {"rate_limited"}
