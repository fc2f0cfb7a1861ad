"""Who watches what on this instance: a feed for each label of a member, and the channels it keeps open."""

from typing import NamedTuple

from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.feeds.area import AreaFeed
from realtime.fanout.feeds.areas import Areas
from realtime.fanout.feeds.feed import Feed, PresenceSideFeed, beside
from realtime.fanout.hub.channel import FeedChannel
from realtime.fanout.hub.dirty import DirtyFeeds
from realtime.fanout.hub.registry import ChannelRegistry


class Membership(NamedTuple):
    """What a member watches, and the channels that feed it."""

    feed: Feed | AreaFeed
    channels: tuple[FeedChannel, ...]


class Memberships:
    """Memberships by member and label. A feed that nobody is a member of any more is given up."""

    def __init__(self, channels: ChannelRegistry, areas: Areas, dirty: DirtyFeeds) -> None:
        self._channels = channels
        self._areas = areas
        self._dirty = dirty
        self._of: dict[EngineSocket, dict[str, Membership]] = {}

    def __len__(self) -> int:
        """Members."""
        return len(self._of)

    def feed(self, label: str, member: EngineSocket) -> Feed | AreaFeed | None:
        """What ``member`` watches by this label."""
        membership = self._of.get(member, {}).get(label)
        return membership.feed if membership is not None else None

    def labels(self, member: EngineSocket) -> list[str]:
        """What ``member`` watches; what stands beside that is not named."""
        watched = self._of.get(member, {}).items()
        return [label for label, membership in watched if not isinstance(membership.feed, PresenceSideFeed)]

    def admit(self, new: Membership, member: EngineSocket) -> bool:
        """Note the membership; False for one that is going. A feed watched before is begun anew."""
        if member.is_leaving:
            self.give_up(new)
            return False
        labels = self._of.setdefault(member, {})
        before = labels.get(new.feed.label)
        labels[new.feed.label] = new
        for channel in new.channels:
            self._channels.keep(channel)
        if before is not None:
            self._end(before, member, but=new.feed)
        return True

    def leave(self, label: str, member: EngineSocket) -> bool:
        """End a membership, and what stands beside it; False when there was none."""
        labels = self._of.get(member, {})
        membership = labels.pop(label, None)
        if membership is None:
            return False
        self._end(membership, member)
        if (other := labels.pop(beside(label), None)) is not None:
            self._end(other, member)
        return True

    def drop(self, member: EngineSocket) -> None:
        """End every membership of a client that has gone."""
        for label in self.labels(member):
            self.leave(label, member)
        self._of.pop(member, None)

    def _end(self, membership: Membership, member: EngineSocket, but: Feed | AreaFeed | None = None) -> None:
        membership.feed.leave(member)
        if membership.feed is not but:
            self.give_up(membership)
        for channel in membership.channels:
            self._channels.release(channel)

    def give_up(self, membership: Membership) -> None:
        """Forget a feed if it has no members."""
        feed, channels = membership
        if feed.members:
            return
        if isinstance(feed, Feed):
            channels[0].remove(feed)
            self._dirty.forget(feed)
        else:
            self._areas.forget(feed, channels)
