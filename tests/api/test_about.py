"""Health, readiness, metrics, and living beside pages on one application."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from realtime.api.alerts.sos import SosDesk
from realtime.api.framework.ports import Condition
from realtime.api.routes import add_worker_api
from realtime.settings import Settings
from tests.api.harness import Api, Fakes


async def test_ready_names_what_is_away_and_alive_does_not_care(api: Api) -> None:
    ready = {"ok": True, "checks": {"postgres": True, "redis": True}, "warnings": {}}
    assert (await api.get("/readyz", None)).json == ready
    api.fakes.warnings = {"alert_store": "postgres failed 3 statements"}
    assert (await api.get("/readyz", None)).json == ready | {"warnings": api.fakes.warnings}
    api.fakes.checks = {"postgres": True, "redis": False, "serving": False}
    reply = await api.get("/readyz", None)
    assert (reply.status, reply.code, reply.headers["Retry-After"]) == (503, "unavailable", "1")
    assert reply.json["error"]["message"] == "not ready: redis, serving"
    assert reply.json["error"]["checks"] == {"postgres": True, "redis": False, "serving": False}
    assert reply.json["error"]["warnings"] == api.fakes.warnings
    assert (await api.get("/healthz", None)).json == {"ok": True}


@pytest.mark.parametrize("header", ["X-Forwarded-For", "x-forwarded-for", "Forwarded", "X-Real-IP", "Via"])
async def test_a_request_that_a_proxy_forwarded_is_answered_with_the_status_alone(
    api: Api, header: str
) -> None:
    """Details name migrations, which is the release; warnings count the statements that fail."""
    forwarded = {header: "203.0.113.7"}
    api.fakes.warnings = {"alert_store": "postgres failed 3 statements"}
    reply = await api.get("/readyz", None, headers=forwarded)
    assert (reply.status, reply.json) == (200, {"ok": True})
    api.fakes.checks = {"postgres": True, "schema": "schema_older: the database has migration 3"}
    reply = await api.get("/readyz", None, headers=forwarded)
    assert (reply.status, reply.code, reply.headers["Retry-After"]) == (503, "unavailable", "1")
    assert set(reply.json["error"]) == {"code", "message", "retryable", "retry_after_s"}
    assert reply.json["error"]["message"] == "not ready"
    assert "schema" in (await api.get("/readyz", None)).json["error"]["details"], "asked directly"


async def test_requests_are_counted_by_template_and_never_by_id(api: Api) -> None:
    journey = await api.journey(driver="counted-driver")
    await api.get(f"/api/v1/journeys/{journey}")
    await api.get("/api/v1/not/a/route")
    await api.call("PROPFIND", "/api/v1/journeys")
    text = (await api.get("/metrics", None)).body.decode()
    assert (
        'wayguard_http_requests_total{method="GET",route="/api/v1/journeys/{journey_id}",status="200"}'
        in text
    )
    assert 'wayguard_http_requests_total{method="GET",route="other",status="404"}' in text
    assert 'method="other"' in text
    assert str(journey) not in text
    assert "not/a/route" not in text
    assert "counted-driver" not in text


def desk() -> SosDesk:
    fakes = Fakes(Settings(auth_secret="s" * 32))  # type: ignore[arg-type]
    return SosDesk(fakes, fakes, lambda: 1)


async def test_a_worker_answers_about_itself_and_takes_an_sos_and_that_is_all() -> None:
    app = web.Application()
    add_worker_api(app, desk(), lambda: Condition({"postgres": False}))
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/healthz")).status == 200
        assert (await client.get("/readyz")).status == 503
        assert (await client.get("/metrics")).status == 200
        assert (await client.post("/api/v1/sos")).status == 401
        missing = await client.get("/api/v1/journeys")
        assert missing.status == 404
        assert (await missing.json())["error"]["code"] == "not_found"


async def test_other_paths_of_the_application_are_left_alone() -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="a page")

    app = web.Application()
    add_worker_api(app, desk(), dict)
    app.router.add_get("/", page)
    async with TestClient(TestServer(app)) as client:
        reply = await client.get("/")
        assert await reply.text() == "a page"
        assert "Cache-Control" not in reply.headers
        assert (await client.get("/nothing")).content_type == "text/plain"
