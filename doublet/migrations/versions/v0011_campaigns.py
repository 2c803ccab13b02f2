"""Campaigns, ad sets, ads and creatives, and a number that rises with each change of them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add five tables."""
    op.create_table(
        "campaigns",
        sa.Column("campaign_id", sa.String(20), primary_key=True),
        _refers("account_id", "accounts", 24),
        _name(),
        _word("objective"),
        _word("status", 16),
        sa.Column("holdout_share", sa.Float, nullable=False),
        *(_number(name) for name in ("created_at", "updated_at", "paused_at")),
    )
    op.create_table(
        "ad_sets",
        sa.Column("adset_id", sa.String(20), primary_key=True),
        _refers("account_id", "accounts", 24),
        _refers("campaign_id", "campaigns"),
        _name(),
        _word("status", 16),
        *(_word(name) for name in ("optimization_goal", "billing_event", "bid_strategy")),
        _number("bid_amount"),
        sa.Column("roas_floor", sa.Float, nullable=False),
        *(_number(name) for name in ("daily_budget", "lifetime_budget", "start_time", "end_time")),
        _word("pixel_id", 16),
        _word("event_name", 256),
        *(_text(name) for name in ("included", "excluded", "placements", "frequency")),
        *(_number(name) for name in ("created_at", "updated_at", "edited_at", "paused_at")),
    )
    op.create_table(
        "creatives",
        sa.Column("creative_id", sa.String(20), primary_key=True),
        _refers("account_id", "accounts", 24),
        _name(),
        *(_text(name) for name in ("title", "body", "link_url", "image_url", "description")),
        _word("call_to_action", 64),
        _word("status", 16),
        _number("created_at"),
    )
    op.create_table(
        "ads",
        sa.Column("ad_id", sa.String(20), primary_key=True),
        _refers("account_id", "accounts", 24),
        _refers("campaign_id", "campaigns"),
        _refers("adset_id", "ad_sets"),
        _refers("creative_id", "creatives"),
        _name(),
        _word("status", 16),
        *(_number(name) for name in ("created_at", "updated_at")),
    )
    counted = op.create_table("campaign_version", _number("version"))
    op.bulk_insert(counted, [{"version": 0}])


def _refers(name: str, table: str, length: int = 20) -> sa.Column[str]:
    column = {"ad_sets": "adset_id"}.get(table, f"{table.removesuffix('s')}_id")
    reference: Any = sa.ForeignKey(f"{table}.{column}")
    return sa.Column(name, sa.String(length), reference, nullable=False, index=True)


def _name() -> sa.Column[str]:
    return _word("name", 200)


def _word(name: str, length: int = 32) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)
