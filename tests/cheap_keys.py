"""Keys and authorities that cost little: loading real ones takes most of the time of tests of push."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from realtime.outside.certificate import make_certificate


@cache
def small_key() -> rsa.RSAPrivateKey:
    """One key for the service accounts of all tests. A key of 2,048 bits takes ten times as long to load."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=1_024)


@contextmanager
def one_authority(folder: Path) -> Iterator[None]:
    """Trust one certificate, made in ``folder``, in place of the system's. For tests that speak no TLS.

    A TLS context of httpx then takes 1 ms, not 25; each client of Firebase makes six.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(make_certificate(folder, "authority.example").chain))
        yield
