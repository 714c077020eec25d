"""The commit that a recipe was built from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pydantic import BaseModel, ConfigDict

SECONDS = 20
"""That git may take; of a repository that answers no sooner no commit is told."""
# No index is written, and no watcher of files started. As any `git status`, it may start a filter
# that the repository's own .git/config names for a file.
GIT = ("git", "-c", "core.fsmonitor=false", "--no-optional-locks")


class Commit(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # as a row of the history

    sha: str
    dirty: bool
    """Something that git tracks there was changed, or the file itself is not tracked."""

    def __str__(self) -> str:
        return self.sha[:9] + (" dirty" if self.dirty else "")


def commit_of(path: Path) -> Commit | None:
    """The commit of the repository that a file lies in; None where it lies in none, or git is not
    there to tell."""
    file = path.absolute()
    sha = _git(file.parent, "rev-parse", "--verify", "HEAD")
    if not sha:
        return None
    changed = _git(file.parent, "status", "--porcelain", "--untracked-files=no")
    tracked = _git(file.parent, "ls-files", "--", file.name)
    return Commit(sha=sha.strip(), dirty=bool(changed) or changed is None or not tracked)


def _git(folder: Path, *words: str) -> str | None:
    """What a command of git prints; None where it fails."""
    # A hook's variables would name the repository that git was called in.
    names = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            [*GIT, "-C", str(folder), *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            env=names,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
