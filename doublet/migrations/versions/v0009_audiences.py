"""Audiences, their sizes and states, and the customer lists that make some of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add seven tables."""
    op.create_table(
        "audiences",
        _audience(),
        sa.Column(
            "account_id",
            sa.String(24),
            sa.ForeignKey("accounts.account_id"),
            nullable=False,
            index=True,
        ),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("subtype", sa.String(16), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("retention_days", sa.Integer, nullable=False),
        sa.Column("prefill", sa.Boolean, nullable=False),
        sa.Column("pixel_id", sa.String(16), nullable=False),
        sa.Column("customer_file_source", sa.String(64), nullable=False),
        sa.Column("is_value_based", sa.Boolean, nullable=False),
        sa.Column("origin_audience_id", sa.String(20), nullable=False),
        sa.Column("lookalike_spec", sa.Text, nullable=False),
        sa.Column("preset", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("content_updated_at", sa.BigInteger, nullable=False),
        sa.Column("list_version", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.create_table(
        "audience_sizes",
        _audience(),
        sa.Column("at", sa.BigInteger, primary_key=True),
        sa.Column("members", sa.BigInteger, nullable=False),
    )
    op.create_table("audience_states", _audience(), sa.Column("status", sa.Text, nullable=False))
    _create_lists()


def _create_lists() -> None:
    op.create_table(
        "customer_lists",
        sa.Column("list_id", sa.Integer, primary_key=True),
        sa.Column("audience_id", sa.String(20), nullable=False, index=True),
        sa.Column("session_id", sa.String(20), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "list_entries",
        sa.Column("entry_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("list_id", sa.Integer, nullable=False),
        sa.Column("row_key", sa.BigInteger, nullable=False),
        sa.Column("identifiers", sa.Text, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("is_limited", sa.Boolean, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("list_id", "row_key"),
    )
    op.create_table(
        "list_keys",
        sa.Column("identifier_key", sa.BigInteger, primary_key=True),
        sa.Column("entry_id", sa.BigInteger, primary_key=True, index=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "list_batches",
        _audience(),
        sa.Column("session_id", sa.String(20), primary_key=True),
        sa.Column("batch_seq", sa.BigInteger, primary_key=True),
        sa.Column("digest", sa.BigInteger, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False, index=True),
    )


def _audience() -> sa.Column[str]:
    return sa.Column("audience_id", sa.String(20), primary_key=True)
