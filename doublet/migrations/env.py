"""Alembic's entry: runs the versions on the connection that the catalog hands over."""

from __future__ import annotations

from alembic import context

from doublet.catalog import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
