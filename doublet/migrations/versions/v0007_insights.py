"""How an account's reports count, custom conversions, and reports made in the background."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column and two tables."""
    op.add_column(
        "accounts", sa.Column("report_rules", sa.Text, nullable=False, server_default="{}")
    )
    op.create_table(
        "custom_conversions",
        sa.Column("custom_conversion_id", sa.String(20), primary_key=True),
        _account(),
        sa.Column("pixel_id", sa.String(16), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("custom_event_type", sa.String(32), nullable=False),
        sa.Column("action_source_type", sa.String(32), nullable=False),
        sa.Column("default_value", sa.String(32), nullable=False),
        sa.Column("is_archived", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "report_runs",
        sa.Column("report_run_id", sa.String(20), primary_key=True),
        _account(),
        sa.Column("node", sa.String(32), nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("completed_at", sa.BigInteger),
        sa.Column("answer", sa.LargeBinary),
    )


def _account() -> sa.Column[str]:
    return sa.Column(
        "account_id",
        sa.String(24),
        sa.ForeignKey("accounts.account_id"),
        nullable=False,
        index=True,
    )
