"""Addresses: asked for once, never waited for long, and none rather than an error."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from alerts.attempt import Purpose
from alerts.notifiers.geocoder import REST_S, NominatimGeocoder
from alerts.notifiers.writer import MessageWriter
from realtime.outside.web import SimulatedFault, StandIn, Trouble
from tests.alerts.jobs import NOW_MS, FixedLinks, alert, job


class Nominatim(StandIn):
    """Answers ``/geo/reverse`` as Nominatim does."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.app.router.add_get("/geo/reverse", self._reverse)

    async def _reverse(self, request: web.Request) -> web.Response:
        await self.may_answer.wait()
        lat, lon = request.query["lat"], request.query["lon"]
        if float(lat) < -60:
            return web.json_response({"error": "Unable to geocode"})
        name = f"Platz {lat}\r\n, Berlin"
        return web.json_response({"place_id": 1, "lat": lat, "lon": lon, "display_name": name})


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def server() -> AsyncIterator[Nominatim]:
    async with Nominatim() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def geocoder(server: Nominatim, clock: Clock) -> AsyncIterator[NominatimGeocoder]:
    geocoder = NominatimGeocoder(f"{server.url}/geo", clock, timeout_s=20)
    yield geocoder
    await geocoder.close()


async def test_an_address_is_one_clean_line(geocoder: NominatimGeocoder) -> None:
    assert await geocoder.address_of(52.52, 13.405) == "Platz 52.52 , Berlin"


async def test_a_place_is_asked_for_once(geocoder: NominatimGeocoder, server: Nominatim) -> None:
    found = await asyncio.gather(*(geocoder.address_of(52.52, 13.405) for _ in range(20)))
    await geocoder.address_of(52.520_001, 13.405_001)
    assert set(found) == {"Platz 52.52 , Berlin"}
    assert len(server.calls) == 1


async def test_the_sea_has_no_address_and_is_not_asked_for_again(
    geocoder: NominatimGeocoder, server: Nominatim
) -> None:
    assert await geocoder.address_of(-70.0, 0.0) is None
    assert await geocoder.address_of(-70.0, 0.0) is None
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    "fault",
    [
        SimulatedFault(Trouble.STATUS, 500),
        SimulatedFault(Trouble.STATUS, 429),
        SimulatedFault(Trouble.GARBAGE),
    ],
)
async def test_a_geocoder_that_fails_is_left_alone_for_a_while(
    geocoder: NominatimGeocoder, server: Nominatim, clock: Clock, fault: SimulatedFault
) -> None:
    server.faults.append(fault)
    assert await geocoder.address_of(1.0, 1.0) is None
    assert await geocoder.address_of(2.0, 2.0) is None
    assert len(server.calls) == 1
    clock.now_s += REST_S
    assert await geocoder.address_of(2.0, 2.0) is not None


async def test_a_slow_geocoder_costs_an_sos_its_address_and_no_more(
    geocoder: NominatimGeocoder, server: Nominatim
) -> None:
    server.may_answer.clear()
    writer = MessageWriter(FixedLinks(), lambda: NOW_MS, geocoder, address_wait_s=0.05)
    assert "Near" not in (await writer.write(job())).words.long
    server.may_answer.set()
    assert await geocoder.address_of(52.52, 13.405) == "Platz 52.52 , Berlin"
    assert "Near: Platz 52.52 , Berlin" in (await writer.write(job())).words.long
    assert len(server.calls) == 1


async def test_only_so_many_places_wait_for_an_answer(geocoder: NominatimGeocoder, server: Nominatim) -> None:
    server.may_answer.clear()
    waiting = [asyncio.ensure_future(geocoder.address_of(float(n), 0.0)) for n in range(32)]
    await asyncio.sleep(0)
    assert await geocoder.address_of(50.0, 50.0) is None
    server.may_answer.set()
    assert all(await asyncio.gather(*waiting))


async def test_nobody_is_asked_where_no_address_is_told(
    geocoder: NominatimGeocoder, server: Nominatim
) -> None:
    writer = MessageWriter(FixedLinks(), lambda: NOW_MS, geocoder)
    await writer.write(job(of=alert(place=None)))
    await writer.write(job(purpose=Purpose.CLOSED))
    written = await writer.write(job(of=alert(message="482913"), purpose=Purpose.CODE))
    assert not server.calls
    assert written.link == ""


@pytest.mark.parametrize("url", ["", "nominatim.example", "file:///x", "https://"])
def test_a_base_that_is_no_address_is_refused_at_start(url: str, clock: Clock) -> None:
    with pytest.raises(ValueError, match="not a http address"):
        NominatimGeocoder(url, clock)
