"""How much a connection or an address may send: token buckets. No I/O, no clock."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

SUBSCRIBERS_CACHED: Final = 4_096


@dataclass(slots=True)
class TokenBucket:
    """Allows ``burst`` at once and ``rate_per_s`` sustained. Times are monotonic seconds of one clock."""

    rate_per_s: float
    burst: float
    level: float
    at_s: float

    @classmethod
    def full(cls, rate_per_s: float, burst: float, now_s: float) -> "TokenBucket":
        """A bucket nobody has taken from."""
        return cls(rate_per_s, burst, burst, now_s)

    def take(self, amount: float, now_s: float) -> float:
        """Take ``amount`` and return 0.0; when it is not there take nothing and return the wait in s.

        More than ``burst`` takes all of a full bucket, so that waiting always helps.
        """
        burst = self.burst
        level = self.level + (now_s - self.at_s) * self.rate_per_s
        self.level = level = level if level < burst else burst
        self.at_s = now_s
        amount = amount if amount < burst else burst
        if level >= amount:
            self.level = level - amount
            return 0.0
        return (amount - level) / self.rate_per_s


class AddressBudgets:
    """A token bucket for each address, for requests of callers that are not known.

    At most ``max_addresses`` are held; beyond it the one used longest ago is dropped, and is full when it
    comes back. An IPv6 address counts as its /64, which is what one subscriber has.
    """

    def __init__(self, rate_per_s: float, burst: float, max_addresses: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._max_addresses = max_addresses
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, now_s: float) -> float:
        """Take one request of ``address`` and return 0.0, or take nothing and return the wait in s."""
        return self._bucket(address, now_s).take(1.0, now_s)

    def give_back(self, address: str, now_s: float) -> None:
        """Return one request to ``address``: it did no harm."""
        self._bucket(address, now_s).take(-1.0, now_s)

    def _bucket(self, address: str, now_s: float) -> TokenBucket:
        subscriber = network_of_subscriber(address)
        bucket = self._buckets.get(subscriber)
        if bucket is None:
            bucket = self._buckets[subscriber] = TokenBucket.full(self._rate_per_s, self._burst, now_s)
            if len(self._buckets) > self._max_addresses:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(subscriber)
        return bucket


@lru_cache(maxsize=SUBSCRIBERS_CACHED)
def network_of_subscriber(address: str) -> str:
    """Return ``address``, or the /64 that one subscriber has of IPv6.

    Of what is no address a digest, so that subscribers whose proxy hides them do not share one count, and no
    text of theirs becomes a key.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return "text-" + hashlib.sha256(address.encode(errors="replace")).hexdigest()[:16]
    if not isinstance(parsed, IPv6Address):
        return address
    mapped = parsed.ipv4_mapped
    return str(ip_network((int(parsed), 64), strict=False)) if mapped is None else str(mapped)
