"""The second address for an SOS, answers and providers: who is told of it, and what comes by it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator

from alerts.policy import Contact
from realtime.alerting.notifiers import ConfiguredNotifiers
from realtime.engines import plan
from realtime.engines.layout import DataDir
from realtime.hooks.desk import ReplyOutcome
from realtime.hooks.routes import add_hooks
from realtime.settings import Settings

PUBLIC, SAFETY = "https://track.example", "https://sos.example"
SETTINGS = Settings(
    public_url=PUBLIC,
    safety_url=SAFETY + "/",
    auth_secret="a secret of the tests, 32 bytes long",  # type: ignore[arg-type]
    twilio_account_sid="AC1",
    twilio_auth_token="t",  # type: ignore[arg-type]
    twilio_from="+15005550006",
)


def test_answers_and_callbacks_begin_with_it_or_else_with_the_public_one() -> None:
    assert SETTINGS.answers_url == SAFETY
    assert Settings(public_url=PUBLIC + "/").answers_url == PUBLIC
    ways = ConfiguredNotifiers(SETTINGS, cast(Any, None), cast(Any, None), lambda: 0)
    assert f"{SAFETY}/a#" in repr(vars(ways.links))
    assert Contact("c", "Ann")


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1:8010", "http://127.0.0.1:8010"),
        ("*:8010", "http://127.0.0.1:8010"),
        ("[::]:8010", "http://[::1]:8010"),
        ("0.0.0.0:8443 ssl crt /certs/site.pem", "https://127.0.0.1:8443"),
    ],
)
def test_run_tells_its_processes_where_its_safety_bind_is(tmp_path: Path, bind: str, url: str) -> None:
    settings = SETTINGS.model_copy(update={"safety_bind": bind})
    shared = plan._shared_environment(settings, DataDir(tmp_path), 8000, {})
    assert shared["SAFETY_URL"] == url
    given = plan._shared_environment(settings, DataDir(tmp_path), 8000, {"SAFETY_URL": SAFETY})
    assert given["SAFETY_URL"] == SAFETY
    without = SETTINGS.model_copy(update={"safety_bind": ""})
    assert "SAFETY_URL" not in plan._shared_environment(without, DataDir(tmp_path), 8000, {})


class Desk:
    """Takes every text."""

    async def text(self, form: Mapping[str, str]) -> ReplyOutcome:
        return ReplyOutcome("taken")


@pytest.mark.parametrize(
    ("signed_for", "status"),
    [(SAFETY, 200), (PUBLIC, 200), ("https://evil.example", 403), ("http://sos.example", 403)],
)
async def test_a_callback_is_signed_for_one_of_our_two_addresses(signed_for: str, status: int) -> None:
    app = web.Application()
    add_hooks(app, cast(Any, Desk()), SETTINGS)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    path, form = (
        "/hooks/twilio/sms",
        {"AccountSid": "AC1", "From": "+447700900001", "MessageSid": "SM" + "0" * 32},
    )
    signature = RequestValidator("t").compute_signature(signed_for + path, form)
    url = f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, data=form, headers={"X-Twilio-Signature": signature}) as answer,
        ):
            assert answer.status == status
    finally:
        await runner.cleanup()
