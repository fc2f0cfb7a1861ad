"""An unmasked frame is found wherever it stands and however the bytes are cut into reads."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from realtime.fanout.engineio.masking import MaskCheck
from tests.fanout.engineio.kit import masked

SIZES = st.one_of(
    st.integers(0, 130), st.sampled_from([125, 126, 127, 65_534, 65_535, 65_536, 65_540, 70_000])
)
FIRST = st.sampled_from([0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8A, 0x88])


def unmasked(size: int, first: int) -> bytes:
    """A frame as a server sends them."""
    frame = masked(bytes(size), first)
    key_at = {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
    return frame[:1] + bytes((frame[1] & 0x7F,)) + frame[2:key_at] + frame[key_at + 4 :]


@st.composite
def reads(draw: st.DrawFn) -> tuple[list[bytes], int | None]:
    """What comes, read by read, and where in all of it the unmasked frame begins."""
    stream = b"".join(masked(bytes(size), draw(FIRST)) for size in draw(st.lists(SIZES, max_size=5)))
    at = None
    if draw(st.booleans()):
        at = len(stream)
        stream += unmasked(draw(SIZES), draw(FIRST)) + masked(b"after")
    near = [] if at is None else [at, at + 1, at + 2, at + 3]
    cuts = draw(st.lists(st.one_of(st.integers(0, len(stream)), st.sampled_from([0, *near])), max_size=8))
    edges = [0, *sorted(cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)], at


@given(reads())
def test_an_unmasked_frame_is_found_in_the_read_that_shows_it(
    given_reads: tuple[list[bytes], int | None],
) -> None:
    pieces, expected = given_reads
    check = MaskCheck()
    before = 0
    for piece in pieces:
        found = check.unmasked_at(piece)
        if found is not None:
            assert before + found == expected
            assert before + len(piece) >= before + found + 2, "both bytes of its header have come"
            return
        before += len(piece)
    assert expected is None
