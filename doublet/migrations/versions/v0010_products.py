"""Products, and where audiences are given to: other servers, and who is told of changes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add six tables."""
    op.create_table(
        "products",
        _account(primary_key=True),
        sa.Column("product_id", sa.String(100), primary_key=True),
        sa.Column("item_group_id", sa.String(100), nullable=False),
        *(_text(name) for name in ("title", "category", "brand")),
        sa.Column("price", sa.String(32), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("availability", sa.String(32), nullable=False),
        *(_text(name) for name in ("link", "image_link")),
        _number("updated_at"),
    )
    op.create_table(
        "product_audiences",
        sa.Column("audience_id", sa.String(20), primary_key=True),
        _text("interest"),
        _text("rule"),
    )
    op.create_table(
        "audience_shares",
        sa.Column("share_id", sa.String(20), primary_key=True),
        _account(nullable=False, index=True),
        sa.Column("audience_id", sa.String(20), nullable=False, index=True),
        _text("url"),
        sa.Column("version", sa.String(8), nullable=False),
        sa.Column("remote_account_id", sa.String(24), nullable=False),
        sa.Column("remote_audience_id", sa.String(24), nullable=False),
        *(_text(name) for name in ("remote_name", "secret")),
        sa.Column("is_paused", sa.Boolean, nullable=False),
        sa.Column("is_ending", sa.Boolean, nullable=False),
        *(_number(name) for name in ("created_at", "change_id", "looked_at", "compared_at")),
        _number("due_at"),
        sa.Column("failures", sa.Integer, nullable=False),
    )
    op.create_table(
        "audience_given",
        _share(primary_key=True),
        sa.Column("person_id", sa.BigInteger, primary_key=True, autoincrement=False),
        _text("keys"),
        sa.Column("is_sure", sa.Boolean, nullable=False),
    )
    op.create_table(
        "audience_pushes",
        sa.Column("push_id", sa.Integer, primary_key=True, autoincrement=True),
        _share(nullable=False, index=True),
        *(_number(name) for name in ("began_at", "ended_at")),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("added", "removed", "nameless", "invalid", "requests")
        ),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("code", sa.String(32), nullable=False),
        _text("message"),
    )
    op.create_table(
        "audience_webhooks",
        sa.Column("webhook_id", sa.String(20), primary_key=True),
        _account(nullable=False, index=True),
        sa.Column("audience_id", sa.String(20), nullable=False),
        *(_text(name) for name in ("url", "secret")),
        sa.Column("is_paused", sa.Boolean, nullable=False),
        *(_number(name) for name in ("created_at", "change_id", "due_at")),
        sa.Column("failures", sa.Integer, nullable=False),
        _number("delivered"),
        sa.Column("verdict", sa.String(16), nullable=False),
        _text("message"),
    )


def _account(**options: Any) -> sa.Column[str]:
    reference = sa.ForeignKey("accounts.account_id")
    return sa.Column("account_id", sa.String(24), reference, **options)


def _share(**options: Any) -> sa.Column[str]:
    reference = sa.ForeignKey("audience_shares.share_id")
    return sa.Column("share_id", sa.String(20), reference, **options)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)
