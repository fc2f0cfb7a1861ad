"""A driver's app without the phone: records points, keeps each until it is committed, ends its journey.

pip install python-socketio aiohttp
WAYGUARD_URL, WAYGUARD_TOKEN (a driver's), WAYGUARD_POINTS, WAYGUARD_INTERVAL_MS
"""
# ruff: noqa: S311, T201

import asyncio
import os
import random
import sys
import time
import uuid

import socketio

URL = os.environ.get("WAYGUARD_URL", "http://127.0.0.1:8000")
WANTED = int(os.environ.get("WAYGUARD_POINTS", "20"))
INTERVAL_S = int(os.environ.get("WAYGUARD_INTERVAL_MS", "50")) / 1000


def now_ms():
    return round(time.time() * 1000)


class Refused(Exception):
    """The server's coded error: {code, message, retryable, retry_after_s?, …}; {} when it did not answer."""

    def __init__(self, error):
        super().__init__(f"{error.get('code', 'no_answer')}: {error.get('message', 'no answer')}")
        self.error = error


class Outbox:
    """On a phone this is a table on disk: write the point there first, send it second."""

    def __init__(self):
        self.client_journey_id, self.started_at, self.ended_at = str(uuid.uuid4()), now_ms(), None
        self.journey_id = None
        self.last_seq = 0  # the seq of the newest point
        self.through = 0  # the server has committed 1…through
        self.points = []  # what it has not: through + 1 … last_seq
        self.highest_sent = self.resent = self.voided = 0

    def record(self, lat, lon, speed_mps, heading_deg):
        self.last_seq += 1
        self.points.append([self.last_seq, now_ms(), lat, lon, speed_mps, heading_deg])

    def server_has(self, seq):
        self.through = seq
        self.points = [point for point in self.points if point[0] > seq]

    def next_batch(self):
        batch = {"journey_id": self.journey_id, "points": self.points[:500]}
        first = batch["points"][0][0]
        if first > self.through + 1:
            # Points that are nowhere any more (a lost disk, a restored backup): say so, or the log is stuck.
            last = min(first - 1, self.through + 10_000)
            batch["skip"] = [self.through + 1, last, "lost_by_app"]
            if last < first - 1:
                batch["points"] = []
        if len(self.points) > len(batch["points"]):
            # A backlog goes up in order; `latest` moves the dot on the map meanwhile.
            batch["latest"] = self.points[-1]
        seqs = [point[0] for point in batch["points"]]
        self.resent += sum(seq <= self.highest_sent for seq in seqs)
        self.highest_sent = max([self.highest_sent, *seqs])
        return batch


async def ask(sio, event, payload):
    """The answer to an event. Raises Refused, also when none came within 15 s."""
    coming = asyncio.get_running_loop().create_future()
    sio.on("disconnect", lambda *_: coming.cancelled() or coming.cancel(), namespace="/driver")
    try:
        await sio.emit(
            event, payload, namespace="/driver", callback=lambda got: coming.done() or coming.set_result(got)
        )
        await asyncio.wait([coming], timeout=15)
        answer = coming.result()
    except (socketio.exceptions.SocketIOError, asyncio.CancelledError, asyncio.InvalidStateError):
        raise Refused({}) from None  # the connection is dead, or as good as
    if not answer.get("ok"):
        raise Refused(answer["error"])
    return answer


async def ask_patiently(sio, event, payload):
    """As `ask`, but what the server cannot do now is asked again on the same connection."""
    failures = 0
    while True:
        try:
            return await ask(sio, event, payload)
        except Refused as refused:
            error = refused.error
            if not error.get("retryable") or error["code"] in ("expected_seq", "draining"):
                raise
            await asyncio.sleep(wait_s(error, failures))
            failures += 1


def wait_s(error, failures):
    """What the server asked for, else ever longer; with jitter, so that not everybody comes at once."""
    return (error.get("retry_after_s") or min(30, 0.5 * 2**failures)) * random.uniform(1, 1.5)


async def talk(sio, outbox):
    """Send what there is until everything is acknowledged and the journey is ended. Raises Refused."""
    answer = await ask_patiently(
        sio,
        "journey:start",
        {"client_journey_id": outbox.client_journey_id, "started_at": outbox.started_at},
    )
    outbox.journey_id = answer["journey_id"]
    outbox.server_has(answer["next_seq"] - 1)  # what an ack that got lost had stored
    while outbox.points or outbox.ended_at is None:
        if not outbox.points:
            await asyncio.sleep(0.02)
            continue
        try:
            answer = await ask_patiently(sio, "positions", outbox.next_batch())
        except Refused as refused:
            expected = refused.error.get("expected")
            if expected is None or expected == outbox.through + 1:
                raise
            outbox.server_has(expected - 1)  # go on from there, at once
        else:
            outbox.voided += len(answer["voided"])
            outbox.server_has(answer["through"])
    end = {"journey_id": outbox.journey_id, "ended_at": outbox.ended_at, "last_seq": outbox.last_seq}
    await ask_patiently(sio, "journey:end", end)


async def connect(refusal):
    """One connection. ``refusal`` is filled with the server's reason when it closes or refuses."""
    sio = socketio.AsyncClient(reconnection=False)

    async def leave(drain):
        delay_ms = drain["after_ms"] + random.uniform(0, drain["spread_ms"])
        await asyncio.sleep(delay_ms / 1000)
        await sio.disconnect()

    sio.on("drain", leave, namespace="/driver")
    sio.on("closing", refusal.update, namespace="/driver")
    sio.on("connect_error", lambda why: refusal.update(_reason(why)), namespace="/driver")
    token = os.environ["WAYGUARD_TOKEN"]  # asked on every connect: give a fresh one
    await sio.connect(
        URL, auth={"token": token}, namespaces=["/driver"], transports=["websocket"], wait_timeout=10
    )
    return sio


def _reason(why):
    """CONNECT_ERROR brings ``{message, data: {code, …}}``; a broken network only a text."""
    return why.get("data") or {} if isinstance(why, dict) else {}


async def deliver(outbox):
    """Connect as often as it takes."""
    failures = connects = 0
    while True:
        connects += 1
        refusal, sio, before = {}, None, outbox.through
        try:
            sio = await connect(refusal)
            await talk(sio, outbox)
            return connects - 1
        except Refused as refused:
            refusal.update(refused.error)
        except socketio.exceptions.ConnectionError:
            pass
        finally:
            if sio is not None:
                await sio.disconnect()
        # token_expired: a real app fetches a new token. journey_expired, journey_ended: it starts the next
        # journey with what is left, from seq 1. conflict: two apps write one journey; the stored ones stand.
        if refusal and not refusal.get("retryable"):
            raise Refused(refusal)
        failures = 0 if outbox.through > before else failures + 1
        await asyncio.sleep(wait_s(refusal, failures))


async def drive(outbox):
    for n in range(WANTED):
        outbox.record(53.4065 + n * 0.0001, -2.969 + n * 0.0001, 8.3, 31)
        await asyncio.sleep(INTERVAL_S)
    outbox.ended_at = now_ms()


async def main():
    outbox = Outbox()
    _, reconnects = await asyncio.gather(drive(outbox), deliver(outbox))
    print(
        f"journey={outbox.journey_id} points={outbox.last_seq} through={outbox.through} "
        f"voided={outbox.voided} resent={outbox.resent} reconnects={reconnects}"
    )


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except Refused as refused:
        sys.exit(f"failed: {refused}")
