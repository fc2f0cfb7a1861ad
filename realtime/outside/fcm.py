"""Firebase Cloud Messaging as far as its v1 API is used here: a token endpoint, and messages to devices."""

import json
import secrets
import time
from collections import deque
from typing import Any, Final

import jwt
import msgspec
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from realtime.outside.web import SimulatedFault, StandIn

KEPT: Final = 1_000
MESSAGE_BYTES: Final = 4_096
TOKEN_LIFE_S: Final = 3_600
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCE: Final = "https://oauth2.googleapis.com/token"
"""What google-auth writes, wherever the account's ``token_uri`` sends it."""
_FCM_ERROR: Final = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST: Final = "type.googleapis.com/google.rpc.BadRequest"
_NO_TOKEN: Final = "The registration token is not a valid FCM registration token"  # noqa: S105
_STATUSES: Final = {
    400: ("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    401: ("UNAUTHENTICATED", None),
    403: ("PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
    404: ("NOT_FOUND", "UNREGISTERED"),
    429: ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
    500: ("INTERNAL", "INTERNAL"),
    503: ("UNAVAILABLE", "UNAVAILABLE"),
}


class Push(msgspec.Struct, frozen=True):
    """One message that was taken. ``message`` is as FCM's v1 API has it."""

    name: str
    token: str
    message: dict[str, Any]
    at_ms: int = 0


class FcmServer(StandIn):
    """``POST /token`` and ``POST /v1/projects/{project}/messages:send``; faults are for the latter.

    ``unregistered``, ``malformed`` and ``foreign``: push tokens that are refused as such. The details name
    ``message.token`` for ``malformed``, and nothing for ``vague``, though the words are the same.
    ``wrong_field``: a field for which every message is refused, as a malformed payload of ours would be.
    ``refuses_tokens``: the token endpoint answers 400 ``invalid_grant``.
    ``keeps`` False: a lie, messages are taken and go nowhere.
    ``account``: the service account that may send, as its JSON; one is made up otherwise.
    """

    def __init__(
        self,
        project: str = "wayguard-demo",
        *,
        account: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(host, port)
        given: dict[str, Any] = json.loads(account) if account else {}
        self.project = given.get("project_id", project)
        self.pushes: deque[Push] = deque(maxlen=KEPT)
        self.unregistered = set[str]()
        self.malformed = set[str]()
        self.foreign = set[str]()
        self.vague = set[str]()
        self.wrong_field = ""
        self.refuses_tokens = False
        self.keeps = True
        self.tokens_given = 0
        self._email = given.get("client_email") or f"firebase-adminsdk@{project}.iam.gserviceaccount.com"
        self._key = _key(given.get("private_key"))
        self._access = dict[str, float]()
        self.app.router.add_post("/token", self._token)
        self.app.router.add_post("/v1/projects/{project}/messages:send", self._send)

    def service_account(self) -> str:
        """The JSON that a console would hand out, for this server."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return json.dumps(
            {
                "type": "service_account",
                "project_id": self.project,
                "private_key_id": "1",
                "private_key": pem.decode(),
                "client_email": self._email,
                "client_id": "1",
                "token_uri": f"{self.url}/token",
            }
        )

    def forget_access(self) -> None:
        """Every access token given so far is worth nothing any more."""
        self._access.clear()

    def is_troubled(self, request: web.Request) -> bool:
        """Messages only: a token is asked for at a time nobody can foresee."""
        return request.path.endswith("messages:send")

    def error_of(self, fault: SimulatedFault, request: web.Request) -> web.Response:
        """As Google words it."""
        headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
        return _refused(fault.status, "told to fail", headers)

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        reason = self._objection(form.get("grant_type"), form.get("assertion"))
        if reason is not None:
            return web.json_response({"error": "invalid_grant", "error_description": reason}, status=400)
        token = "ya29." + secrets.token_urlsafe(24)
        self._access[token] = time.monotonic() + TOKEN_LIFE_S
        self.tokens_given += 1
        return web.json_response(
            {"access_token": token, "expires_in": TOKEN_LIFE_S - 1, "token_type": "Bearer"}
        )

    def _objection(self, grant: object, assertion: object) -> str | None:
        if self.refuses_tokens:
            return "account disabled"
        if grant != _GRANT or not isinstance(assertion, str):
            return "unsupported grant"
        try:
            claims = jwt.decode(
                assertion,
                self._key.public_key(),
                algorithms=["RS256"],
                audience=_AUDIENCE,
                issuer=self._email,
                options={"require": ["exp", "iat", "iss", "aud", "scope"]},
            )
        except jwt.PyJWTError as error:
            return f"invalid jwt: {type(error).__name__}"
        scopes = str(claims["scope"]).split()
        return None if any("firebase" in scope or "cloud-platform" in scope for scope in scopes) else "scope"

    async def _send(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or self._access.get(token, 0.0) < time.monotonic():
            return _refused(401, "Request had invalid authentication credentials.")
        if request.match_info["project"] != self.project:
            return _refused(403, "Permission denied on resource project.", code=None)
        try:
            content = msgspec.json.decode(await request.read(), type=dict[str, dict[str, Any]])
            message = content["message"]
            to = message["token"]
        except (msgspec.MsgspecError, KeyError):
            return _refused(400, "Request contains an invalid argument.")
        return self._judged(message, to)

    def _judged(self, message: dict[str, Any], to: object) -> web.Response:
        data = message.get("data", {})
        if self.wrong_field:
            return _refused(400, f"Invalid value at '{self.wrong_field}'", field=self.wrong_field)
        if not all(isinstance(value, str) for value in data.values()):
            return _refused(
                400, "Invalid value at 'message.data[0].value' (TYPE_STRING)", field="message.data[0].value"
            )
        if len(msgspec.json.encode(message)) > MESSAGE_BYTES:
            return _refused(400, "Android message is too big")
        if not isinstance(to, str) or not to or to in self.malformed:
            return _refused(400, _NO_TOKEN, field="message.token")
        if to in self.vague:
            return _refused(400, _NO_TOKEN)
        if to in self.unregistered:
            return _refused(404, "Requested entity was not found.")
        if to in self.foreign:
            return _refused(403, "SenderId mismatch")
        name = f"projects/{self.project}/messages/0:{secrets.randbelow(10**16)}"
        if self.keeps:
            self.pushes.append(Push(name, to, message, int(time.time() * 1000)))
        return web.json_response({"name": name})


def _key(pem: str | None) -> rsa.RSAPrivateKey:
    if pem is None:
        return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    key = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("the account's key is no rsa key")
    return key


def _refused(
    status: int,
    message: str,
    headers: dict[str, str] | None = None,
    code: str | None = "",
    field: str = "",
) -> web.Response:
    word, usual = _STATUSES.get(status, ("UNKNOWN", None))
    code = usual if code == "" else code
    error: dict[str, Any] = {"code": status, "message": message, "status": word}
    if code is not None:
        error["details"] = [{"@type": _FCM_ERROR, "errorCode": code}]
    if field:
        violation = {"field": field, "description": message}
        error.setdefault("details", []).append({"@type": _BAD_REQUEST, "fieldViolations": [violation]})
    return web.json_response({"error": error}, status=status, headers=headers)
