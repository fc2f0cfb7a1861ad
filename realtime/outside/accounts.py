"""Accounts at the stand-ins: made up for one run, and told to everybody by the settings of the real ones.

A stand-in that is started again has the same accounts, since it reads the same environment.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from realtime.settings import Settings

HOST: Final = "127.0.0.1"
PORTS: Final = 4
"""How many ports the stand-ins need beside that of the page."""
NUMBER: Final = "+15005550006"
SENDER: Final = "sos@wayguard.example"
PROJECT: Final = "wayguard-demo"
_BELONGING: Final = ("TWILIO_", "FIREBASE_", "FCM_", "SMTP_")


def set_for_real(environ: Mapping[str, str]) -> list[str]:
    """Names in ``environ`` that say where the outside is: beside stand-ins they would be half believed."""
    return sorted(name for name, value in environ.items() if value and name.upper().startswith(_BELONGING))


def made_up(ports: Sequence[int], key: rsa.RSAPrivateKey | None = None) -> dict[str, str]:
    """The environment that turns the stand-ins on ``ports`` on, with accounts of its own.

    ``key``: of the service account, a new one by default.
    """
    twilio, fcm, database, mail = ports
    return {
        "TWILIO_ACCOUNT_SID": "AC" + secrets.token_hex(16),
        "TWILIO_AUTH_TOKEN": secrets.token_hex(16),
        "TWILIO_FROM": NUMBER,
        "TWILIO_BASE_URL": f"http://{HOST}:{twilio}",
        "FIREBASE_CREDENTIALS": service_account(f"http://{HOST}:{fcm}/token", key),
        "FCM_BASE_URL": f"http://{HOST}:{fcm}",
        "FIREBASE_DATABASE_URL": f"http://{HOST}:{database}/?ns={PROJECT}",
        "SMTP_HOST": HOST,
        "SMTP_PORT": str(mail),
        "SMTP_FROM": SENDER,
        "SMTP_SECURITY": "none",
    }


def service_account(token_uri: str, key: rsa.RSAPrivateKey | None = None) -> str:
    """The JSON that Firebase's console would hand out, with ``key`` or a new one."""
    key = key or rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": f"firebase-adminsdk@{PROJECT}.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": token_uri,
        }
    )


def ports_of(settings: Settings) -> tuple[int, int, int, int]:
    """Where the stand-ins of ``settings`` are to listen. Raises ValueError naming what is missing."""
    urls = {
        "TWILIO_BASE_URL": settings.twilio_base_url,
        "FCM_BASE_URL": settings.fcm_base_url,
        "FIREBASE_DATABASE_URL": settings.firebase_database_url,
    }
    for name, url in urls.items():
        if urlsplit(url).scheme != "http" or urlsplit(url).hostname != HOST or not urlsplit(url).port:
            raise ValueError(f"{name} is not http://{HOST}:PORT")
    if settings.smtp_host != HOST:
        raise ValueError(f"SMTP_HOST is not {HOST}")
    twilio, fcm, database = (int(urlsplit(url).port or 0) for url in urls.values())
    return twilio, fcm, database, settings.smtp_port
