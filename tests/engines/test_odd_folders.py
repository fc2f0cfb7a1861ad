"""A folder with a space, a quote, `$`, `#` or an umlaut in its name is a folder like any other."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from realtime.engines import binaries
from realtime.engines.account import ProcessAccount
from realtime.engines.haproxy import Balancer, quoted
from realtime.engines.layout import PLAIN_PATH, DataDir
from realtime.engines.redis import EmbeddedRedis
from tests.engines.harness import ROOT, Supervised, get, until
from tests.engines_fixtures import engine_folder

ODD = "a b'c\"d$e`f#g%41 ü\\h"
EACH = ["a b", "it's", 'say "hi"', "$HOME", "#1", "ü", "back`tick", "back\\slash", "%41", "-dash", "q?x=1"]


@pytest.fixture
def odd(empty: Path) -> Path:
    """A folder with all of them in its name."""
    folder = empty / ODD
    folder.mkdir()
    return folder


def test_everything_starts_and_stops_with_its_data_in_an_odd_folder(odd: Path) -> None:
    with Supervised(odd) as up:
        port = up.ready()["public"]
        assert get(f"http://127.0.0.1:{port}/").split()[0] in ("w1", "w2")
        assert (odd / "redis" / "appendonlydir").is_dir()
        assert up.end() == 0
        assert up.children() == []
    for name in ("pg", "redis", "haproxy"):
        shutil.rmtree(DataDir(odd).socket_folder(name))


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "q?x=1", "ü #1 it's $HOME"])
def test_redis_stores_its_files_in_an_odd_folder(empty: Path, name: str) -> None:
    folder = empty / name
    server = EmbeddedRedis(folder)
    try:
        with redis.Redis.from_url(server.start()) as client:
            assert client.config_get("dir")["dir"] == str(server.folder)
    finally:
        server.stop()
        shutil.rmtree(DataDir(folder).socket_folder("redis"), ignore_errors=True)


@pytest.mark.parametrize("name", EACH)
def test_a_socket_of_the_balancer_has_the_name_that_it_was_given(empty: Path, name: str) -> None:
    """But for ``$``, which HAProxy replaces in any address: `DataDir.socket_folder` has none."""
    if "$" in name:
        assert not PLAIN_PATH.fullmatch(name)
        return
    folder = empty / name
    folder.mkdir()
    config = Balancer(["127.0.0.1:1"], {"w1": "127.0.0.1:2"}, folder / "admin.sock", "127.0.0.1:3")
    file = folder / "haproxy.cfg"
    config.write(file)
    argv = config.command(file).argv
    checked = subprocess.run([argv[0], "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert shlex.split(quoted(name)) == [name]


def test_a_socket_never_has_an_odd_path(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(odd))
    for name in ("pg", "redis", "haproxy"):
        folder = DataDir(odd).socket_folder(name)
        assert PLAIN_PATH.fullmatch(str(folder))
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["$HOME", 'say "hi"', "back`tick", "back\\slash"])
def test_a_program_that_a_shell_would_misread_is_copied_to_a_plain_path(name: str, tmp_path: Path) -> None:
    ours = ProcessAccount(os.geteuid(), os.getegid(), is_other=False)
    assert not binaries.runs_where_it_is(tmp_path / name / "postgres", ours)
    assert binaries.runs_where_it_is(tmp_path / "a b ü's #1" / "postgres", ours)


# --- the script


def shell(script: str, folder: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run ``script`` after deploy/setup.sh, in ``folder``."""
    return subprocess.run(
        ["sh", "-euc", f". deploy/setup.sh\n{script}"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the script needs of a clone, in an odd folder."""
    folder = tmp_path / ODD
    (folder / "deploy").mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "setup.sh", folder / "deploy")
    (folder / "realtime/pages/web/node_modules/left").mkdir(parents=True)
    (folder / "realtime/pages/web/.npmrc").write_text("x")
    (folder / "realtime/pages/web/console.html").write_text("source")
    return folder


def test_a_program_of_the_script_passes_every_word_on(clone: Path) -> None:
    (clone / "show").write_text(f"#!{sys.executable}\nimport sys; print(sys.argv[1:])")
    (clone / "show").chmod(0o755)
    done = shell('write_program "$PWD/made" "$PWD/show" "$PWD" "it\'s"; "$PWD/made" "a  b" "\\$x"', clone)
    assert done.stdout.strip() == repr([str(clone), "it's", "a  b", "$x"]), done.stderr


NPM = """#!/bin/sh
printf '%s %s\\n' "$PWD" "$*" >>"$NPM_LOG"
test ! -e node_modules || exit 9
if [ "$2" = "$NPM_HANGS" ]; then sleep 60; fi
if [ "$2" = bundle ]; then mkdir -p ../static && cp console.html ../static/; fi
if [ "$2" = "$NPM_FAILS" ]; then echo "npm's own words"; exit 1; fi
"""


@pytest.fixture
def npm(tmp_path: Path) -> dict[str, str]:
    """An environment with a Node and an npm that write down what they are asked for."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("npm", NPM), ("node", "#!/bin/sh\necho v24.0.0")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "NPM_LOG": str(tmp_path / "npm.log"),
        "NPM_FAILS": "nothing",
        "NPM_HANGS": "nothing",
    }


def test_pages_are_built_where_no_name_is_odd_and_each_step_is_said(
    clone: Path, npm: dict[str, str], tmp_path: Path
) -> None:
    done = shell("build_pages", clone, **npm)
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "npm.log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in asked] == [
        "ci --no-audit --no-fund", "run check", "run basemap", "run bundle",
    ]  # fmt: skip
    places = {line.split(" ", 1)[0] for line in asked}
    assert all(PLAIN_PATH.fullmatch(place) for place in places)
    assert not any(Path(place).exists() for place in places), "it is cleared away"
    assert (clone / "realtime/pages/static/console.html").read_text() == "source"
    assert not (clone / "realtime/pages/static/.built-from").exists()
    assert done.stderr.splitlines() == [
        "building the web pages with Node v24.0.0",
        "fetching the packages that the pages are built with",
        "checking the pages' types",
        "making the basemap",
        "bundling the pages",
    ]
    again = shell("build_pages", clone, **npm)
    assert (again.returncode, again.stderr) == (0, ""), "nothing has changed"
    shutil.rmtree(clone / "realtime/pages/static")
    assert "bundling" in shell("build_pages", clone, **npm).stderr


def test_a_build_that_fails_shows_what_npm_said_and_clears_up(
    clone: Path, npm: dict[str, str], tmp_path: Path
) -> None:
    done = shell("build_pages", clone, **{**npm, "NPM_FAILS": "basemap"})
    assert done.returncode == 1
    assert "npm's own words\nerror: could not build the web pages" in done.stderr
    assert "bundling" not in done.stderr
    places = {line.split(" ", 1)[0] for line in (tmp_path / "npm.log").read_text().splitlines()}
    assert not any(Path(place).exists() for place in places)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_interrupted_clears_up(
    clone: Path, npm: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "npm.log"
    process = subprocess.Popen(
        ["sh", "-euc", ". deploy/setup.sh\nbuild_pages"],
        cwd=clone,
        env={**npm, "NPM_HANGS": "check"},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # What runs in the background ignores SIGINT, and a shell cannot trap what it ignores at its start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until(lambda: "run check" in log.read_text(), "npm is asked")
    place = Path(log.read_text().split(" ", 1)[0])
    assert place.exists()
    os.killpg(process.pid, number)  # as a terminal does
    assert process.wait(20) != 0
    until(lambda: not place.parent.exists(), "it is cleared away")


@pytest.fixture
def short_sleep(clone: Path) -> str:
    """A PATH on which the script's ten seconds pass in a fifth of one."""
    (clone / "bin").mkdir()
    (clone / "bin" / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.2\n")
    (clone / "bin" / "sleep").chmod(0o755)
    return f"{clone}/bin:{os.environ['PATH']}"


def test_a_step_that_ends_before_its_reminder_has_begun_ends(clone: Path, short_sleep: str) -> None:
    """A shell loses a signal that reaches a child before the child has reset the traps of its parent."""
    done = shell(
        "trap 'exit 143' TERM; for i in 1 2 3 4 5 6 7 8 9 10; do for j in 1 2 3 4 5 6 7 8 9 10; do "
        "patiently x true; done; done; say all",
        clone,
        PATH=short_sleep,
    )
    assert done.stderr.splitlines()[-1] == "all"


def test_a_long_step_says_every_so_often_that_it_goes_on(clone: Path, short_sleep: str) -> None:
    done = shell(
        "patiently 'making it' /bin/sleep 1; code=0; patiently failing sh -c 'echo why; exit 3' || code=$?; "
        'say "code $code"',
        clone,
        PATH=short_sleep,
    )
    lines = done.stderr.splitlines()
    assert lines[:4] == [
        "making it",
        "  still making it: 10 s",
        "  still making it: 20 s",
        "  still making it: 30 s",
    ]
    assert lines[-3:] == ["failing", "why", "code 3"]
    assert done.returncode == 0


@pytest.mark.long
@pytest.mark.timeout(900)
def test_run_starts_in_a_fresh_clone_in_an_odd_folder() -> None:
    """The real thing: its own .venv, pages and engines. Takes minutes, and packages from the index."""
    with engine_folder() as folder:
        clone = folder / "a b'c\"d$e#f ü"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        kept = {name: text for name, text in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
        env = {**kept, "PATH": os.environ["PATH"], "HOME": str(folder / "home"), "PORT": "0"}
        process = subprocess.Popen(
            [str(clone / "run"), "--no-demo"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if found := re.match(r"ready: (http://\S+)", line):
                    assert "<title" in get(f"{found[1]}/console")
                    break
            else:
                pytest.fail("".join(lines))
            done = subprocess.run(
                [str(clone / ".venv/bin/wayguard"), "token", "--role", "admin", "--tenant", "t"],
                env=env,
                capture_output=True,
                text=True,
                check=True,
            )
            assert done.stdout.count(".") == 2
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, "".join(lines)
            for name in ("pg", "redis", "haproxy"):
                shutil.rmtree(DataDir(clone / ".wayguard").socket_folder(name))
