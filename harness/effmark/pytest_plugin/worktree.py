"""Another revision of the checkout, beside it for a while, so that it can be measured too.

Its tests run in a worktree below the folder for temporary files. What they import must come from
there: folders of the checkout on Python's path are replaced by those of the worktree, and a
process that has imported from the checkout all the same is refused, since it would have measured
the same code twice.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from effmark.errors import PrerequisiteError

__all__ = ["Worktree", "imported_from", "run_git", "worktree_of"]

_INSTALLED = ("site-packages", "dist-packages")
_OF_ANOTHER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""Variables that git sets for its hooks: they would lead it elsewhere."""


def run_git(root: Path, *arguments: str) -> str | None:
    """Return what git says in a folder, None where it fails.

    Raises:
        PrerequisiteError: there is no git.
    """
    environment = {k: v for k, v in os.environ.items() if k not in _OF_ANOTHER}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
    except OSError as error:
        raise PrerequisiteError(f"git cannot be run: {error}") from None
    return done.stdout.strip() if done.returncode == 0 else None


@dataclass(frozen=True)
class Worktree:
    """A checkout and another revision of it."""

    checkout: Path
    tree: Path

    def folder(self, path: Path) -> Path:
        """Return the same folder at the other revision.

        Raises:
            PrerequisiteError: it is not part of the checkout, or is not there yet.
        """
        mapped = self._mapped(path)
        if mapped is None or not mapped.is_dir():
            raise PrerequisiteError(f"folder {str(path)!r} is not there at that revision")
        return mapped

    def arguments(self, arguments: Sequence[str], folder: Path) -> list[str]:
        """Return a command line for the worktree.

        Absolute paths of the checkout are led there; files and folders that it does not have yet
        are left out.

        Args:
            arguments: those of this run of pytest.
            folder: where it was started.
        """
        found = []
        for argument in arguments:
            option, equals, value = argument.rpartition("=")
            mapped = self._mapped(Path(value)) if Path(value).is_absolute() else None
            if argument.startswith("-") or not self._is_new(folder / argument.partition("::")[0]):
                found.append(argument if mapped is None else f"{option}{equals}{mapped}")
        return found

    def _is_new(self, path: Path) -> bool:
        mapped = self._mapped(path) if path.exists() else None
        return mapped is not None and not mapped.exists()

    def variables(self) -> dict[str, str]:
        """Return environment variables that let Python import from the worktree first."""
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        entries = [Path(entry) for entry in sys.path if entry]
        mapped = [str(m) for entry in entries if (m := self._mapped(entry)) is not None]
        return {"PYTHONPATH": os.pathsep.join([*mapped, *(entry for entry in given if entry)])}

    def _mapped(self, path: Path) -> Path | None:
        path = path.resolve()
        if not path.is_relative_to(self.checkout) or set(_INSTALLED) & set(path.parts):
            return None
        return self.tree / path.relative_to(self.checkout)


@contextmanager
def worktree_of(root: Path, commit: str) -> Iterator[Worktree]:
    """Check a revision out beside its checkout while the block runs.

    Raises:
        PrerequisiteError: git cannot.
    """
    top = run_git(root, "rev-parse", "--show-toplevel")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve() / "tree"
        done = run_git(root, "worktree", "add", "--quiet", "--detach", str(tree), commit)
        if not top or done is None:
            raise PrerequisiteError(f"git cannot make a worktree of {commit[:12]} in {str(root)!r}")
        try:
            yield Worktree(Path(top).resolve(), tree)
        finally:
            run_git(root, "worktree", "remove", "--force", str(tree))


def imported_from(checkout: Path, besides: Path) -> str:
    """Return a module of this process that comes from a checkout, empty for none.

    Args:
        checkout: where nothing may come from.
        besides: a folder that may lie within it.
    """
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or set(_INSTALLED) & set(Path(file).parts):
            continue
        path = Path(file).resolve()
        if path.is_relative_to(checkout) and not path.is_relative_to(besides):
            return f"{name} ({path})"
    return ""
