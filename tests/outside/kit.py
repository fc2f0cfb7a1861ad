"""Stand-ins with their page, a receiver of what Twilio would call, and people who use the page."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any
from xml.sax.saxutils import escape

import aiohttp
import aiosmtplib
from aiohttp import web
from twilio.request_validator import RequestValidator

from alerts.notifiers.firebase import service_account
from realtime.engines.embedded import free_port
from realtime.outside.accounts import made_up
from realtime.outside.page import SandboxPage
from realtime.outside.servers import Servers
from realtime.settings import Settings
from tests.cheap_keys import small_key

PATIENCE_S = 10.0
PHONE = "+12025550143"


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait until ``condition``, which may be async, holds."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            held = condition()
            if isinstance(held, Awaitable):
                held = await held
            if held:
                return
            await asyncio.sleep(0.01)


class Outside:
    """The stand-ins of one test. ``hooked``: rightly signed calls that came to our public URL."""

    def __init__(self, settings: Settings, http: aiohttp.ClientSession) -> None:
        self.settings = settings
        self.http = http
        self.servers = Servers(settings)
        self.url = ""
        self.hooked: list[tuple[str, dict[str, str]]] = []
        self.forged = 0
        self.broken = False

    async def hook(self, request: web.Request) -> web.Response:
        """What a worker does, without one: checks the signature, answers TwiML."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        token = self.settings.twilio_auth_token.get_secret_value()
        url = f"{self.settings.public_url}{request.rel_url}"
        if not RequestValidator(token).validate(url, form, request.headers.get("X-Twilio-Signature", "")):
            self.forged += 1
            return web.Response(status=403)
        self.hooked.append((request.path, form))
        if self.broken:
            return web.json_response({"ok": False}, status=503)
        said = escape(form.get("Body", form.get("Digits", "")))
        words = f"<Response><Message>heard {said}</Message></Response>"
        return web.Response(text=words, content_type="text/xml")

    # --- what goes out

    async def text(self, body: str, to: str = PHONE) -> int:
        """A text message by Twilio's API; the status of the answer."""
        form = {"To": to, "From": self.settings.twilio_from, "Body": body}
        return await self._twilio("Messages", form)

    async def call(self, twiml: str, to: str = PHONE, **more: str) -> int:
        """A call by Twilio's API; the status of the answer."""
        form = {"To": to, "From": self.settings.twilio_from, "Twiml": twiml, **more}
        return await self._twilio("Calls", form)

    async def _twilio(self, kind: str, form: dict[str, str]) -> int:
        sid = self.settings.twilio_account_sid
        token = self.settings.twilio_auth_token.get_secret_value()
        headers = {"Authorization": aiohttp.encode_basic_auth(sid, token)}
        url = f"{self.settings.twilio_base_url}/2010-04-01/Accounts/{sid}/{kind}.json"
        async with self.http.post(url, data=form, headers=headers) as answer:
            return answer.status

    async def mail(self, subject: str, text: str, to: str = "jo@wayguard.example") -> None:
        """A mail by SMTP. Raises SMTPException."""
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = subject, self.settings.smtp_from, to
        message.set_content(text)
        await aiosmtplib.send(
            message, hostname="127.0.0.1", port=self.settings.smtp_port, start_tls=False, timeout=PATIENCE_S
        )

    @property
    def account(self) -> dict[str, Any]:
        return service_account(self.settings.firebase_credentials.get_secret_value())

    # --- what people do

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of the page's own calls."""
        more = {} if body is None else {"json": body}
        async with self.http.request(method, self.url + path, headers=headers, **more) as answer:
            return answer.status, await answer.json()

    async def sent(self, kind: str | None = None) -> list[dict[str, Any]]:
        status, listed = await self.ask("GET", "/_sent")
        assert status == 200
        return [item for item in listed["sent"] if kind in (None, item["kind"])]


@asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    """Stand-ins on ports of their own, as `wayguard outside` runs them."""
    public = free_port()
    given = {
        name.lower(): value for name, value in made_up([free_port() for _ in range(4)], small_key()).items()
    }
    settings = Settings(public_url=f"http://127.0.0.1:{public}", **given)  # type: ignore[arg-type]
    async with aiohttp.ClientSession() as http:
        made = Outside(settings, http)
        hooks = web.Application()
        hooks.router.add_post("/{path:.*}", made.hook)
        runners = [web.AppRunner(app, shutdown_timeout=0.2) for app in (hooks, SandboxPage(made.servers).app)]
        async with made.servers:
            for runner, port in zip(runners, (public, 0), strict=True):
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", port).start()
            made.url = f"http://127.0.0.1:{runners[1].addresses[0][1]}"
            yield made
            for runner in runners:
                await runner.cleanup()
