"""A driver's app is told on each connection where an SOS is sent first."""

from realtime.settings import Settings
from tests.sockets.kit import Server, serving


async def test_an_app_is_told_of_the_safety_address_also_when_it_is_let_in_for_an_sos_alone(
    settings: Settings,
) -> None:
    changed = Settings(**{**settings.model_dump(), "safety_url": "https://sos.example/"})
    async with serving(changed) as server:
        driver = await server.driver("d-told")
        assert await driver.event("/driver", "safety") == [{"url": "https://sos.example"}]
        expired = await server.raw()
        token = server.token("driver", driver="d-told", ttl_s=-60)
        assert await expired.connect("/driver", token=token, sos=True) == {}
        assert await expired.event("/driver", "safety") == [{"url": "https://sos.example"}]
        assert (await expired.event("/driver", "sos:only"))[0]["code"] == "token_expired"


async def test_without_one_nothing_is_said(server: Server) -> None:
    driver = await server.driver("d-not-told")
    await server.journey(driver)
    assert driver.events("/driver", "safety") == []
