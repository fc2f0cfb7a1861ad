"""The notifiers of one process, each with what bounds it: slots, breakers and budgets. Pure but for a clock.

A `ProviderRoute` is one channel of one provider: when the texts of a provider hang, its calls neither wait
for slots of the texts nor count as down. Each host of webhooks counts as a provider: it has a breaker and
slots of its own. `ProviderRoute.take` gives a `Permit`, the slot of one message, which ends once, however the
message ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alerts.attempt import Accepted, Channel, Outcome, Permanent, Retryable, StatusReport, Unsure
from alerts.delivery.breaker import Breaker
from alerts.delivery.budget import Budget, FailedTries
from alerts.delivery.slots import Slots
from alerts.leases import Lane
from alerts.ports import DeliveryJob, Notifier

SLOTS: Final = 32
"""Messages of one channel that may be under way in a process at once."""
RESERVED_SHARE: Final = 4
"""One slot of so many is reserved for SOS."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the messages of a channel in one process. Budgets are (at once, then a second)."""

    slots: int = SLOTS
    tenant_budget: tuple[int, float] = (6_000, 100.0)
    """Of one tenant: a thousand drivers who press at once, with six contacts each, are within it."""
    host_slots: int = 8
    """Of one host of webhooks for all tenants: a host that never answers holds a quarter of the channel."""
    host_budget: tuple[int, float] = (2_400, 20.0)
    """Of one tenant at one host: a thousand SOS at once are within it; it bounds what a host is sent."""
    tries: int = 30
    tries_window_s: float = 600.0
    """After so many failures of a tenant's address itself, its further tries are refused or spaced."""
    spacing_s: float = 1.0
    """Between two tries of a spent address, where they may not be refused (an SOS, an all-clear)."""
    remembered: int = 10_000
    """Tenants, hosts and addresses that are remembered at most."""


LIMITS: Final = Limits()


class Permit:
    """The slot of one message. `end` gives it back; every further `end` does nothing."""

    __slots__ = ("_host", "_is_over", "_is_probe", "_way", "lane")

    def __init__(self, way: "ProviderRoute", lane: Lane, host: "_Host | None", is_probe: bool) -> None:
        self.lane: Final = lane
        self._way: Final = way
        self._host: Final = host
        self._is_probe: Final = is_probe
        self._is_over = False

    def end(self, outcome: Outcome | None, now_s: float) -> None:
        """Give the slot back. ``outcome``: of the call; None when none was made."""
        if not self._is_over:
            self._is_over = True
            self._way._end(self.lane, self._host, self._is_probe, outcome, now_s)


class ProviderRoute:
    """One channel of one provider. ``breaker``: the provider's; a webhook's host has one of its own."""

    def __init__(self, notifier: Notifier, limits: Limits = LIMITS, breaker: Breaker | None = None) -> None:
        self.notifier: Final = notifier
        self.breaker: Final = breaker or Breaker()
        self.failed_tries: Final = FailedTries(
            limits.tries, limits.tries_window_s, limits.spacing_s, limits.remembered
        )
        """Failures by address; those of the provider are the breaker's."""
        self._limits: Final = limits
        self._slots: Final = Slots(limits.slots, limits.slots // RESERVED_SHARE)
        self._budgets: Final[dict[str, Budget]] = {}
        self._hosts: Final[dict[str, Slots]] = {}
        self._of_host: Final[dict[tuple[str, str], _Host]] = {}

    def __repr__(self) -> str:
        return f"Way({self.notifier.channel}, {self._slots!r}, {self.breaker!r})"

    @property
    def taken(self) -> int:
        """How many messages are under way, or claimed at this moment."""
        return self._slots.taken

    def room(self, now_s: float) -> int:
        """Return how many messages may begin now. Never negative."""
        return self.breaker.room(now_s, self._slots.free)

    def room_for_others(self, now_s: float) -> int:
        """Return how many messages that are no SOS may begin now. Never negative."""
        return self.breaker.room(now_s, self._slots.free_for_others)

    def hosts_down(self, now_s: float) -> int:
        """Return for how many hosts of webhooks the breaker is open, counted tenant by tenant."""
        return sum(host.breaker.is_down(now_s) for host in self._of_host.values())

    def take(self, lane: Lane, now_s: float) -> Permit | None:
        """Take a slot for one message of ``lane``; None when it may not begin now. Does not wait."""
        slots_of_host, host = self._host_of(lane)
        breaker = self.breaker if host is None else host.breaker
        budget = self._budget_of(lane.tenant)
        if not (
            breaker.room(now_s, 1)
            and self._slots.has_room(lane.tenant, lane.is_sos)
            and budget.has(now_s, lane.is_sos)
            and (slots_of_host is None or slots_of_host.has_room(lane.tenant, lane.is_sos))
            and (host is None or host.budget.has(now_s, lane.is_sos))
        ):
            return None
        is_probe = breaker.began(now_s)
        self._slots.take(lane.tenant, lane.is_sos)
        budget.spend(now_s)
        if slots_of_host is not None and host is not None and lane.host is not None:
            self._hosts[lane.host] = slots_of_host
            self._of_host[lane.tenant, lane.host] = host
            slots_of_host.take(lane.tenant, lane.is_sos)
            host.budget.spend(now_s)
            host.under_way += 1
        self._budgets[lane.tenant] = budget
        self._forget(now_s)
        return Permit(self, lane, host, is_probe)

    def full_tenants(self, now_s: float, is_sos: bool) -> set[str]:
        """Return the known tenants whose next message may not begin."""
        spent = {tenant for tenant, budget in self._budgets.items() if not budget.has(now_s, is_sos)}
        return spent.union(self._slots.full_tenants(is_sos))

    def full_hosts(self, now_s: float, is_sos: bool) -> set[tuple[str, str]]:
        """Return (tenant, host) of webhooks that may not begin; an empty tenant stands for all."""
        full = {
            key
            for key, host in self._of_host.items()
            if not (host.breaker.room(now_s, 1) and host.budget.has(now_s, is_sos))
        }
        for host_name, slots in self._hosts.items():
            if not (slots.free if is_sos else slots.free_for_others):
                full.add(("", host_name))
            full.update((tenant, host_name) for tenant in slots.full_tenants(is_sos))
        return full

    def _end(
        self, lane: Lane, host: "_Host | None", is_probe: bool, outcome: Outcome | None, now_s: float
    ) -> None:
        self._slots.give_back(lane.tenant, lane.is_sos)
        if host is not None and lane.host is not None:
            slots = self._hosts[lane.host]
            slots.give_back(lane.tenant, lane.is_sos)
            if not slots.taken:
                del self._hosts[lane.host]
            host.under_way -= 1
        if outcome is None:
            self._budgets[lane.tenant].refund()
            if host is not None:
                host.budget.refund()
        _learn(self.breaker if host is None else host.breaker, outcome, is_probe, now_s)

    def _host_of(self, lane: Lane) -> "tuple[Slots, _Host] | tuple[None, None]":
        if lane.host is None:
            return None, None
        slots = self._hosts.get(lane.host)
        host = self._of_host.get((lane.tenant, lane.host))
        limits = self._limits
        return (
            slots or Slots(limits.host_slots, limits.host_slots // 2),
            host or _Host(Breaker(), Budget(*limits.host_budget)),
        )

    def _budget_of(self, tenant: str) -> Budget:
        return self._budgets.get(tenant) or Budget(*self._limits.tenant_budget)

    def _forget(self, now_s: float) -> None:
        """Forget beyond the bound: first what is as new, then what is oldest."""
        most = self._limits.remembered
        if len(self._of_host) > most:
            for key in [key for key, host in self._of_host.items() if host.is_idle(now_s)]:
                del self._of_host[key]
            for key in [key for key, host in self._of_host.items() if not host.under_way]:
                if len(self._of_host) <= most:
                    break
                del self._of_host[key]
        if len(self._budgets) > most:
            busy = self._slots.tenants
            for tenant in [t for t, budget in self._budgets.items() if budget.is_idle(now_s)]:
                if tenant not in busy:
                    del self._budgets[tenant]
            for tenant in [tenant for tenant in self._budgets if tenant not in busy]:
                if len(self._budgets) <= most:
                    break
                del self._budgets[tenant]


@dataclass(slots=True)
class _Host:
    """A tenant's webhooks at one host: one tenant's receiver says nothing about another tenant's."""

    breaker: Breaker
    budget: Budget
    under_way: int = 0

    def is_idle(self, now_s: float) -> bool:
        """Return whether breaker and budget are as new ones."""
        return not self.under_way and self.breaker.is_fresh and self.budget.is_idle(now_s)


def _learn(breaker: Breaker, outcome: Outcome | None, is_probe: bool, now_s: float) -> None:
    match outcome:
        case None:
            breaker.abandoned(is_probe)
        case Retryable(provider_down=True):
            breaker.struck(now_s, outcome.retry_after_s, is_probe=is_probe)
        case Unsure():
            breaker.struck(now_s, is_probe=is_probe)
        case Accepted() | Permanent() | Retryable():
            breaker.well()


class Unconfigured:
    """The notifier of a channel without a provider: each message fails, so that a fallback is notified."""

    provider = "none"

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def send(self, job: DeliveryJob, timeout_s: float) -> Outcome:
        """Return Permanent: there is no provider."""
        return Permanent("not_configured")

    async def look_up(self, job: DeliveryJob, timeout_s: float) -> StatusReport | Unsure | None:
        """Return Unsure: a process that has a provider may have sent it."""
        return Unsure("not_configured")

    async def close(self) -> None:
        """Do nothing."""


def ways_of(notifiers: Mapping[Channel, Notifier], limits: Limits = LIMITS) -> dict[Channel, ProviderRoute]:
    """Return a way for each channel."""
    return {
        channel: ProviderRoute(notifiers.get(channel) or Unconfigured(channel), limits) for channel in Channel
    }


def down(ways: Mapping[Channel, ProviderRoute], now_s: float) -> frozenset[Channel]:
    """Return the channels whose breaker is open. Those of single hosts of webhooks do not count."""
    return frozenset(channel for channel, way in ways.items() if way.breaker.is_down(now_s))
