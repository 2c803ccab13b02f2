"""The tables of the catalog."""

from __future__ import annotations

import sqlalchemy as sa

from doublet.entries import NAME_LENGTH_MAX, SECRET_LENGTH_MAX, USER_NAME_LENGTH_MAX

metadata = sa.MetaData()

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("account_id", sa.String(24), primary_key=True),
    sa.Column("name", sa.String(NAME_LENGTH_MAX), nullable=False),
    sa.Column("time_zone", sa.String(64), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("app_secret", sa.String(SECRET_LENGTH_MAX), nullable=False, server_default=""),
    sa.Column("report_rules", sa.Text, nullable=False, server_default="{}"),
)
pixels = sa.Table(
    "pixels",
    metadata,
    sa.Column("pixel_id", sa.String(16), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
    sa.Column("name", sa.String(NAME_LENGTH_MAX), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("rules", sa.Text, nullable=False, server_default="{}"),
)
tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("token_sha256", sa.String(64), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
    sa.Column("name", sa.String(NAME_LENGTH_MAX), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("alert_id", sa.Integer, primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
    sa.Column("pixel_id", sa.String(16), nullable=False),
    sa.Column("measure", sa.String(16), nullable=False),
    sa.Column("event_name", sa.String(256), nullable=False),
    sa.Column("source", sa.String(16), nullable=False),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("closed_at", sa.BigInteger),
    sa.Column("window_s", sa.Integer, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
    sa.Column("expected", sa.Float, nullable=False),
    sa.Column("lowest", sa.Float, nullable=False),
    sa.Column("highest", sa.Float, nullable=False),
    sa.Column("told", sa.String(8), nullable=False),
)
destinations = sa.Table(
    "destinations",
    metadata,
    sa.Column("destination_id", sa.String(16), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", sa.String(NAME_LENGTH_MAX), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("is_paused", sa.Boolean, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("rules", sa.Text, nullable=False),
)
shops = sa.Table(
    "shops",
    metadata,
    sa.Column("shop_id", sa.String(16), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
    sa.Column("pixel_id", sa.ForeignKey("pixels.pixel_id"), nullable=False),
    sa.Column("platform", sa.String(16), nullable=False),
    sa.Column("name", sa.String(NAME_LENGTH_MAX), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("secrets", sa.Text, nullable=False),
    sa.Column("api_token", sa.Text, nullable=False),
    sa.Column("rules", sa.Text, nullable=False),
)
setups = sa.Table(
    "setups",
    metadata,
    sa.Column("setup_id", sa.String(16), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
    sa.Column("pixel_id", sa.ForeignKey("pixels.pixel_id"), nullable=False),
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
custom_conversions = sa.Table(
    "custom_conversions",
    metadata,
    sa.Column("custom_conversion_id", sa.String(20), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
    sa.Column("pixel_id", sa.String(16), nullable=False),
    sa.Column("name", sa.String(NAME_LENGTH_MAX), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("custom_event_type", sa.String(32), nullable=False),
    sa.Column("action_source_type", sa.String(32), nullable=False),
    sa.Column("default_value", sa.String(32), nullable=False),
    sa.Column("is_archived", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
report_runs = sa.Table(
    "report_runs",
    metadata,
    sa.Column("report_run_id", sa.String(20), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
    sa.Column("node", sa.String(32), nullable=False),
    sa.Column("parameters", sa.Text, nullable=False),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("completed_at", sa.BigInteger),
    sa.Column("answer", sa.LargeBinary),
)
audiences = sa.Table(
    "audiences",
    metadata,
    sa.Column("audience_id", sa.String(20), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
    sa.Column("name", sa.String(NAME_LENGTH_MAX), nullable=False),
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
audience_sizes = sa.Table(
    "audience_sizes",
    metadata,
    sa.Column("audience_id", sa.String(20), primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True),
    sa.Column("members", sa.BigInteger, nullable=False),
)
audience_states = sa.Table(
    "audience_states",
    metadata,
    sa.Column("audience_id", sa.String(20), primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
)
# A list is changed to another by a word in its row; rows that are no list's any longer go in
# their own time. So what holds the list refers to it without a foreign key.
customer_lists = sa.Table(
    "customer_lists",
    metadata,
    sa.Column("list_id", sa.Integer, primary_key=True),
    sa.Column("audience_id", sa.String(20), nullable=False, index=True),
    sa.Column("session_id", sa.String(20), nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
)
_long_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
list_entries = sa.Table(
    "list_entries",
    metadata,
    sa.Column("entry_id", _long_id, primary_key=True),
    sa.Column("list_id", sa.Integer, nullable=False),
    sa.Column("row_key", sa.BigInteger, nullable=False),
    sa.Column("identifiers", sa.Text, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("is_limited", sa.Boolean, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("list_id", "row_key"),
)
list_keys = sa.Table(
    "list_keys",
    metadata,
    sa.Column("identifier_key", sa.BigInteger, primary_key=True),
    sa.Column("entry_id", sa.BigInteger, primary_key=True, index=True),
    sqlite_with_rowid=False,
)
list_batches = sa.Table(
    "list_batches",
    metadata,
    sa.Column("audience_id", sa.String(20), primary_key=True),
    sa.Column("session_id", sa.String(20), primary_key=True),
    sa.Column("batch_seq", sa.BigInteger, primary_key=True),
    sa.Column("digest", sa.BigInteger, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False, index=True),
)
users = sa.Table(
    "users",
    metadata,
    sa.Column("user_name", sa.String(USER_NAME_LENGTH_MAX), primary_key=True),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("is_operator", sa.Boolean, nullable=False),
    sa.Column("is_disabled", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
roles = sa.Table(
    "roles",
    metadata,
    sa.Column("user_name", sa.ForeignKey("users.user_name"), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
)
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("session_sha256", sa.String(64), primary_key=True),
    sa.Column("user_name", sa.ForeignKey("users.user_name"), nullable=False, index=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("browser", sa.String(200), nullable=False),
)
links = sa.Table(
    "links",
    metadata,
    sa.Column("link_sha256", sa.String(64), primary_key=True),
    sa.Column("user_name", sa.ForeignKey("users.user_name"), index=True),
    sa.Column("ends_at", sa.BigInteger, nullable=False),
)
changes = sa.Table(
    "changes",
    metadata,
    sa.Column("change_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("account_id", sa.String(24), index=True),
    sa.Column("who", sa.String(300), nullable=False),
    sa.Column("what", sa.String(32), nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("details", sa.Text, nullable=False),
)
products = sa.Table(
    "products",
    metadata,
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), primary_key=True),
    sa.Column("product_id", sa.String(100), primary_key=True),
    sa.Column("item_group_id", sa.String(100), nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("brand", sa.Text, nullable=False),
    sa.Column("price", sa.String(32), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("availability", sa.String(32), nullable=False),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("image_link", sa.Text, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)
product_audiences = sa.Table(
    "product_audiences",
    metadata,
    sa.Column("audience_id", sa.String(20), primary_key=True),
    sa.Column("interest", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
)
audience_shares = sa.Table(
    "audience_shares",
    metadata,
    sa.Column("share_id", sa.String(20), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
    sa.Column("audience_id", sa.String(20), nullable=False, index=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("version", sa.String(8), nullable=False),
    sa.Column("remote_account_id", sa.String(24), nullable=False),
    sa.Column("remote_audience_id", sa.String(24), nullable=False),
    sa.Column("remote_name", sa.Text, nullable=False),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("is_paused", sa.Boolean, nullable=False),
    sa.Column("is_ending", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("change_id", sa.BigInteger, nullable=False),
    sa.Column("looked_at", sa.BigInteger, nullable=False),
    sa.Column("compared_at", sa.BigInteger, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
)
audience_given = sa.Table(
    "audience_given",
    metadata,
    sa.Column("share_id", sa.ForeignKey("audience_shares.share_id"), primary_key=True),
    sa.Column("person_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("keys", sa.Text, nullable=False),
    sa.Column("is_sure", sa.Boolean, nullable=False),
)
audience_pushes = sa.Table(
    "audience_pushes",
    metadata,
    sa.Column("push_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("share_id", sa.ForeignKey("audience_shares.share_id"), nullable=False, index=True),
    sa.Column("began_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger, nullable=False),
    sa.Column("added", sa.Integer, nullable=False),
    sa.Column("removed", sa.Integer, nullable=False),
    sa.Column("nameless", sa.Integer, nullable=False),
    sa.Column("invalid", sa.Integer, nullable=False),
    sa.Column("requests", sa.Integer, nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("code", sa.String(32), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
)
audience_webhooks = sa.Table(
    "audience_webhooks",
    metadata,
    sa.Column("webhook_id", sa.String(20), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
    sa.Column("audience_id", sa.String(20), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("is_paused", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("change_id", sa.BigInteger, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("delivered", sa.BigInteger, nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
)
