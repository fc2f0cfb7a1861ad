"""Which open alerts keep a link to a journey good, as far as a process has received them."""

from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import pytest

from alerts.alert import Alert, Kind, Press, opened_alert
from realtime.alerting.open_alerts import OpenAlerts
from realtime.auth.tokens import Principal, ShareGrant
from realtime.sockets.link_expiry import is_kept_good

JOURNEY = UUID("0199d2c8-0000-7000-8000-000000000001")


def alert(tenant: str = "t1", driver: str = "d1", drill: bool = False) -> Alert:
    """An open alert that names the journey."""
    press = Press(
        tenant=tenant,
        vendor="north",
        driver=driver,
        sos_id=UUID(int=1),
        kind=Kind.SOS,
        received_ms=10,
        pressed_ms=10,
        source="test",
        journey_id=JOURNEY,
        drill=drill,
    )
    return opened_alert(press, 0, 10).alert


HOLDER = Principal(
    sub="share:s1",
    role="share",
    tenant="t1",
    vendors=frozenset(),
    driver=None,
    jti=None,
    expires_ms=20,
    share=ShareGrant("s1", str(JOURNEY), "journey", driver="d1"),
)


@pytest.mark.parametrize(
    ("one", "holder", "expected"),
    [
        (alert(), HOLDER, True),
        (alert(driver="d2"), HOLDER, False),
        (alert(tenant="t2"), HOLDER, False),
        (alert(drill=True), HOLDER, False),
        (alert(), replace(HOLDER, expires_ms=9), False),
        (alert(), replace(HOLDER, share=None), False),
    ],
)
def test_a_link_is_kept_good_by_an_sos_of_its_own_driver_alone(
    one: Alert, holder: Principal, expected: bool
) -> None:
    news = OpenAlerts(cast(Any, None))
    news._open[one.alert_id] = one
    assert is_kept_good(news, holder) is expected
