"""The side-by-side benchmarks run for real, compare within rounds, and do not believe a server that lies."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from loadtests.bench.load.client import frame_at, masked
from loadtests.bench.load.fleet import FleetResult
from loadtests.bench.measure.chart import drawn
from loadtests.bench.measure.rounds import Result, in_turn, is_sound, ratios, summaries
from realtime.fanout.engineio.frames import text_frame

ROOT = Path(__file__).parents[2]
SHORT = ["--rounds", "1", "--seconds", "0.4", "--warm", "0.2"]


def bench(report: Path, name: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "loadtests.bench", name, *SHORT, *options, "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    assert not any(count for one in found["results"] for count in one["faults"].values())
    return found


@pytest.mark.long
def test_fanout_measures_each_server_in_each_case(tmp_path: Path) -> None:
    """The others' servers start for `ingest` and `idle` too, and what they hear is measured by `bus`."""
    small = ["--viewers", "2", "--in-flight", "2", "--drivers", "3", "--ticked-viewers", "2"]
    found = bench(tmp_path / "fanout.json", "fanout", *small)
    servers = {"wayguard", "node socket.io", "stock python-socketio", "stock, gc tuned"}
    cases = {case: set() for case in ("at once", "gathered")}
    for one in found["results"]:
        cases[one["case"].split(",")[0].split(" for")[0]].add(one["target"])
        assert one["figures"]["positions_per_s"] > 0
        assert "load client" in one["cores"]
    assert cases == {"at once": servers | {"load client alone"}, "gathered": servers}
    assert any(name.endswith("wayguard / node socket.io") for name in found["ratios"])


@pytest.mark.long
def test_ingest_measures_singles_and_tens_on_each_server(tmp_path: Path) -> None:
    found = bench(tmp_path / "ingest.json", "ingest", "--drivers", "4")
    measured = {(one["case"], one["target"]) for one in found["results"]}
    servers = ("wayguard", "node socket.io", "stock python-socketio")
    assert measured == {(case, server) for case in ("singles", "batches of 10") for server in servers}
    assert all(one["figures"]["points_per_s"] > 0 for one in found["results"])


@pytest.mark.long
def test_idle_measures_connecting_memory_and_goodbyes(tmp_path: Path) -> None:
    report = tmp_path / "idle.json"
    command = [sys.executable, "-m", "loadtests.bench", "idle", "--rounds", "1", "--clients", "60"]
    command += ["--hold-s", "0.3", "--json", str(report), "--picture", str(tmp_path / "idle.svg")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "node socket.io" in (tmp_path / "idle.svg").read_text()
    found = json.loads(report.read_text())["results"]
    assert {one["target"] for one in found} == {"wayguard", "node socket.io", "stock python-socketio"}
    for one in found:
        assert one["figures"]["connects_per_s"] > 0
        assert one["faults"]["left"] == 0
        assert "kib_a_client_held" in one["figures"]


@pytest.mark.long
def test_bus_measures_each_place_and_what_it_costs_the_other_instance(tmp_path: Path) -> None:
    small = ["--viewers", "2", "--in-flight", "2", "--drivers", "3", "--rate", "10", "--no-peers"]
    found = bench(tmp_path / "bus.json", "bus", *small)
    places = ("local", "through Redis", "unwatched", "idle")
    cases = [one["case"] for one in found["results"]]
    assert cases == [f"{how}, {place}" for how in ("at once", "gathered for 100 ms") for place in places]
    for one in found["results"]:
        assert (one["figures"]["positions_per_s"] > 0) == (not one["case"].endswith("idle"))
        assert "server 2" in one["cores"]


@pytest.mark.long
def test_slow_measures_viewers_alone_and_beside_stalled_ones(tmp_path: Path) -> None:
    small = ["--viewers", "2", "--stalled", "2", "--drivers", "3", "--no-peers"]
    found = bench(tmp_path / "slow.json", "slow", *small)
    alone, beside = found["results"]
    assert (alone["case"], beside["case"]) == ("alone", "2 stalled")
    assert beside["figures"]["still_there"] == 2  # so little is sent that it fits into the kernel
    assert beside["figures"]["p99_times_alone"] > 0


def result(round_: int, target: str, per_s: float, **more: Any) -> Result:
    return Result(case="c", target=target, round=round_, figures={"per_s": per_s}, **more)


@pytest.mark.long
def test_sos_measures_everybody_who_is_to_hear_of_it(tmp_path: Path) -> None:
    small = ["--presses", "4", "--drivers", "4", "--offered", "0", "--offered", "40", "--seconds", "1.5"]
    found = bench(tmp_path / "sos.json", "sos", *small)
    for one in found["results"]:
        heard = {name.partition("_")[0] for name in one["figures"] if name.endswith("_p99_ms")} - {"points"}
        assert heard == (
            {"ack", "dispatcher", "contact", "provider"}
            if one["target"] == "wayguard"
            else {"ack", "dispatcher"}
        )
        assert ("points_per_s" in one["figures"]) == one["case"].startswith("40")
    assert len(found["ratios"]) == 2


def bench_at_once(report: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "loadtests.bench", *options, "--rounds", "1", "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    (one,) = json.loads(report.read_text())["results"]
    assert not any(one["faults"].values())
    return dict(one["figures"])


@pytest.mark.long
def test_presses_within_a_second_are_all_acknowledged_stored_and_sent(tmp_path: Path) -> None:
    figures = bench_at_once(tmp_path / "together.json", "sos", "--press-together", "12")
    assert figures["ack_p99_ms"] > 0
    assert figures["provider_p99_ms"] > figures["ack_p50_ms"]
    assert sum(figures.get(f"ack_{how}", 0) for how in ("committed", "replicated", "local")) == 12


@pytest.mark.long
def test_timers_due_at_once_all_fire_and_are_sent(tmp_path: Path) -> None:
    figures = bench_at_once(tmp_path / "timers.json", "timers", "--due", "12")
    assert 0 <= figures["fired_p50_ms"] <= figures["fired_max_ms"]


@pytest.mark.long
def test_a_limit_that_is_not_held_ends_with_code_1() -> None:
    command = [sys.executable, "-m", "loadtests.bench", "sos", "--press-together", "6", "--rounds", "1"]
    command += ["--ack-p99-ms", "0.001"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "acknowledged too late=1" in done.stdout


def test_ratios_are_taken_within_a_round() -> None:
    made = [result(1, "wayguard", 100), result(1, "other", 50), result(2, "wayguard", 30)]
    made += [result(2, "other", 10), result(3, "wayguard", 90), result(3, "other", 10)]
    assert ratios(made, "per_s") == {"c: wayguard / other": (3.0, 2.0, 9.0)}
    ours, theirs = summaries(made)
    assert ours.figures["per_s"] == (90, 30, 100)
    assert theirs.figures["per_s"] == (10, 10, 50)


def test_a_picture_has_a_bar_a_server_and_says_how_many_times_ours_is() -> None:
    made = [result(1, "wayguard", 100), result(1, "a <b>", 50), result(2, "wayguard", 120)]
    svg = ElementTree.fromstring(drawn("T", "n", [*made, result(2, "a <b>", 50)], "per_s"))
    words = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "a <b>" in words
    assert "50.0 · ours is 2.20 times that" in words
    paper, ours, theirs = (
        float(bar.get("width", "0").rstrip("%")) for bar in svg.iter("{http://www.w3.org/2000/svg}rect")
    )
    assert paper == 100
    assert ours / theirs == pytest.approx(110 / 50, rel=0.01)


def test_every_other_round_is_in_opposite_order() -> None:
    assert list(in_turn(3, "ab")) == [(1, "a"), (1, "b"), (2, "b"), (2, "a"), (3, "a"), (3, "b")]


@pytest.mark.parametrize("fault", ["lost", "duplicates", "lost: connection closed"])
def test_a_fault_of_any_server_makes_a_run_unsound(fault: str) -> None:
    assert is_sound([result(1, "wayguard", 1, faults={fault: 0})])
    assert not is_sound([result(1, "other", 1, faults={fault: 1})])


def test_a_client_is_the_limit_when_it_is_busy_and_the_server_is_not() -> None:
    assert result(1, "a", 1, cores={"server": 0.6, "load client": 0.95}).is_limited_by_client
    assert not result(1, "a", 1, cores={"server": 0.97, "load client": 0.95}).is_limited_by_client
    assert not result(1, "a", 1, cores={"server": 0.6, "load client": 0.5}).is_limited_by_client


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_of_every_length_are_cut_where_they_end(size: int) -> None:
    frame = text_frame(b"x" * size)
    assert frame_at(b"." + frame, 1) == (1 + len(frame) - size, 1 + len(frame))
    assert frame_at(frame[:1], 0) == (0, 0)
    ours = masked(b"x" * size)
    assert len(ours) == len(frame) + 4
    assert bytes(byte ^ ours[-size - 1] for byte in ours[len(ours) - size :]) == b"x" * size


class Liar:
    """A server that speaks the peers' protocol to raw clients, and shows each position as ``fault`` says."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.viewers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        hello = b'0{"sid":"s","upgrades":[],"pingInterval":20000,"pingTimeout":15000}'
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + text_frame(hello))
        try:
            while True:
                self._hear(await self._read(reader), writer)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> bytes:
        size = (await reader.readexactly(2))[1] & 0x7F
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        mask = (await reader.readexactly(4))[0]
        return bytes(byte ^ mask for byte in await reader.readexactly(size))

    def _hear(self, said: bytes, writer: asyncio.StreamWriter) -> None:
        if said.startswith(b"40"):
            writer.write(text_frame(said.partition(b",")[0] + b',{"sid":"x"}'))
        elif said.startswith(b"42/watch,0"):
            self.viewers.append(writer)
            writer.write(text_frame(b'43/watch,0[{"ok":true,"feed":"vendor:north"}]'))
        elif said.startswith(b"42/driver,0["):
            writer.write(text_frame(b'43/driver,0[{"ok":true,"journey_id":"j","next_seq":1}]'))
        elif said.startswith(b"42/driver,"):
            self._positions(said, writer)

    def _positions(self, said: bytes, writer: asyncio.StreamWriter) -> None:
        ack_id = said[10:].partition(b"[")[0]
        point = json.loads(said[10 + len(ack_id) :])[1]["points"][-1]
        through = point[0] + (self.fault == "acks what was not sent")
        if self.fault != "never acks":
            writer.write(text_frame(b'43/driver,%b[{"ok":true,"through":%d}]' % (ack_id, through)))
        shown = ["positions", "vendor:north", [["d1", "j", point]]]
        frame = text_frame(b"42/watch," + json.dumps(shown, separators=(",", ":")).encode())
        for n, viewer in enumerate(self.viewers):
            if not (self.fault == "leaves one out" and n == 0 and point[0] % 5 == 0):
                viewer.write(frame * (2 if self.fault == "shows twice" and point[0] % 5 == 0 else 1))


async def seen_of(fault: str) -> FleetResult:
    server = await asyncio.start_server(Liar(fault).serve, "127.0.0.1", 0)
    address = list(server.sockets[0].getsockname())
    spec = {"driver_addresses": [address], "viewer_addresses": [address], "drivers": {"d1": "t"}}
    spec |= {"viewers": ["v1", "v2"], "vendor": "north", "batch": 1, "warm_s": 0.1, "seconds": 0.3}
    spec |= {"rate_per_s": 50.0 if fault == "never acks" else 0.0}
    spec |= {"stuck_s": 0.5, "final_s": 1.0} if fault == "never acks" else {}
    command = [sys.executable, "-m", "loadtests.bench.load.fleet"]
    load = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=-1, stdout=-1)
    try:
        out, _ = await asyncio.wait_for(load.communicate(json.dumps(spec).encode() + b"\n"), 60)
    finally:
        server.close()
    return FleetResult(**json.loads(out.splitlines()[-1]))


async def test_an_honest_server_has_no_faults() -> None:
    seen = await seen_of("")
    assert (seen.lost, seen.duplicates, seen.errors) == (0, 0, {})
    assert seen.positions > 0
    assert seen.frames == seen.positions


async def test_a_viewer_that_is_left_out_is_a_loss() -> None:
    assert (await seen_of("leaves one out")).lost > 0


async def test_a_position_shown_twice_is_counted() -> None:
    assert (await seen_of("shows twice")).duplicates > 0


async def test_an_ack_for_what_was_not_sent_is_an_error() -> None:
    assert (await seen_of("acks what was not sent")).errors


async def test_acks_that_never_come_are_a_loss() -> None:
    assert (await seen_of("never acks")).lost > 0
