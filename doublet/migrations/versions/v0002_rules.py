"""Rules of a pixel, and an account's secret for `appsecret_proof`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column to both tables."""
    secret = sa.Column("app_secret", sa.String(128), nullable=False, server_default="")
    op.add_column("accounts", secret)
    op.add_column("pixels", sa.Column("rules", sa.Text, nullable=False, server_default="{}"))
