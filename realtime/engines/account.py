"""Which account the engines run as: ours, or `nobody` when we are root (Postgres refuses root)."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ProcessAccount:
    """The user and group a child runs as. ``is_other``: it is not the caller's own account."""

    uid: int
    gid: int
    is_other: bool

    def popen_options(self) -> dict[str, Any]:
        """What ``subprocess.Popen`` needs to become this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}

    def __str__(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid {self.uid}"

    def own(self, path: Path) -> None:
        """Give ``path`` to this account; nothing happens when it is ours anyway."""
        if self.is_other:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def can_reach(self, path: Path) -> bool:
        """Whether this account may enter every folder above ``path`` and read ``path`` itself.

        Judged by the permission bits of "others", the only ones that `nobody` has.
        """
        if not self.is_other:
            return True
        path = path.resolve()
        try:
            entered = all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)
            return entered and bool(path.stat().st_mode & stat.S_IROTH)
        except OSError:
            return False

    def can_enter(self, folder: Path) -> bool:
        """Whether this account may enter ``folder`` and every folder above it."""
        if not self.is_other:
            return True
        folder = folder.resolve()
        return all(step.stat().st_mode & stat.S_IXOTH for step in (folder, *folder.parents))


def engine_account() -> ProcessAccount:
    """`nobody` for root, otherwise the caller's own account."""
    if os.geteuid() != 0:
        return ProcessAccount(os.geteuid(), os.getegid(), is_other=False)
    nobody = pwd.getpwnam("nobody")
    return ProcessAccount(nobody.pw_uid, nobody.pw_gid, is_other=True)
