"""Lanes of one channel: tenants, and the hosts of webhooks."""

from collections.abc import Iterable

from alerts.attempt import Accepted, Channel, Outcome, Retryable, Unsure
from alerts.delivery.routes import Limits, Permit, ProviderRoute, down
from alerts.leases import OPERATOR_HOST, Lane
from tests.alerts.delivery.fakes import FakeProvider

LOST = Unsure("timeout")


def hooks(limits: Limits | None = None) -> ProviderRoute:
    """Webhooks."""
    return ProviderRoute(FakeProvider(Channel.WEBHOOK), limits or Limits())


def to(host: str, tenant: str = "t1", *, is_sos: bool = True) -> Lane:
    """A webhook of ``tenant`` to ``host``."""
    return Lane(Channel.WEBHOOK, tenant, is_sos, host)


def all_of(way: ProviderRoute, lanes: Iterable[Lane], now_s: float = 0.0) -> list[Permit]:
    """Slots for every lane that has one, one after the other."""
    return [permit for lane in lanes if (permit := way.take(lane, now_s)) is not None]


def try_once(way: ProviderRoute, lane: Lane, outcome: Outcome, now_s: float = 0.0) -> None:
    """One message, and what its provider says."""
    permit = way.take(lane, now_s)
    assert permit is not None
    permit.end(outcome, now_s)


def test_a_host_that_never_answers_holds_a_quarter_of_the_slots() -> None:
    way = hooks()
    held = all_of(way, [to("hangs.example")] * 100)
    assert 0 < len(held) <= 8
    held += all_of(way, [to("hangs.example", tenant=f"t{n}") for n in range(100)])
    assert len(held) == 8, "whoever names it"
    assert way.take(to("well.example"), 0.0) is not None
    assert ("", "hangs.example") in way.full_hosts(0.0, is_sos=True)


def test_other_messages_to_a_host_leave_slots_to_an_sos_to_the_same_host() -> None:
    way = hooks()
    all_of(way, [to("slow.example", tenant=f"t{n}", is_sos=False) for n in range(100)])
    assert ("", "slow.example") in way.full_hosts(0.0, is_sos=False)
    assert way.take(to("slow.example"), 0.0) is not None


def test_a_host_that_never_answers_for_35_minutes_costs_few_tries_and_few_slots() -> None:
    """Its tenant always has more to send; each try hangs for 10 s. It was 4,600 tries and all 32 slots."""
    way, tries, most = hooks(), 0, 0
    under_way: list[tuple[float, Permit]] = []
    for tick in range(35 * 60 * 4):
        now_s = tick / 4
        for ends_s, permit in under_way:
            if ends_s <= now_s:
                permit.end(LOST, now_s)
        under_way = [one for one in under_way if one[0] > now_s]
        while (permit := way.take(to("hangs.example"), now_s)) is not None:
            under_way.append((now_s + 10.0, permit))
            tries += 1
        most = max(most, len(under_way))
        other = way.take(to("well.example", tenant="t2"), now_s)
        assert other is not None, "the others go on all the while"
        other.end(Accepted(None, "200"), now_s)
    assert most <= 8
    assert 35 < tries < 80, "it is probed every 40 s"


def test_lost_replies_of_one_host_close_no_other_host_and_not_the_channel() -> None:
    way = hooks()
    for _ in range(3):
        try_once(way, to("hangs.example"), LOST)
    assert way.take(to("hangs.example"), 0.0) is None
    assert ("t1", "hangs.example") in way.full_hosts(0.0, is_sos=True)
    assert way.hosts_down(0.0) == 1
    assert way.take(to("well.example"), 0.0) is not None
    assert way.take(to("hangs.example", tenant="t2"), 0.0) is not None, "of another tenant it says nothing"
    assert down({Channel.WEBHOOK: way}, 0.0) == frozenset()


def test_a_tenant_that_names_the_operators_host_closes_nothing_of_the_operators() -> None:
    way = hooks()
    for _ in range(3):
        try_once(way, to("desk.example"), LOST)
    assert way.take(to(OPERATOR_HOST), 0.0) is not None


def test_a_host_is_probed_by_one_message_and_is_back_when_that_is_accepted() -> None:
    way = hooks()
    for _ in range(3):
        try_once(way, to("hangs.example"), LOST)
    (probe,) = all_of(way, [to("hangs.example")] * 5, now_s=2.0)
    probe.end(Accepted(None, "200"), 2.5)
    assert len(all_of(way, [to("hangs.example")] * 3, now_s=2.5)) == 3


def test_a_call_from_before_the_breaker_opened_does_not_end_the_probe() -> None:
    way = hooks()
    late, *rest = all_of(way, [to("hangs.example")] * 4)
    for permit in rest:
        permit.end(LOST, 0.0)
    probe = way.take(to("hangs.example"), 2.0)
    assert probe is not None
    late.end(LOST, 2.1)
    assert way.take(to("hangs.example"), 2.2) is None, "one probes; a second may not begin"
    probe.end(Accepted(None, "200"), 2.3)
    assert way.take(to("hangs.example"), 2.3) is not None


def test_a_provider_that_fails_closes_its_channel_for_all() -> None:
    way = ProviderRoute(FakeProvider(Channel.SMS))
    for tenant in ("t1", "t2", "t3"):
        try_once(way, Lane(Channel.SMS, tenant, is_sos=True), Retryable("http_500", provider_down=True))
    assert way.room(0.0) == 0
    assert down({Channel.SMS: way}, 0.0) == {Channel.SMS}


def test_the_budget_of_one_host_is_not_that_of_another_nor_of_another_tenant() -> None:
    way = hooks(Limits(host_budget=(4, 0.001)))
    for _ in range(4):
        try_once(way, to("busy.example"), Accepted(None, "200"))
    assert way.take(to("busy.example"), 0.0) is None
    assert way.take(to("quiet.example"), 0.0) is not None
    assert way.take(to("busy.example", tenant="t2"), 0.0) is not None


def test_the_budget_of_one_tenant_is_not_that_of_another() -> None:
    way = ProviderRoute(FakeProvider(Channel.SMS), Limits(tenant_budget=(4, 0.001)))
    for _ in range(4):
        try_once(way, Lane(Channel.SMS, "t1", is_sos=True), Accepted("P", "queued"))
    assert way.take(Lane(Channel.SMS, "t1", is_sos=True), 0.0) is None
    assert way.full_tenants(0.0, is_sos=True) == {"t1"}
    assert way.take(Lane(Channel.SMS, "t2", is_sos=True), 0.0) is not None


def test_a_permit_ends_once() -> None:
    way = hooks()
    permit = way.take(to("a.example"), 0.0)
    assert permit is not None
    for _ in range(3):
        permit.end(None, 0.0)
    assert (way.taken, way.room(0.0)) == (0, 32)


def test_what_is_remembered_of_hosts_and_tenants_is_bounded() -> None:
    way = hooks(Limits(remembered=50))
    under_way = way.take(to("first.example", tenant="first"), 0.0)
    for n in range(500):
        try_once(way, to(f"h{n}.example", tenant=f"t{n}"), LOST)
    assert len(way._of_host) <= 51
    assert len(way._budgets) <= 51
    assert under_way is not None
    under_way.end(LOST, 0.0)
    assert way.taken == 0
