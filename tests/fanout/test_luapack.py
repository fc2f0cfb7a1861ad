"""What is packed for a script is what the script reads, on every kind of Redis that is there."""

import redis.asyncio as redis
from hypothesis import given
from hypothesis import strategies as st

from realtime.redis.lua import pack

ECHO = "return cmsgpack.unpack(ARGV[1])"


async def test_a_script_reads_what_was_packed_whatever_the_bytes(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url, socket_timeout=10)
    odd = [b"", b"x" * 70_000, bytes(range(256)), b"\xc1", *(b"%d" % n for n in range(2_000))]
    assert await client.eval(ECHO, 0, pack(odd)) == odd  # type: ignore[misc]
    assert await client.eval(ECHO, 0, pack([])) == []  # type: ignore[misc]
    await client.aclose()


@given(st.lists(st.binary(max_size=300), max_size=30))
def test_a_pack_is_as_long_as_its_strings_and_five_bytes_each(strings: list[bytes]) -> None:
    assert len(pack(strings)) == 5 + sum(5 + len(string) for string in strings)
