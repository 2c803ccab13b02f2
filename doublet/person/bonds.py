"""What holds copies together that are one event by what they say of the person: pseudonyms.

A server copy follows a browser's by external_id or fbp, Purchases with one number are kept apart
by the e-mail address. When those go, a keyed digest of the event, or of the order and its person,
takes their place: it is the same on copies of one event only, and says nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from doublet.engine import Engine
from doublet.person.find import Place
from doublet.person.identifiers import Digests

Bonds = Mapping[Place, Mapping[str, str]]
"""Pseudonyms by key of `user_data`, for the copies that need any."""

_LENGTH = 16
"""As many characters as the models compare (facts.sql)."""

_WANTED = (
    "select cast(unnest($slots) as integer) as log_slot, "
    "cast(unnest($offsets) as bigint) as log_offset"
)
_COPIES = (
    "select copies.*, coalesce(root_key, copies.event_key) as of_key, "
    "coalesce(root_at, copies.chain_at) as of_at "
    "from copies left join joins using (pixel_id, event_key, chain_at)"
)


def find_bonds(
    engine: Engine, digests: Digests, account_id: str, places: Collection[Place]
) -> Bonds:
    """The bonds of copies at these places, and of the other copies of events that are joined: those
    are to be made anonymous with them, or they would not be found any more."""
    given = {
        "slots": [slot for slot, _ in places],
        "offsets": [offset for _, offset in places],
    }
    bonds: dict[Place, dict[str, str]] = {}
    for row in engine.query(
        f"with placed as ({_COPIES}), "
        "events as (select distinct pixel_id, of_key, of_at from placed semi join "
        f"({_WANTED}) as wanted using (log_slot, log_offset)), "
        "joined as (select * from events semi join joins on events.pixel_id = joins.pixel_id "
        "and of_key = joins.root_key and of_at = joins.root_at) "
        "select log_slot, log_offset, concat_ws('/', pixel_id, of_key, epoch(of_at)) as event "
        "from placed semi join joined using (pixel_id, of_key, of_at)",
        given,
    ):
        pseudonym = digests.of(account_id, f"event={row['event']}")[:_LENGTH]
        bonds.setdefault((row["log_slot"], row["log_offset"]), {})["external_id"] = pseudonym
    for row in engine.query(
        "select log_slot, log_offset, concat_ws('/', pixel_id, order_id, order_person) as person "
        f"from (select * from copies semi join ({_WANTED}) as wanted "
        "using (log_slot, log_offset)) as theirs where order_person is not null and exists ("
        "select 1 from copies as others where others.pixel_id = theirs.pixel_id "
        "and others.order_id = theirs.order_id and others.order_person <> theirs.order_person)",
        given,
    ):
        pseudonym = digests.of(account_id, f"order_person={row['person']}")[:_LENGTH]
        bonds.setdefault((row["log_slot"], row["log_offset"]), {})["em"] = pseudonym
    return bonds
