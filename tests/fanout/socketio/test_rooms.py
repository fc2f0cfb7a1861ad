"""Rooms and broadcasts: who hears what, in which order, and what leaving costs."""

import asyncio
from typing import Any

import pytest
from socketio import AsyncManager

from realtime.fanout.socketio.rooms import FanoutManager
from tests.fanout.socketio.kit import BOTH, Here, Raw, plain, serving, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def crowd(here: Here, many: int, namespace: str = "/") -> list[tuple[Raw, str]]:
    """Clients by both transports in turn."""
    return [await here.joined(BOTH[n % 2], namespace) for n in range(many)]


async def heard(clients: list[tuple[Raw, str]], event: str) -> list[int]:
    """Which clients have heard ``event`` before a last one that all of them hear."""
    found = []
    for number, (client, _) in enumerate(clients):
        said: list[Any] = []
        while not said or said[-1] != '2["end"]':
            said.append(await client.recv())
        if f'2["{event}"]' in said:
            assert said.count(f'2["{event}"]') == 1
            found.append(number)
    return found


@pytest.mark.parametrize(
    ("to", "skip", "expected"),
    [
        (None, None, [0, 1, 2, 3]),
        ("red", None, [0, 1]),
        ("nobody", None, []),
        (["red", "blue"], None, [0, 1, 2]),
        (("blue", "nobody"), None, [1, 2]),
        (None, [0], [1, 2, 3]),
        ("red", [0, 1], []),
        ("red", [3], [0, 1]),
        ([], None, []),
    ],
)
async def test_an_emit_reaches_its_room_and_skips_whom_it_should(
    to: Any, skip: list[int] | None, expected: list[int]
) -> None:
    server = plain()
    async with serving(server) as here:
        clients = await crowd(here, 4)
        sids = [sid for _, sid in clients]
        for room, members in (("red", (0, 1)), ("blue", (1, 2))):
            for member in members:
                await server.enter_room(sids[member], room)
        skipped = None if skip is None else [sids[n] for n in skip]
        await server.emit("e", room=to, skip_sid=skipped)
        await server.emit("end")
        assert await heard(clients, "e") == expected


async def test_one_sid_may_be_skipped_by_name_and_addressed_as_a_room() -> None:
    server = plain()
    async with serving(server) as here:
        clients = await crowd(here, 3)
        await server.emit("e", skip_sid=clients[1][1])
        await server.emit("f", to=clients[2][1])
        await server.emit("end")
        assert await heard(clients[:2], "e") == [0]
        assert await heard(clients[2:], "f") == [0]


async def test_namespaces_do_not_hear_each_other() -> None:
    server = plain(namespaces="*")
    async with serving(server) as here:
        client, _ = await here.joined()
        sid = await client.join("/a")
        await server.enter_room(sid, "room", namespace="/a")
        await server.emit("not here", room="room")
        await server.emit("here", room="room", namespace="/a")
        assert await client.recv() == '2/a,["here"]'
        assert server.rooms(sid, "/a") != []
        assert server.rooms(sid) == []


async def test_rooms_are_entered_left_and_closed() -> None:
    server = plain()
    async with serving(server) as here:
        clients = await crowd(here, 3)
        sids = [sid for _, sid in clients]
        for sid in sids:
            await server.enter_room(sid, "r")
            await server.enter_room(sid, 7)
        assert set(server.rooms(sids[0])) == {sids[0], "r", 7}
        await server.leave_room(sids[0], "r")
        await server.leave_room(sids[0], "never was there")
        await server.emit("e", room="r")
        await server.close_room("r")
        await server.close_room("never was")
        await server.emit("f", room="r")
        await server.emit("end")
        assert await heard(clients, "e") == [1, 2]
        assert set(server.rooms(sids[1])) == {sids[1], 7}
        assert "r" not in server.manager.rooms["/"]


async def test_what_cannot_be_entered_is_said() -> None:
    server = plain()
    async with serving(server) as here:
        (_, one), (_, two) = await crowd(here, 2)
        with pytest.raises(ValueError, match="sid is not connected"):
            await server.enter_room("nobody", "r")
        with pytest.raises(ValueError, match="sid room"):
            await server.enter_room(one, two)
        with pytest.raises(ValueError, match="sid room"):
            await server.close_room(two)


async def test_everybody_hears_every_broadcast_in_order() -> None:
    server = plain()
    async with serving(server) as here:
        clients = await crowd(here, 6)
        for number in range(300):
            await server.emit("n", number)
        for client, _ in clients:
            assert await client.texts(300) == [f'2["n",{n}]' for n in range(300)]


async def test_a_callback_hears_each_of_several_clients() -> None:
    server = plain()
    answers: list[Any] = []
    async with serving(server) as here:
        clients = await crowd(here, 3)
        await server.emit("q", callback=lambda *args: answers.append(args))
        for number, (client, _) in enumerate(clients):
            asked = str(await client.recv())
            assert asked == '21["q"]'
            await client.send(f"31[{number}]")
        while len(answers) < 3:
            await asyncio.sleep(0.001)
        assert sorted(answers) == [(0,), (1,), (2,)]


async def test_a_leaver_touches_its_own_rooms_only() -> None:
    class Counted(dict):  # type: ignore[type-arg]
        """Rooms that count how often somebody looks through all of them."""

        scans = 0

        def items(self) -> Any:
            self.scans += 1
            return super().items()

        def __iter__(self) -> Any:
            self.scans += 1
            return super().__iter__()

        def copy(self) -> Any:
            self.scans += 1
            return super().copy()

    server = plain()
    async with serving(server) as here:
        (leaver, sid), (_, stays) = await crowd(here, 2)
        for number in range(200):
            await server.enter_room(stays, number)
        await server.enter_room(sid, 3)
        rooms = server.manager.rooms["/"] = Counted(server.manager.rooms["/"])
        await leaver.close()
        while server.manager.member(sid, "/") is not None:
            await asyncio.sleep(0.001)
        assert rooms.scans == 0
        assert len(server.rooms(stays)) == 201
        assert rooms[3].keys() == {stays}


@pytest.mark.both_loops
async def test_a_member_that_does_not_read_is_cut_off_and_the_others_hear_everything() -> None:
    """Nothing is skipped in silence: who cannot be told everything is not told the rest."""
    server = plain(buffer_limit_bytes=4_096)
    reasons: list[str] = []
    server.on("disconnect", lambda sid, reason: reasons.append(reason))
    async with serving(server) as here:
        (reader, _), (never_polls, _) = await here.joined(), await here.joined("polling")
        text = "x" * 1_000
        for number in range(200):
            await server.emit("e", (number, text))
            assert await reader.recv() == f'2["e",{number},"{text}"]'
        assert reasons == ["transport error"]
        await never_polls.ended()
        assert len(server.eio.sockets) == 1


async def test_when_all_have_left_nothing_is_left() -> None:
    server = plain(namespaces="*")
    async with serving(server) as here:
        for client, sid in await crowd(here, 8):
            await client.join("/second")
            await server.enter_room(sid, "room")
            await server.emit("e", to=sid, callback=print)
            await client.close()
        await settled(server)
        manager = server.manager
        assert manager.rooms == {}
        assert vars(manager)["_sessions"] == {}
        assert vars(server._inbox)["_talks"] == {}
        assert server._deadlines == {}


async def test_a_foreign_client_manager_is_refused() -> None:
    with pytest.raises(ValueError, match="not a FanoutManager"):
        plain(client_manager=AsyncManager())
    assert isinstance(plain().manager, FanoutManager)
