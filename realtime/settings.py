"""One typed object, read once from the environment; a bad value fails at start with the variable's name."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from alerts.addresses.typed import plain
from alerts.notifiers.sender import can_call, sender_of
from alerts.replies.answer import derive
from realtime import urls

_TOGETHER = (
    ("twilio_account_sid", "twilio_auth_token", "twilio_from"),
    ("smtp_host", "smtp_from"),
    ("smtp_username", "smtp_password"),
)
"""Settings that mean something together alone."""
_BESIDE = (
    ("twilio_call_from", "twilio_account_sid"),
    ("twilio_base_url", "twilio_account_sid"),
    ("fcm_base_url", "firebase_credentials"),
    ("smtp_username", "smtp_host"),
    ("operator_webhook_secret", "operator_webhook_url"),
)
"""Settings that mean nothing without another."""

_EMERGENCY = re.compile(r"[^=\s]+=\+[0-9]{6,15}")
_BETWEEN_DIGITS = re.compile(r"[\s().-]+")
_OWN_PATH = re.compile(r"/(?!/)[^\s\\]*")
_COUNTRY = re.compile(r"[A-Za-z]{2}")

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]
Listed = Annotated[tuple[str, ...], NoDecode]
"""A comma-separated list in the environment."""


class Settings(BaseSettings):
    """Every knob, its unit in its name; the environment variable is the upper-cased field name."""

    model_config = SettingsConfigDict(env_prefix="", extra="ignore", frozen=True, hide_input_in_errors=True)

    # --- where things are
    database_url: SecretStr = Field(SecretStr(""), description="Postgres of the pools (PgBouncer is fine)")
    database_direct_url: SecretStr = Field(
        SecretStr(""), description="Postgres without a pooler, for locks and migrations"
    )
    database_replica_url: SecretStr = Field(
        SecretStr(""), description="a replica for reads of old data; optional"
    )
    redis_url: SecretStr = Field(
        SecretStr(""), description="redis://, rediss://, unix://, or redis+cluster://host:port,host:port"
    )
    bind_host: str = Field("127.0.0.1", description="address a web instance or a worker listens on")
    port: int = Field(8000, ge=0, le=65535, description="port of this process; 0 = any free port")
    public_url: str = Field(
        "http://127.0.0.1:8000",
        description="what links handed to people begin with: scheme, host, port",
    )
    safety_bind: str = Field("", description="host:port of a balancer's second bind, for safety alone")
    safety_url: str = Field(
        "", description="where apps and providers reach SAFETY_BIND; answer links begin with it"
    )
    connections_per_address: int = Field(
        0, ge=0, description="of one address at the balancer; 0 = half of all that it takes"
    )
    instance_name: str = Field("w1", pattern=r"^[a-z][a-z0-9-]{0,31}$", description="name at the balancer")
    data_dir: Path = Field(Path(".wayguard"), description="what embedded engines and secrets are kept in")

    # --- who may come in
    auth_secret: SecretStr = Field(SecretStr(""), description="HS256 secret, at least 32 bytes")
    auth_jwks_url: str = Field("", description="JWKS for RS256, ES256 and EdDSA: https URL or a file path")
    auth_algorithms: Annotated[tuple[Algorithm, ...], NoDecode] = Field(
        ("HS256",), description="allowed signature algorithms"
    )
    auth_audience: str = "wayguard"
    auth_issuer: str = "wayguard"
    session_max_h: float = Field(12.0, gt=0, le=720, description="a console's session at most, in hours")
    pairing_token_days: int = Field(30, ge=1, le=365, description="a paired phone's token is good so long")
    allowed_origins: Listed = Field((), description="further web origins let in; own origin always is")
    trusted_proxies: Listed = Field(
        ("127.0.0.1/32", "::1/128"), description="networks whose X-Forwarded-For is believed"
    )

    # --- the commit path
    commit_window_ms: int = Field(5, ge=0, le=1000, description="from one commit to the next at least")
    commit_max_points: int = Field(5_000, ge=1, description="points in one transaction at most")
    commit_queue_points: int = Field(50_000, ge=1, description="points waiting; beyond it `overloaded`")
    commit_timeout_s: float = Field(10.0, gt=0, description="one transaction at most; then `unavailable`")
    db_pool_size: int = Field(6, ge=2, le=100)
    db_timeout_s: float = Field(5.0, gt=0)
    allow_unsafe_durability: bool = Field(
        False, description="start on a database with fsync, full_page_writes or synchronous_commit off"
    )
    retention_days: int = Field(30, ge=1, le=3650)
    journey_max_h: int = Field(48, ge=1, le=168, description="a journey is closed at this age")

    # --- the fan-out
    fanout_tick_ms: int = Field(100, ge=0, le=5_000, description="positions gather this long; 0 = at once")
    viewer_buffer_bytes: int = Field(256 * 1024, ge=16 * 1024, description="unsent bytes a viewer at most")
    viewer_stall_s: float = Field(15.0, gt=0, description="no progress for this long closes a viewer")
    redis_timeout_s: float = Field(2.0, gt=0)

    # --- limits
    max_frame_bytes: int = Field(256 * 1024, ge=1024)
    connect_timeout_s: float = Field(
        10.0, gt=0, description="from connect to authenticated; closed after 1.5 times at most"
    )
    ping_interval_s: float = Field(20.0, gt=0)
    ping_timeout_s: float = Field(15.0, gt=0)
    driver_points_per_s: float = Field(500.0, gt=0, description="points a second a connection, sustained")
    driver_points_burst: int = Field(20_000, ge=500, description="points a connection may send at once")
    max_feeds_per_viewer: int = Field(200, ge=1)
    stale_after_s: float = Field(60.0, gt=0, description="a connected driver silent this long is stale")
    drain_s: float = Field(5.0, ge=0, description="a drain spreads its clients over this long")

    # --- alerts
    alerts_secret: SecretStr = Field(
        SecretStr(""), description="signs answer links, encrypts local copies; default: made of AUTH_SECRET"
    )
    journal_dir: Path | None = Field(
        None, description="where SOS are kept with Postgres away; DATA_DIR/journal"
    )
    emergency_numbers: Listed = Field(
        (), description="tenant=+E164: told when a tenant has nobody else to tell"
    )
    phone_countries: Listed = Field((), description="countries (ISO 3166) contacts may be in; empty = all")
    sos_expired_days: int = Field(30, ge=0, le=365, description="an expired driver token still raises an SOS")
    delivery_timeout_s: float = Field(10.0, gt=0, le=25, description="one call to a provider at most")
    mass_silence_drivers: int = Field(
        5, ge=2, description="so many of a tenant silent at once: operator first"
    )
    mass_silence_share: float = Field(
        0.3, gt=0, le=1, description="and at least this share of its active ones"
    )
    mass_silence_hold_s: int = Field(300, ge=0, description="then contacts wait this long for a dismissal")
    incident_retention_days: int = Field(365, ge=1, le=36_500)
    geocoder_url: str = Field("", description="Nominatim base URL for addresses in messages; optional")
    operator_webhook_url: str = Field("", description="told of exhausted alerts and the auditor's findings")
    operator_webhook_secret: SecretStr = SecretStr("")
    heartbeat_url: str = Field("", description="an outside monitor that a healthy auditor calls every minute")

    # --- outside services; each is on when all that it needs is set
    twilio_account_sid: str = ""
    twilio_auth_token: SecretStr = SecretStr("")
    twilio_from: str = Field(
        "", description="number, messaging service's sid, or a name, which nobody can reply to"
    )
    twilio_call_from: str = Field(
        "", description="number that calls come from; default TWILIO_FROM when that is one"
    )
    twilio_base_url: str = Field("", description="a stand-in for Twilio, on this machine alone")
    firebase_credentials: SecretStr = Field(SecretStr(""), description="service account: a path, or its JSON")
    firebase_database_url: str = Field("", description="Realtime Database; turns the mirror on")
    fcm_base_url: str = Field("", description="a stand-in for FCM, on this machine alone")
    smtp_host: str = ""
    smtp_port: int = Field(587, ge=1, le=65535)
    smtp_username: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_from: str = ""
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    outside_allow_private: bool = Field(
        False, description="webhooks may go to private addresses; for stand-ins"
    )

    # --- pages
    map_style_url: str = Field("", description="MapLibre style for real streets; default: built-in basemap")
    log_format: Literal["text", "json"] = "text"

    @field_validator(
        "auth_algorithms",
        "allowed_origins",
        "trusted_proxies",
        "emergency_numbers",
        "phone_countries",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)
        return value

    @field_validator("twilio_base_url", "fcm_base_url", "firebase_database_url")
    @classmethod
    def _here(cls, url: str, info: ValidationInfo) -> str:
        """Credentials are for whom they were given by: what stands in for those is on this machine."""
        is_stand_in = info.field_name != "firebase_database_url" or url.startswith("http:")
        if url and is_stand_in and not urls.is_loopback(url):
            raise ValueError("a stand-in is only called on this machine: its address is not loopback")
        if url and (fault := urls.http_fault(url)):
            raise ValueError(fault)
        return url

    @field_validator("database_url", "database_direct_url", "database_replica_url")
    @classmethod
    def _of_postgres(cls, url: SecretStr) -> SecretStr:
        if (text := url.get_secret_value()) and (fault := urls.postgres_fault(text)):
            raise ValueError(f"not a URL of Postgres: {fault}")
        return url

    @field_validator("redis_url")
    @classmethod
    def _of_redis(cls, url: SecretStr) -> SecretStr:
        if (text := url.get_secret_value()) and (fault := urls.redis_fault(text)):
            raise ValueError(f"not a URL of Redis: {fault}")
        return url

    @field_validator("public_url", "safety_url")
    @classmethod
    def _origin(cls, url: str, info: ValidationInfo) -> str:
        """As a browser writes it: links, the origin check and providers' signatures are built on it."""
        if not url and info.field_name == "safety_url":
            return url
        if fault := urls.origin_fault(url):
            raise ValueError(fault)
        return urls.origin(url)

    @field_validator("operator_webhook_url", "heartbeat_url", "geocoder_url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        """A wrong address is found at the start, and not when the operator misses a call."""
        if url and (fault := urls.http_fault(url)):
            raise ValueError(fault)
        return url

    @field_validator("auth_jwks_url")
    @classmethod
    def _key_set(cls, url: str) -> str:
        if "://" in url and (fault := urls.http_fault(url)):
            raise ValueError(f"neither a path nor an address: {fault}")
        return url

    @field_validator("map_style_url")
    @classmethod
    def _style(cls, url: str) -> str:
        if url and not _OWN_PATH.fullmatch(url) and (fault := urls.http_fault(url)):
            raise ValueError(f"neither a path of this server nor an address: {fault}")
        return url

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ip_network(network)
            except ValueError:
                raise ValueError(
                    "not networks like 10.0.0.0/8 or 2001:db8::/32, separated by commas"
                ) from None
        return networks

    @field_validator("emergency_numbers")
    @classmethod
    def _dialled(cls, pairs: tuple[str, ...]) -> tuple[str, ...]:
        """The last resort is not to be passed over for a slip of the pen."""
        pairs = tuple(_dialled(pair) for pair in pairs)
        if not all(_EMERGENCY.fullmatch(pair) for pair in pairs):
            raise ValueError("not tenant=+E164, separated by commas")
        return pairs

    @field_validator("twilio_from", "twilio_call_from")
    @classmethod
    def _sender(cls, sender: str, info: ValidationInfo) -> str:
        """A sender that cannot do what it is for fails at the start, and not in the night of an alert."""
        if not sender.strip():
            return ""
        sender = sender_of(sender)
        if info.field_name == "twilio_call_from" and not can_call(sender):
            raise ValueError("it cannot make calls: a number with its country code is needed")
        return sender

    @field_validator("phone_countries")
    @classmethod
    def _countries(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_COUNTRY.fullmatch(code) for code in codes):
            raise ValueError("not codes of ISO 3166, of two letters each")
        return codes

    @model_validator(mode="after")
    def _complete(self) -> "Settings":
        if "HS256" in self.auth_algorithms and not self.auth_jwks_url:
            secret = self.auth_secret.get_secret_value()
            if secret and len(secret.encode()) < 32:
                raise ValueError("AUTH_SECRET is shorter than 32 bytes")
        if any(a != "HS256" for a in self.auth_algorithms) and not self.auth_jwks_url:
            raise ValueError("AUTH_ALGORITHMS names a public-key algorithm but AUTH_JWKS_URL is empty")
        for together in _TOGETHER:
            self._check_whole(together)
        for name, needed in _BESIDE:
            self._check_beside(name, needed)
        if not self.firebase_database_url.startswith("http:"):  # a stand-in asks for no credentials
            self._check_beside("firebase_database_url", "firebase_credentials")
        return self

    def _check_beside(self, name: str, needed: str) -> None:
        if _text(getattr(self, name)) and not _text(getattr(self, needed)):
            raise ValueError(f"{needed.upper()} missing, but {name.upper()} is set")

    def _check_whole(self, names: tuple[str, ...]) -> None:
        """A credential that is set by half would be missed in the night in which it is needed."""
        missing = [name for name in names if not _text(getattr(self, name))]
        if missing and len(missing) < len(names):
            given = next(name for name in names if name not in missing)
            absent = " and ".join(name.upper() for name in missing)
            raise ValueError(f"{absent} missing, but {given.upper()} is set")

    @property
    def alerts_key(self) -> str:
        """What answer links and webhooks are signed with, and local copies encrypted.

        ALERTS_SECRET, else a key made of AUTH_SECRET. Raises ValueError when neither is set.
        """
        if own := self.alerts_secret.get_secret_value():
            return own
        if not (auth := self.auth_secret.get_secret_value()):
            raise ValueError("neither ALERTS_SECRET nor AUTH_SECRET is set")
        return derive(auth, "alerts").hex()  # never the same: what one signs must not pass for the other's

    @property
    def answers_url(self) -> str:
        """What answer links and providers' callbacks begin with: SAFETY_URL, else PUBLIC_URL."""
        return (self.safety_url or self.public_url).rstrip("/")

    @property
    def direct_url(self) -> str:
        """The URL for session locks and migrations, which do not work through a transaction pooler."""
        return self.database_direct_url.get_secret_value() or self.database_url.get_secret_value()


def _dialled(pair: str) -> str:
    """``tenant=number`` with the number as it is dialled."""
    tenant, equals, number = pair.partition("=")
    dialled = _BETWEEN_DIGITS.sub("", plain(number))
    return f"{tenant.strip()}{equals}{'+' + dialled[2:] if dialled.startswith('00') else dialled}"


def _text(value: object) -> str:
    return (value.get_secret_value() if isinstance(value, SecretStr) else str(value)).strip()
