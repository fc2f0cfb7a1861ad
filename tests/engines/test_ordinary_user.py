"""The engines under an account that is not root's."""

from pathlib import Path

from realtime.engines.account import engine_account
from tests.engines.harness import FAKE_UP, Supervised, get

# A clone or a Python below /root is closed to everybody else: this one may read what root can, and no more.
_BECOME_OTHER = (
    "setpriv",
    "--clear-groups",
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
)


def test_everything_runs_as_an_ordinary_user(empty: Path) -> None:
    """As root this becomes `nobody` with a home of its own; an ordinary user simply is one."""
    account = engine_account()
    home = empty / "home"
    home.mkdir()
    account.own(home)
    account.own(empty)
    become = [*_BECOME_OTHER, f"--reuid={account.uid}", f"--regid={account.gid}"] if account.is_other else []
    with Supervised(empty, [*become, *FAKE_UP], HOME=str(home)) as up:
        port = up.ready()["public"]
        assert get(f"http://127.0.0.1:{port}/").split()[0] in ("w1", "w2")
        assert (empty / "pg").stat().st_uid == account.uid
        assert up.end() == 0
