"""The database of the catalog: opened, brought to the newest tables, copied."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from doublet.errors import NewerFormatError, OperatorError
from doublet.processes import make_folder
from doublet.sqlite_file import copied


class Database:
    """The database at a SQLAlchemy URL. Thread-safe; `migrate` must have run once."""

    def __init__(self, url: str) -> None:
        self.url = url
        if url.startswith("sqlite:///"):
            make_folder(Path(url.removeprefix("sqlite:///")).parent)
        self._engine = sa.create_engine(url)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _configure_sqlite)

    def migrate(self) -> None:
        """Bring the tables to the newest version; safe to call at every start. Raises
        NewerFormatError when a newer version of Doublet has done so before."""
        from alembic import command
        from alembic.runtime.migration import MigrationContext

        config = _alembic()
        with _explained(), self._engine.begin() as connection:
            check_version(MigrationContext.configure(connection).get_current_revision())
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def copy(self, target: Path) -> str | None:
        """Copy a SQLite catalog as it is at one moment to a new file, while others use it; the
        version of its tables. None, and nothing copied, for other databases and where there is
        none yet."""
        source = self.url.removeprefix("sqlite:///")
        if source == self.url or not Path(source).exists():
            return None
        with _explained(), copied(Path(source), target) as writing:
            found = writing.execute("select version_num from alembic_version").fetchone()
        return str(found[0])

    def empty_journal(self) -> None:
        """Write what SQLite has in its journal into the file, as far as nobody is reading: pages as
        they were before something was deleted do not stay beside it."""
        if self._engine.dialect.name == "sqlite":
            with _explained(), self._engine.connect() as connection:
                connection.exec_driver_sql("pragma wal_checkpoint(truncate)").close()

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction; raises OperatorError for what the database does not allow."""
        with _explained(), self._engine.begin() as connection:
            yield connection

    def rows(self, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with _explained(), self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def change(
        self, table: sa.Table, which: sa.ColumnElement[bool], changes: dict[str, str | None]
    ) -> None:
        """Set the values that are not None in the rows chosen."""
        values = {key: value for key, value in changes.items() if value is not None}
        if values:
            with self.write() as connection:
                connection.execute(table.update().where(which).values(**values))


def _alembic() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "doublet:migrations")
    return config


def check_version(found: str | None) -> None:
    """Raises NewerFormatError for a version of the tables that only a newer Doublet knows."""
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()}
    if found is not None and found not in known:
        raise NewerFormatError("The catalog", found, max(known))


@contextmanager
def _explained() -> Iterator[None]:
    """A database that cannot be used is the operator's affair."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        raise OperatorError(
            f"The catalog does not allow this: {error.orig}.", "Is there such an account?"
        ) from error
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        said = getattr(error, "orig", error)
        raise OperatorError(
            f"The catalog cannot be used: {said}.", "Check its folder, owner and disk."
        ) from error


def _configure_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        *("journal_mode=wal", "synchronous=full", "foreign_keys=on", "busy_timeout=5000"),
        # Hashes of people that were deleted must not stay in what the file has free.
        "secure_delete=on",
    ):
        cursor.execute(f"pragma {pragma}")
    cursor.close()
