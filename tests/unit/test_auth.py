"""Tokens as a forger would make them."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from realtime.auth.tokens import MAX_TOKEN_CHARS, Authenticator, mint
from realtime.fanout.engineio.frames import json_bytes
from realtime.protocol import Code, Refused
from realtime.settings import Settings

SECRET = "0123456789abcdef0123456789abcdef"
SETTINGS = Settings(auth_secret=SECRET)
AUTHENTICATOR = Authenticator(SETTINGS)


def claims(**more: Any) -> dict[str, Any]:
    now_s = int(time.time())
    made = {
        "sub": "d1",
        "role": "driver",
        "tenant": "t1",
        "vendors": ["v1"],
        "driver": "d1",
        "jti": "j1",
        "aud": "wayguard",
        "iss": "wayguard",
        "exp": now_s + 600,
    }
    made.update(more)
    return {name: value for name, value in made.items() if value is not ...}


def signed(payload: Any, key: Any = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    """With HS256 by hand: a forger's library checks nothing."""
    if algorithm != "HS256":
        return jwt.encode(payload, key, algorithm=algorithm, headers=header or None)
    head, body, _ = by_hand({"alg": "HS256", "typ": "JWT", **header}, payload).split(".")
    secret = key.encode() if isinstance(key, str) else key
    return f"{head}.{body}.{b64(hmac.digest(secret, f'{head}.{body}'.encode(), hashlib.sha256))}"


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def by_hand(header: dict[str, Any], payload: Any, signature: bytes = b"") -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(payload).encode())}.{b64(signature)}"


def refused(token: object, authenticator: Authenticator = AUTHENTICATOR) -> Refused:
    with pytest.raises(Refused) as raised:
        authenticator.verify(token)
    assert len(raised.value.message) < 300
    assert SECRET not in raised.value.message
    return raised.value


def test_a_minted_token_is_let_in() -> None:
    principal = AUTHENTICATOR.verify(mint(SETTINGS, role="driver", tenant="t1", vendors=["v1"], driver="d1"))
    assert (principal.role, principal.tenant, principal.driver, principal.home_vendor) == (
        "driver",
        "t1",
        "d1",
        "v1",
    )
    everybody = AUTHENTICATOR.verify(mint(SETTINGS, role="admin", tenant="t1", vendors=None))
    assert everybody.vendors is None
    assert everybody.home_vendor is None


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "", "HS384", "HS512", "RS256", "XX", None, 5, ["HS256"]]
)
def test_no_other_algorithm_is_taken(alg: Any) -> None:
    assert refused(by_hand({"alg": alg, "typ": "JWT"}, claims())).code is Code.UNAUTHENTICATED
    assert refused(by_hand({"alg": alg}, claims(), b"\0" * 32)).code is Code.UNAUTHENTICATED


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_right_signature_by_another_algorithm_is_not(algorithm: str) -> None:
    secret = SECRET * 2
    assert refused(signed(claims(), secret, algorithm), Authenticator(Settings(auth_secret=secret)))


@pytest.mark.parametrize(
    "token", [None, 5, b"x", [], {}, "", "x", "..", "a.b.c", "é.é.é", "\0", "\ud800.x.y", "a" * 9_000]
)
def test_what_is_no_token_is_refused(token: object) -> None:
    assert refused(token).code is Code.UNAUTHENTICATED


def test_a_huge_token_is_refused_before_it_is_read() -> None:
    huge = signed(claims(extra="x" * MAX_TOKEN_CHARS))
    assert "longer" in refused(huge).message


@given(st.text(max_size=100))
def test_any_text_is_refused(text: str) -> None:
    refused(text)
    refused(f"{signed(claims())[:-1]}{text}" if text.strip("=") else "x")


def test_every_byte_of_the_signature_counts() -> None:
    head, body, signature = signed(claims()).split(".")
    other = "A" if signature[5] != "A" else "B"
    assert refused(f"{head}.{body}.{signature[:5]}{other}{signature[6:]}").code is Code.UNAUTHENTICATED
    assert refused(f"{head}.{body}.").code is Code.UNAUTHENTICATED
    admin = b64(json.dumps(claims(role="admin")).encode())
    assert refused(f"{head}.{admin}.{signature}").code is Code.UNAUTHENTICATED
    assert refused(signed(claims(), "another secret of thirty-two byte")).code is Code.UNAUTHENTICATED


@pytest.mark.parametrize("claim", ["aud", "iss", "exp", "sub", "role", "tenant", "vendors", "driver"])
def test_a_claim_that_is_needed_is_missed(claim: str) -> None:
    assert refused(signed(claims(**{claim: ...}))).code is Code.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("aud", "other"),
        ("aud", ["other"]),
        ("aud", []),
        ("aud", 5),
        ("iss", "other"),
        ("iss", ["wayguard"]),
        ("iss", None),
        ("exp", "soon"),
        ("exp", None),
        ("exp", float("nan")),
        ("exp", float("inf")),
        ("exp", [1]),
        ("nbf", float("nan")),
        ("nbf", "soon"),
        ("iat", float("inf")),
        ("iat", [1]),
        ("sub", 5),
        ("sub", None),
        ("sub", "a\0b"),
        ("sub", "\ud800"),
        ("sub", "x" * 129),
        ("jti", "\ud800"),
        ("jti", "a\nb"),
        ("jti", "x" * 10_000),
        ("role", "root"),
        ("role", "share"),
        ("role", ["admin"]),
        ("role", {"admin": 1}),
        ("tenant", "a/b"),
        ("tenant", "../t1"),
        ("tenant", "t1\0"),
        ("tenant", "t" * 10_000),
        ("tenant", ""),
        ("tenant", "tenant one"),
        ("tenant", ["t1"]),
        ("tenant", "{t1}"),
        ("tenant", "tё"),
        ("vendors", "v1"),
        ("vendors", "**"),
        ("vendors", {"v1": 1}),
        ("vendors", ["v1", "v2"]),
        ("vendors", []),
        ("vendors", [["v1"]]),
        ("vendors", [None]),
        ("vendors", "*"),
        ("vendors", ["v/1"]),
        ("vendors", [f"v{n}" for n in range(1_001)]),
        ("driver", "a/b"),
        ("driver", 7),
        ("driver", ""),
        ("driver", "d\n1"),
    ],
)
def test_a_claim_that_is_wrong_is_refused(claim: str, value: Any) -> None:
    assert refused(signed(claims(**{claim: value}))).code is Code.UNAUTHENTICATED


@pytest.mark.parametrize("payload", [[], "x", 5, None])
def test_a_payload_that_is_no_object_is_refused(payload: Any) -> None:
    assert refused(signed(payload)).code is Code.UNAUTHENTICATED


def test_expired_is_told_apart() -> None:
    assert refused(signed(claims(exp=int(time.time()) - 60))).code is Code.TOKEN_EXPIRED
    assert refused(signed(claims(exp=0))).code is Code.TOKEN_EXPIRED


@pytest.mark.parametrize(
    ("times", "is_let_in"),
    [
        ({"exp": -29 * 86_400}, True),
        ({"exp": -31 * 86_400}, False),
        ({"iat": 3_600, "exp": 7_200}, True),
        ({"nbf": 3_600, "exp": 7_200}, True),
    ],
)
def test_for_an_sos_a_token_may_be_of_another_hour_and_of_the_last_month(
    times: dict[str, int], is_let_in: bool
) -> None:
    """A clock that jumped back makes a fresh token one of the future."""
    token = signed(claims(**{claim: int(time.time()) + s for claim, s in times.items()}))
    assert refused(token).code in (Code.TOKEN_EXPIRED, Code.TOKEN_NOT_YET_VALID)
    if is_let_in:
        assert AUTHENTICATOR.verify(token, expired_s=30 * 86_400).sub
    else:
        with pytest.raises(Refused) as refusal:
            AUTHENTICATOR.verify(token, expired_s=30 * 86_400)
        assert refusal.value.code is Code.TOKEN_EXPIRED


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize("ahead_s", [0, 5, 30, 59, 59.5])
def test_a_token_of_a_clock_that_is_a_minute_ahead_is_let_in(claim: str, ahead_s: float) -> None:
    assert AUTHENTICATOR.verify(signed(claims(**{claim: time.time() + ahead_s}))).sub == "d1"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize("ahead_s", [62, 3_600, 10**9, 1.8e12])
def test_a_token_of_a_clock_further_ahead_is_to_be_shown_again(claim: str, ahead_s: float) -> None:
    refusal = refused(signed(claims(**{claim: time.time() + ahead_s})))
    assert refusal.code is Code.TOKEN_NOT_YET_VALID
    assert refusal.retryable
    assert refusal.retry_after_s is not None
    assert 0 < refusal.retry_after_s <= 60


@pytest.mark.parametrize(
    "spelled",
    [
        lambda token: f" {token}\n",
        lambda token: "\r\n".join(token[at : at + 64] for at in range(0, len(token), 64)),
        lambda token: ".".join(part + "=" * (-len(part) % 4) for part in token.split(".")),
        lambda token: f"Bearer {token}",
        lambda token: f"bearer\t{token}",
    ],
)
def test_a_token_that_was_wrapped_padded_or_copied_with_its_scheme_is_let_in(spelled: Any) -> None:
    assert AUTHENTICATOR.verify(spelled(signed(claims()))).sub == "d1"


@pytest.mark.parametrize("exp", [2**62, 10**17, 1e300])
def test_a_token_almost_for_ever_can_still_be_told_to_its_bearer(exp: float) -> None:
    principal = AUTHENTICATOR.verify(signed(claims(exp=exp)))
    assert json_bytes(principal.expires_ms)


# --- key sets


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Authenticator:
    """Takes HS256 with our secret and public-key signatures by the keys of a set."""
    keys = []
    for kid, private, algorithm in (
        ("r", RSA, jwt.algorithms.RSAAlgorithm),
        ("e", EC, jwt.algorithms.ECAlgorithm),
        ("d", ED, jwt.algorithms.OKPAlgorithm),
    ):
        key = json.loads(algorithm.to_jwk(private.public_key()))  # type: ignore[attr-defined]
        keys.append({**key, "kid": kid, "use": "sig"})
    path: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_text(json.dumps({"keys": keys}))
    return Authenticator(
        Settings(
            auth_secret=SECRET,
            auth_jwks_url=str(path),
            auth_algorithms=("HS256", "RS256", "ES256", "EdDSA"),
        )
    )


@pytest.mark.parametrize(
    ("algorithm", "key", "kid"), [("RS256", RSA, "r"), ("ES256", EC, "e"), ("EdDSA", ED, "d")]
)
def test_a_key_of_the_set_signs(keyed: Authenticator, algorithm: str, key: Any, kid: str) -> None:
    assert keyed.verify(signed(claims(), key, algorithm, kid=kid)).driver == "d1"
    assert refused(signed(claims(), key, algorithm, kid="unknown"), keyed).code is Code.UNAUTHENTICATED


class KeySetHost:
    """A key set over HTTP, in a thread of its own; counts how often it is asked."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.asked = 0
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked += 1
                self.send_response(200)
                self.end_headers()
                self.wfile.write(host.body)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def host() -> Iterator[KeySetHost]:
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key()))
    served = KeySetHost(json.dumps({"keys": [{**key, "kid": "r", "use": "sig"}]}).encode())
    yield served
    served.server.shutdown()
    served.server.server_close()


def fetching(host: KeySetHost) -> Authenticator:
    return Authenticator(Settings(auth_jwks_url=host.url, auth_algorithms=("RS256",)))


def test_a_made_up_key_id_does_not_keep_us_fetching(host: KeySetHost) -> None:
    remote = fetching(host)
    assert remote.verify(signed(claims(), RSA, "RS256", kid="r")).driver == "d1"
    for n in range(20):
        assert refused(signed(claims(), RSA, "RS256", kid=f"x{n}"), remote).code is Code.UNAUTHENTICATED
    assert host.asked <= 2, "once for the set, once more because a key might be new"


def test_a_key_that_is_new_is_fetched(host: KeySetHost) -> None:
    remote = fetching(host)
    assert remote.verify(signed(claims(), RSA, "RS256", kid="r"))
    host.body = host.body.replace(b'"kid": "r"', b'"kid": "new"')
    assert remote.verify(signed(claims(), RSA, "RS256", kid="new")).driver == "d1"


def test_a_key_set_that_cannot_be_read_is_our_trouble_and_not_the_tokens(host: KeySetHost) -> None:
    host.body = b"<html>sorry</html>"
    assert refused(signed(claims(), RSA, "RS256", kid="r"), fetching(host)).code is Code.UNAVAILABLE


@pytest.mark.parametrize("encoding", ["PEM", "DER"])
def test_a_public_key_is_no_secret(keyed: Authenticator, encoding: str) -> None:
    """The oldest confusion: the set's public key used as an HS256 secret."""
    public = RSA.public_key().public_bytes(
        getattr(serialization.Encoding, encoding), serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert refused(signed(claims(), public, kid="r"), keyed).code is Code.UNAUTHENTICATED


def test_a_key_of_another_kind_or_owner_does_not_sign(keyed: Authenticator) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert refused(signed(claims(), stranger, "RS256", kid="r"), keyed).code is Code.UNAUTHENTICATED
    for kid in ("e", "d"):
        assert refused(signed(claims(), RSA, "RS256", kid=kid), keyed).code is Code.UNAUTHENTICATED
    assert refused(signed(claims(), EC, "ES256", kid="r"), keyed).code is Code.UNAUTHENTICATED
    assert refused(by_hand({"alg": "none", "kid": "r"}, claims()), keyed).code is Code.UNAUTHENTICATED
    for kid in ([], {}, 5, "\ud800"):
        assert refused(by_hand({"alg": "RS256", "kid": kid}, claims(), b"x"), keyed)


def test_a_key_in_the_tokens_own_header_is_not_looked_at(keyed: Authenticator) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key()))
    token = signed(claims(), stranger, "RS256", kid="r", jwk=own, jku="https://evil.example/jwks.json")
    assert refused(token, keyed).code is Code.UNAUTHENTICATED


def test_a_key_set_without_a_secret_takes_no_shared_secret(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key()))]}))
    only = Authenticator(Settings(auth_jwks_url=str(path), auth_algorithms=("HS256", "RS256")))
    assert refused(signed(claims(), ""), only).code is Code.UNAUTHENTICATED
    assert refused(signed(claims()), only).code is Code.UNAUTHENTICATED
    assert only.verify(signed(claims(), RSA, "RS256")).driver == "d1"


def test_nothing_to_verify_with_is_an_error_at_start() -> None:
    with pytest.raises(ValueError, match="AUTH_SECRET"):
        Authenticator(Settings())
