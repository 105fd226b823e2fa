"""The folder of revision files, as Alembic's script directory.

Loads Alembic; import this module at use only.
"""

from __future__ import annotations

import re
import shutil
import traceback
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from dataflow.errors import MigrationError, ParameterError, did_you_mean
from dataflow.schema.plan import Revision

__all__ = ["RevisionFiles", "alembic_errors", "docstring_text", "known_revision", "shown"]

_TEMPLATE = "script.py.mako"
_LONGEST = 40


@contextmanager
def alembic_errors() -> Iterator[None]:
    """Turn what Alembic refuses into our error."""
    try:
        yield
    except (CommandError, RevisionError) as error:
        problem = str(error).rstrip(".")
        raise MigrationError(problem=f"{problem[:1].lower()}{problem[1:]}.") from error


@dataclass(frozen=True, slots=True)
class RevisionFiles:
    """Where a program keeps its revision files, and what they say now."""

    folder: Path

    @property
    def versions(self) -> Path:
        """The folder of the files themselves."""
        return self.folder / "versions"

    def create(self) -> None:
        """Make the folder, with the template of new files."""
        self.versions.mkdir(parents=True, exist_ok=True)
        if not (self.folder / _TEMPLATE).exists():
            shutil.copyfile(Path(__file__).with_name(_TEMPLATE), self.folder / _TEMPLATE)

    def open(self, message: str = "") -> ScriptDirectory:
        """Return Alembic's view of the files, all of them loaded.

        Args:
            message: What a new file is about; its name takes the letters and digits.

        Raises:
            MigrationError: If there is no folder, or a file cannot be loaded.
        """
        if not self.versions.is_dir():
            raise MigrationError(
                problem=f"there are no revision files in {str(self.folder)!r}.",
                advise="write the first with db.migrations.revision(message), or set "
                "migrations_path",
            )
        directory = ScriptDirectory(
            str(self.folder), file_template=f"%(rev)s{_slug(message)}",
            messaging_opts={"quiet": True},
        )  # fmt: skip
        try:
            directory.get_heads()
        except Exception as error:
            raise self._unreadable(error) from error
        return directory

    def _unreadable(self, error: Exception) -> MigrationError:
        frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        names = [*frames, str(getattr(error, "filename", None))]
        mine = [Path(name).name for name in names if Path(name).parent.name == "versions"]
        place = f"revision file {mine[-1]!r}" if mine else f"folder {str(self.folder)!r}"
        return MigrationError(problem=f"{place} cannot be loaded: {shown(error)}.")

    def describe(self, script: Script, current: tuple[str, ...] = ()) -> Revision:
        """Return what is told of a file."""
        down = script.down_revision
        parents = (down,) if isinstance(down, str) else tuple(down or ())
        return Revision(
            id=script.revision,
            message=script.doc,
            parents=parents,
            path=Path(script.path),
            is_head=bool(script.is_head),
            is_current=script.revision in current,
        )


def shown(error: BaseException) -> str:
    """Return an error as part of a sentence."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _slug(message: str) -> str:
    plain = unicodedata.normalize("NFKD", message).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    return f"_{'_'.join(words)}"[:_LONGEST].rstrip("_")


def docstring_text(message: str) -> str:
    """Return a message as one line that can stand in a docstring.

    Raises:
        ParameterError: If nothing of it can be shown.
    """
    printable = "".join(letter if letter.isprintable() else " " for letter in message)
    line = " ".join(printable.split())
    if not line:
        raise ParameterError(problem="a revision needs a message that says what it does.")
    return line.replace("\\", "\\\\").replace('"', '\\"')


def known_revision(directory: ScriptDirectory, name: str) -> None:
    """Check that a revision in the database has its file.

    Raises:
        MigrationError: Naming the revision.
    """
    try:
        directory.get_revision(name)
    except CommandError as error:
        known: list[Any] = [script.revision for script in directory.walk_revisions()]
        raise MigrationError(
            problem=f"the database is at revision {name!r}, which has no file in "
            f"{str(directory.dir)!r}.",
            advise=did_you_mean(name, known),
        ) from error
