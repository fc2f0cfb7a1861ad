"""Who is asking: bearer tokens (JWT) in, a Principal out. Revocation and shares are looked up elsewhere.

Claims: ``sub``, ``role``, ``tenant``, ``vendors`` (list or ``"*"``), ``driver``, ``jti``, and the registered
``aud``, ``iss``, ``exp``, all three required.
"""

import json
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import jwt

from realtime.protocol import Code, Refused, identifier
from realtime.settings import Settings

Role = Literal["driver", "dispatcher", "admin", "service", "share"]
TOKEN_ROLES: Final = frozenset(get_args(Role)) - {"share"}
MAX_TOKEN_CHARS: Final = 8_192
MAX_VENDORS: Final = 1_000
MAX_CLAIM_CHARS: Final = 128
LAST_EXPIRY_MS: Final = 253_402_300_799_999
"""The year 9999: whatever expires later can still be told as a number."""
CLOCK_LEEWAY_S: Final = 5
"""How long after its end a token is let in."""
EARLY_LEEWAY_S: Final = 60
"""How long before its beginning: the clocks of whoever signs it and of this server may differ so much."""
LONGEST_WAIT_S: Final = 60.0
"""Of what a client whose token is of the future is told to wait."""
REFRESH_PAUSE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class ShareGrant:
    """What a link opens: one journey, live only or whole; or one alert, and its journey, live only or from
    the press on.

    With a ``contact_id`` it may answer the alert, or the journey's raised since ``answers_from_ms``: the
    answer link of a contact, which has no ``share_id``, and a share that was made so. ``driver``: whose the
    journey is, where that was looked up.
    """

    share_id: str
    journey_id: str | None
    scope: Literal["live", "journey"]
    alert_id: str | None = None
    contact_id: str | None = None
    name: str = ""
    driver: str | None = None
    answers_from_ms: int = 0
    vendor: str | None = None
    """Set in a link to the driver: the vendor that they drive for. ``journey_id`` is then the journey that
    they are on, null before the first, and is replaced when the next begins.
    """


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose credentials were checked. ``vendors`` None means every vendor of the tenant."""

    sub: str
    role: Role
    tenant: str
    vendors: frozenset[str] | None
    driver: str | None
    jti: str | None
    expires_ms: int
    share: ShareGrant | None = None
    session: str | None = None
    """The public id of the session that stands for the token; None when the token itself was shown."""

    @property
    def home_vendor(self) -> str | None:
        """The one vendor a driver drives for."""
        return next(iter(self.vendors)) if self.vendors and len(self.vendors) == 1 else None


class Authenticator:
    """Verifies tokens against the settings' secret or key set. Not bound to any event loop.

    A key set given as a URL is fetched lazily by ``verify``, in the calling thread, with a 5 s timeout and
    cached for 5 minutes; call it from a worker thread then (``needs_thread``).
    """

    def __init__(self, settings: Settings) -> None:
        self._algorithms = list(settings.auth_algorithms)
        self._audience = settings.auth_audience
        self._issuer = settings.auth_issuer
        self._secret = settings.auth_secret.get_secret_value()
        self._remote: jwt.PyJWKClient | None = None
        self._local: jwt.PyJWKSet | None = None
        self._refreshed_s = float("-inf")
        source = settings.auth_jwks_url
        if source.startswith(("http://", "https://")):
            self._remote = jwt.PyJWKClient(source, cache_keys=True, lifespan=300, timeout=5)
        elif source:
            self._local = _key_set_in(Path(source))
        if not self._secret and not source:
            raise ValueError("neither AUTH_SECRET nor AUTH_JWKS_URL is set")

    @property
    def needs_thread(self) -> bool:
        """Whether ``verify`` may do network I/O."""
        return self._remote is not None

    def verify(self, token: object, *, expired_s: float = 0.0) -> Principal:
        """The principal of ``token``, which may have expired ``expired_s`` ago; with such a time it may be of
        the future as well: one of two clocks is wrong, and that keeps no SOS out.

        Raises Refused(unauthenticated or token_expired).
        """
        if not isinstance(token, str) or not token:
            raise Refused(Code.UNAUTHENTICATED, "no token")
        if len(token) > MAX_TOKEN_CHARS:
            raise Refused(Code.UNAUTHENTICATED, f"token is longer than {MAX_TOKEN_CHARS} characters")
        token = bare_token(token)
        try:
            return self._verify(token, expired_s)
        except Refused as refused:
            if "=" not in token or refused.code is not Code.UNAUTHENTICATED:
                raise
        # Padding is not part of a JWT (RFC 7515 §2), but some libraries add it after they have signed.
        return self._verify(token.replace("=", ""), expired_s)

    def _verify(self, token: str, expired_s: float) -> Principal:
        try:
            claims = jwt.decode(
                token,
                key=self._key_for(token),
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=CLOCK_LEEWAY_S,
                options={
                    "require": ["exp", "aud", "iss", "sub"],
                    "verify_exp": not expired_s,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            if not expired_s:
                _check_begun(claims, time.time())
            if expired_s and float(claims["exp"]) + expired_s < time.time():
                raise jwt.ExpiredSignatureError("long expired")
        except jwt.ExpiredSignatureError as error:
            raise Refused(Code.TOKEN_EXPIRED, "token has expired") from error
        except (jwt.PyJWKClientError, jwt.PyJWKSetError) as error:
            raise Refused(Code.UNAVAILABLE, "the key set is unavailable", retry_after_s=2) from error
        except (jwt.PyJWTError, ArithmeticError, ValueError, TypeError, RecursionError) as error:
            raise Refused(Code.UNAUTHENTICATED, "token is not valid") from error
        return _principal(claims)

    def _key_for(self, token: str) -> Any:
        algorithm = jwt.get_unverified_header(token).get("alg")
        if algorithm not in self._algorithms:
            raise jwt.InvalidAlgorithmError("algorithm is not allowed")
        if algorithm == "HS256":
            if not self._secret:
                raise jwt.InvalidKeyError("no secret")
            return self._secret
        kid = jwt.get_unverified_header(token).get("kid")
        for keys in self._key_sets():
            for key in keys.keys:
                if kid is None or key.key_id == kid:
                    return key.key
        raise jwt.InvalidKeyError("unknown key id")

    def _key_sets(self) -> Iterator[jwt.PyJWKSet]:
        """The key set as known; then, at most every 10 s, as it is now: a key may be new, but a stranger who
        makes one up must not keep us fetching.
        """
        if self._remote is None:
            assert self._local is not None
            yield self._local
            return
        yield _fetched(self._remote, refresh=False)
        now_s = time.monotonic()
        if now_s - self._refreshed_s >= REFRESH_PAUSE_S:
            self._refreshed_s = now_s
            yield _fetched(self._remote, refresh=True)


def _key_set_in(file: Path) -> jwt.PyJWKSet:
    try:
        return jwt.PyJWKSet.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"AUTH_JWKS_URL: {file} cannot be read: {error.strerror}") from None
    except (ValueError, AttributeError, jwt.PyJWTError) as error:
        raise ValueError(f"AUTH_JWKS_URL: {file} is no key set: {type(error).__name__}") from None


def _fetched(client: jwt.PyJWKClient, *, refresh: bool) -> jwt.PyJWKSet:
    try:
        return client.get_jwk_set(refresh=refresh)
    except ValueError as error:  # not JSON: the host's fault, not the token's
        raise jwt.PyJWKSetError("key set cannot be read") from error


def bare_token(text: str) -> str:
    """The token in ``text``: without the scheme of an Authorization header, spaces and the ends of lines,
    which come with a token that was copied from a letter or a terminal.
    """
    words = text.split()
    if len(words) > 1 and words[0].lower() == "bearer":
        del words[0]
    return "".join(words)


def _check_begun(claims: dict[str, Any], now_s: float) -> None:
    """Raise Refused(token_not_yet_valid) for a token that begins later, ValueError for a beginning that is
    none."""
    for name in ("iat", "nbf"):
        if claims.get(name) is None:
            continue
        begins_s = float(claims[name])
        if not isfinite(begins_s):
            raise ValueError(f"{name} is no time")
        wait_s = begins_s - EARLY_LEEWAY_S - now_s
        if wait_s > 0:
            raise Refused(
                Code.TOKEN_NOT_YET_VALID,
                f"{name} is more than {EARLY_LEEWAY_S} s ahead of the server's clock",
                retry_after_s=min(wait_s, LONGEST_WAIT_S),
            )


def _principal(claims: dict[str, Any]) -> Principal:
    try:
        role = claims.get("role")
        if role not in TOKEN_ROLES:
            raise Refused(Code.INVALID, "unknown role")
        principal = Principal(
            sub=_printable(claims["sub"], "sub"),
            role=cast(Role, role),
            tenant=identifier(claims.get("tenant"), "tenant"),
            vendors=_vendors(claims.get("vendors")),
            driver=None if claims.get("driver") is None else identifier(claims["driver"], "driver"),
            jti=None if claims.get("jti") is None else _printable(claims["jti"], "jti"),
            expires_ms=min(int(float(claims["exp"]) * 1000), LAST_EXPIRY_MS),
        )
    except (Refused, ValueError, TypeError, OverflowError) as error:
        raise Refused(Code.UNAUTHENTICATED, f"token claims are not valid: {error}") from error
    if principal.role == "driver" and (principal.driver is None or principal.home_vendor is None):
        raise Refused(Code.UNAUTHENTICATED, "a driver's token names one driver and one vendor")
    return principal


def _printable(claim: object, name: str) -> str:
    """A claim that ends up in keys, rows and logs. One too long is refused: cut short, two could be one."""
    text = str(claim)
    if not text.isprintable() or len(text) > MAX_CLAIM_CHARS:
        raise Refused(Code.INVALID, f"{name} is not up to {MAX_CLAIM_CHARS} printable characters")
    return text


def _vendors(claim: object) -> frozenset[str] | None:
    if claim == "*":
        return None
    if not isinstance(claim, list) or len(claim) > MAX_VENDORS:
        raise Refused(Code.INVALID, "vendors is neither a list nor *")
    return frozenset(identifier(vendor, "vendor") for vendor in claim)


def mint(
    settings: Settings,
    *,
    role: Role,
    tenant: str,
    vendors: Iterable[str] | None,
    driver: str | None = None,
    ttl_s: float = 86_400,
    jti: str | None = None,
) -> str:
    """A development token signed with AUTH_SECRET; ``vendors`` None means all. Raises ValueError."""
    secret = settings.auth_secret.get_secret_value()
    if not secret:
        raise ValueError("AUTH_SECRET is not set")
    now_s = int(time.time())
    claims = {
        "sub": driver or f"{role}@{tenant}",
        "role": role,
        "tenant": tenant,
        "vendors": "*" if vendors is None else sorted(vendors),
        "jti": jti or uuid.uuid4().hex,
        "aud": settings.auth_audience,
        "iss": settings.auth_issuer,
        "iat": now_s,
        "exp": now_s + int(ttl_s),
    }
    if driver is not None:
        claims["driver"] = driver
    return jwt.encode(claims, secret, algorithm="HS256")
