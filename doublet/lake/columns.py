"""The columns of the lake's tables, once for DuckDB (which writes the files) and for Delta."""

from __future__ import annotations

from typing import NamedTuple

from deltalake import Field, Schema
from deltalake.schema import ArrayType, PrimitiveType, StructType

from doublet.normalize import HASHED_KEYS, PLAIN_KEYS

_USER_DATA = "user_data"

_DELTA = {
    "varchar": "string",
    "bigint": "long",
    "integer": "integer",
    "boolean": "boolean",
    "double": "double",
    "date": "date",
    "timestamptz": "timestamp",
    "decimal(18,4)": "decimal(18,4)",
}


class Column(NamedTuple):
    """A column: its name, its DuckDB type and one line for people."""

    name: str
    type: str
    about: str


_PLACE = (
    Column("received_at", "timestamptz", "When it was accepted; rises within a log slot."),
    Column("received_date", "date", "UTC date of received_at; the partition."),
    Column("log_slot", "integer", "Log partition."),
    Column("log_offset", "bigint", "Offset in it; (slot, offset) names one record for ever."),
)

EVENTS: tuple[Column, ...] = (
    Column("account_id", "varchar", "Owner of the pixel."),
    Column("pixel_id", "varchar", "Pixel (Meta: dataset) that the copy was sent to."),
    Column("record_type", "varchar", "event."),
    Column("source", "varchar", "browser or server: which door it came through."),
    *_PLACE,
    Column("event_key", "bigint", "Same for all copies with the same pixel, name and event id."),
    Column("event_name", "varchar", "As on the wire."),
    Column("event_time", "bigint", "Unix seconds, as the client claims."),
    Column(
        "event_id",
        "varchar",
        "As on the wire; null when none was sent; erased when the person was.",
    ),
    Column("action_source", "varchar", "website, app, physical_store, …"),
    Column("event_source_url", "varchar", "Page address without personal values."),
    Column(_USER_DATA, _USER_DATA, "Customer information; hashed keys are lists of SHA-256."),
    Column("value", "decimal(18,4)", "custom_data.value, exact."),
    Column("currency", "varchar", "ISO 4217, upper case."),
    Column("order_id", "varchar", "custom_data.order_id."),
    Column("custom_data", "varchar", "JSON text of all of custom_data."),
    Column("extra", "varchar", "JSON text of the other wire fields."),
    Column(
        "flags",
        "varchar[]",
        "What was odd about it, e.g. missing_ts; erased when it was made anonymous.",
    ),
    Column("is_test", "boolean", "Made by our own checks; stays out of reports."),
)

REFUSED: tuple[Column, ...] = (
    Column("account_id", "varchar", "Account that the token proved; empty when none did."),
    Column("pixel_id", "varchar", "Pixel id in the request, whether it exists or not."),
    Column("record_type", "varchar", "refused."),
    Column("source", "varchar", "browser or server."),
    Column("received_at", "timestamptz", "When it was refused."),
    Column("received_date", "date", "UTC date of received_at; the partition."),
    Column("log_slot", "integer", "Log partition."),
    Column("log_offset", "bigint", "Offset in it."),
    Column("reason", "varchar", "Stable code of the reason."),
    Column("message", "varchar", "The sentence that the sender got."),
    Column("size_bytes", "bigint", "Size of the body."),
    Column("sha256", "varchar", "Digest of the body."),
    Column("payload", "varchar", "JSON text of the hashed events, where the body was readable."),
)

ORDER_MESSAGES: tuple[Column, ...] = (
    Column("account_id", "varchar", "Owner of the order."),
    Column("record_type", "varchar", "order."),
    Column("source", "varchar", "server."),
    *_PLACE,
    Column("order_id", "varchar", "The order, as in the Purchase's custom_data.order_id."),
    Column("kind", "varchar", "placed, edited, refunded, cancelled, …"),
    Column("changed_at", "timestamptz", "When it happened, by the shop's clock."),
    Column("message_id", "varchar", "Names the change; what bears one id counts once."),
    Column("message_key", "bigint", "Same for messages that say the same."),
    Column("value", "decimal(18,4)", "Total or amount, by kind; null when none was given."),
    Column("currency", "varchar", "ISO 4217, upper case; null: the order's."),
    Column("parent_order_id", "varchar", "Of a renewal: the subscription's first order."),
    Column("action_source", "varchar", "website, physical_store, …"),
)

AD_TOUCHES: tuple[Column, ...] = (
    Column("account_id", "varchar", "Account of the token that it came with."),
    Column("record_type", "varchar", "ad_touch."),
    Column("source", "varchar", "server."),
    *_PLACE,
    Column("touch_id", "varchar", "Names the touch; what bears one id counts once."),
    Column("touch_key", "bigint", "Same for records of the same touch."),
    Column("kind", "varchar", "view, click, engaged_view; held_out: left out for a holdout."),
    Column("touched_at", "timestamptz", "When it happened, by the sender's clock."),
    Column("platform", "varchar", "meta, google, tiktok, … or a network's own name."),
    Column("campaign_id", "varchar", "Campaign."),
    Column("adset_id", "varchar", "Ad set."),
    Column("ad_id", "varchar", "Ad."),
    Column("placement", "varchar", "Where it was shown."),
    Column("click_id", "varchar", "Of a click: the id that its landing page gets."),
    Column("experiment", "varchar", "The holdout that it belongs to."),
    Column("cost", "decimal(18,4)", "What it cost; null where that is not said."),
    Column("currency", "varchar", "ISO 4217, of the cost."),
    Column(_USER_DATA, _USER_DATA, "Whom it was shown; hashed keys are lists of SHA-256."),
    Column("flags", "varchar[]", "What was odd about it; erased when it was made anonymous."),
    Column("is_test", "boolean", "Made by our own checks; stays out of reports."),
)

AD_DAYS: tuple[Column, ...] = (
    Column("account_id", "varchar", "Account of the token that it came with."),
    Column("record_type", "varchar", "ad_day."),
    Column("source", "varchar", "server."),
    *_PLACE,
    Column("platform", "varchar", "meta, google, tiktok, … or a network's own name."),
    Column("level", "varchar", "campaign, adset or ad: what the row is of."),
    Column("date", "date", "Day in the platform's account; null: only names."),
    Column("campaign_id", "varchar", "Campaign."),
    Column("campaign_name", "varchar", "Its name."),
    Column("adset_id", "varchar", "Ad set."),
    Column("adset_name", "varchar", "Its name."),
    Column("ad_id", "varchar", "Ad."),
    Column("ad_name", "varchar", "Its name."),
    Column("impressions", "bigint", "As the platform counts; null: not said."),
    Column("clicks", "bigint", "Clicks, likewise."),
    Column("reach", "bigint", "Persons, likewise."),
    Column("spend", "decimal(18,4)", "Cost of the day."),
    Column("currency", "varchar", "ISO 4217, of the spend."),
    Column("reported", "varchar", "JSON text: the platform's own conversions."),
    Column(
        "time_zone", "varchar", "IANA name of the zone that the day is of; null: the account's."
    ),
)

AD_DECISIONS: tuple[Column, ...] = (
    Column("account_id", "varchar", "Owner of the campaign."),
    Column("record_type", "varchar", "ad_decision."),
    Column("source", "varchar", "server."),
    *_PLACE,
    Column("decision_id", "varchar", "Names the decision; one has a row for each ad it chose."),
    Column("decided_at", "timestamptz", "When it was made."),
    Column("placement", "varchar", "Where the ad was asked for."),
    Column("policy", "varchar", "The model that the rates are from; prior: none was learned yet."),
    Column("position", "integer", "Place in the answer, from 1."),
    Column("ad_id", "varchar", "The ad that was chosen."),
    Column("adset_id", "varchar", "Its ad set."),
    Column("campaign_id", "varchar", "Its campaign."),
    Column("propensity", "double", "With what probability it was chosen for this place."),
    Column("p_click", "double", "Predicted clicks per impression."),
    Column("p_action", "double", "Predicted actions of the ad set's goal per impression."),
    Column("value", "double", "Predicted value of those actions per impression."),
    Column("bid", "double", "Bid per action, for value goals per unit of value."),
    Column("total_value", "double", "What decided: bid times rate plus quality, per impression."),
    Column("price", "decimal(18,4)", "Cost of the billing event, if it happens in time."),
    Column("currency", "varchar", "ISO 4217, of bid, value and price."),
    Column("billing_event", "varchar", "IMPRESSIONS, or LINK_CLICKS: what the price is for."),
    Column("lease", "varchar", "The lease of the budget's ledger that pays it."),
    Column("is_explored", "boolean", "Whether it was drawn to learn about it."),
    Column("features", "varchar[]", "Person and context as known then: aud:ID, place:NAME, …"),
    Column("candidates", "integer", "How many ads could have been chosen."),
    Column("is_test", "boolean", "Made by our own checks; stays out of reports."),
)

DECISIONS: tuple[Column, ...] = (
    Column("account_id", "varchar", "Account that it is about."),
    Column("record_type", "varchar", "decision."),
    Column("source", "varchar", "server."),
    *_PLACE,
    Column(
        "decision_id",
        "varchar",
        "Names the decision; a later record of it replaces it. erased: it was about who is erased.",
    ),
    Column("kind", "varchar", "unmerge: two identifiers are not one person's."),
    Column(
        "identifier_a", "varchar", "An identifier as KEY=VALUE, hashed where events have it so."
    ),
    Column("identifier_b", "varchar", "The other one."),
    Column("reason", "varchar", "Why, in somebody's words."),
    Column("is_revoked", "boolean", "Whether it is taken back."),
)


def user_data_type() -> str:
    """DuckDB's type of the user_data column."""
    lists = ", ".join(f"{key} varchar[]" for key in HASHED_KEYS)
    texts = ", ".join(f"{key} varchar" for key in PLAIN_KEYS)
    return f"struct({lists}, {texts})"


def duckdb_type(column: Column) -> str:
    """How DuckDB spells the column's type."""
    return user_data_type() if column.type == _USER_DATA else column.type


def delta_schema(columns: tuple[Column, ...]) -> Schema:
    """The Delta schema of a table."""
    return Schema([Field(c.name, _delta_type(c), metadata={"comment": c.about}) for c in columns])


def _delta_type(column: Column) -> PrimitiveType | ArrayType | StructType:
    texts = ArrayType(PrimitiveType("string"), contains_null=True)
    if column.type == _USER_DATA:
        return StructType(
            [Field(key, texts) for key in HASHED_KEYS]
            + [Field(key, PrimitiveType("string")) for key in PLAIN_KEYS]
        )
    return texts if column.type == "varchar[]" else PrimitiveType(_DELTA[column.type])
