"""Setups: how the guide sets a site up, and what its checks found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "setups",
        sa.Column("setup_id", sa.String(16), primary_key=True),
        sa.Column(
            "account_id",
            sa.String(24),
            sa.ForeignKey("accounts.account_id"),
            nullable=False,
            index=True,
        ),
        sa.Column("pixel_id", sa.String(16), sa.ForeignKey("pixels.pixel_id"), nullable=False),
        sa.Column("shop_id", sa.String(16), nullable=False),
        sa.Column("platform", sa.String(16), nullable=False),
        sa.Column("goal", sa.String(16), nullable=False),
        sa.Column("place", sa.String(16), nullable=False),
        sa.Column("site_url", sa.Text, nullable=False),
        sa.Column("test_code", sa.String(32), nullable=False),
        sa.Column("share_sha256", sa.String(64), nullable=False),
        sa.Column("results", sa.Text, nullable=False),
        sa.Column("verified_at", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
