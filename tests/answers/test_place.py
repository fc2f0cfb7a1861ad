"""The place of an open alert follows its driver, and every page says how old and how exact it is."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from alerts.replies.answer import make_token
from realtime.store.alerts import reads
from tests.answers.test_answers import post, token
from tests.sockets.kit import Raw, Server, now_ms

KM_LAT = 1 / 111.2


def point(seq: int, lat: float, accuracy_m: float | None = 5.0, ago_ms: int = 0) -> list[Any]:
    """A point of ``ago_ms`` ago at ``lat``, 13."""
    return [seq, now_ms() - ago_ms, lat, 13.0, None, None, accuracy_m]


async def driving(server: Server) -> tuple[str, Raw, str]:
    """A driver on a journey: id, socket, journey."""
    driver = f"d-{uuid4()}"
    raw = await server.driver(driver)
    return driver, raw, await server.journey(raw)


async def pressed(raw: Raw, **more: Any) -> str:
    ack = await raw.ask("/driver", "sos", {"sos_id": str(uuid4()), **more})
    assert ack["ok"], ack
    alert_id: str = ack["alert_id"]
    return alert_id


async def view(server: Server, alert_id: str) -> dict[str, Any]:
    status, shown = await post(server, "/answers/view", {"token": token(server, alert_id)})
    assert status == 200
    return shown


async def test_the_place_follows_a_driver_who_moves_5_km_after_the_press(server: Server) -> None:
    driver, raw, journey = await driving(server)
    viewer = await server.viewer()
    assert "snapshot" in await viewer.ask("/watch", "watch", {"feed": {"vendor": "v1"}})
    alert_id = await pressed(raw, point=point(0, 52.0), journey_id=journey)
    far = 52.0 + 5 * KM_LAT
    sent = {"journey_id": journey, "points": [point(1, 52.0 + KM_LAT), point(2, far)]}
    assert (await raw.ask("/driver", "positions", sent))["ok"]
    shown = await view(server, alert_id)
    assert shown["coordinates"] == f"{far:.5f}, 13.00000", "the page has the live position at once"
    assert shown["accuracy"] == "just now, ± 5 m"

    while True:
        _, body = await viewer.event("/watch", "alert")
        if body["alert_id"] == alert_id and body["place"]["lat"] == pytest.approx(far):
            break
    assert (body["place"]["source"], body["place"]["accuracy_m"]) == ("live", 5.0)
    alert = await reads.get(server.db, "t1", UUID(alert_id))
    assert alert is not None
    assert alert.place is not None
    assert (alert.place.lat, alert.place.source) == (pytest.approx(far), "live")
    answer = await viewer.ask("/watch", "watch", {"feed": {"driver": driver}})
    (listed,) = answer["snapshot"]["alerts"]
    assert (listed["place"]["lat"], listed["place"]["source"]) == (pytest.approx(far), "live")


async def test_the_page_says_how_old_and_how_exact_the_place_is(server: Server) -> None:
    raw = await server.driver(f"d-{uuid4()}")
    alert_id = await pressed(raw, point=point(0, 52.0, 300.0, ago_ms=600_000))
    assert (await view(server, alert_id))["accuracy"] == "10 min ago, ± 300 m"


async def test_a_place_of_unknown_age_or_accuracy_is_said_to_be(server: Server) -> None:
    for given, said in (
        ([0, None, 52.0, 13.0, None, None, 7], "of unknown age, ± 7 m"),
        ([0, now_ms() + 7_200_000, 52.0, 13.0], "of unknown age, accuracy unknown"),
        ([0, now_ms(), 52.0, 13.0, None, None, 0], "just now, accuracy unknown"),
        ([0, now_ms(), 52.0, 13.0, None, None, 1_500], "just now, ± 1.5 km"),
    ):
        raw = await server.driver(f"d-{uuid4()}")
        assert (await view(server, await pressed(raw, point=given)))["accuracy"] == said
    raw = await server.driver(f"d-{uuid4()}")
    shown = await view(server, await pressed(raw, point=[0, now_ms(), 0, 0]))
    assert (shown["coordinates"], shown["accuracy"], shown["map_url"]) == ("", "Position unknown.", "")


async def test_an_alert_that_is_over_keeps_the_place_where_it_ended(server: Server) -> None:
    _, raw, journey = await driving(server)
    alert_id = await pressed(raw, point=point(0, 52.0), journey_id=journey)
    alert = await reads.get(server.db, "t1", UUID(alert_id))
    assert alert is not None
    ended = await raw.ask("/driver", "sos:cancel", {"sos_id": str(alert.sos_id), "pin": ""})
    assert ended["state"] == "cancelled"
    sent = {"journey_id": journey, "points": [point(1, 53.0)]}
    assert (await raw.ask("/driver", "positions", sent))["ok"]
    assert (await view(server, alert_id))["coordinates"] == "52.00000, 13.00000"


async def test_no_link_shows_where_another_driver_is(server: Server) -> None:
    _, raw, journey = await driving(server)
    _, other, theirs = await driving(server)
    alert_id = await pressed(raw, point=point(0, 52.0), journey_id=journey)
    sent = {"journey_id": theirs, "points": [point(1, 10.0)]}
    assert (await other.ask("/driver", "positions", sent))["ok"]
    assert (await view(server, alert_id))["coordinates"] == "52.00000, 13.00000"
    key = server.instance.settings.alerts_key
    forged = make_token(key + "x", UUID(alert_id), str(uuid4()), now_ms() + 10**7)
    assert (await post(server, "/answers/view", {"token": forged}))[0] == 404
