"""What clients may send, as Hypothesis makes it: likely events, loose ones, any JSON, parameters.

`EMAIL` is planted everywhere; it must never be found in what is stored.
"""

from __future__ import annotations

import json

from hypothesis import strategies as st

from doublet.event import Event
from tests.factories import NOON, SECOND, make_event, sha256

EMAIL = "planted.mary@private-mail.example"

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [*('\0 \n {"a":1} [[ 1e400 website USD 99999999999999.99999'.split(" ")), NOON // SECOND]
    )
    | st.sampled_from([EMAIL, f"x {EMAIL} y", EMAIL.replace("@", "%40"), sha256("a")])
    | st.sampled_from([json.dumps({"email": EMAIL, "x": [EMAIL]}), f"http://a.example/?e={EMAIL}"])
)
KEYS = st.text(max_size=8) | st.sampled_from(
    ["value", "currency", "contents", "order_id", "email", "id", EMAIL, "a.b", "", "\0"]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)
USER_KEYS = st.sampled_from(
    "em ph fn ge db st zp country external_id dobm fbc fbp client_ip_address client_user_agent "
    "madid lead_id hobby".split()
)
LOOSE_EVENTS = st.dictionaries(
    st.sampled_from((*Event.__struct_fields__, "referrer_url", "app_data", "opt_out")), TREES
)
LIKELY_EVENTS = st.builds(
    lambda user, custom, others: {**make_event(user_data=user, custom_data=custom), **others},
    st.dictionaries(USER_KEYS, TREES, max_size=5).map(lambda user: {"external_id": 1, **user}),
    st.dictionaries(KEYS, TREES, max_size=5).map(
        lambda custom: {"value": 1, "currency": "USD", **custom}
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "event_name": st.text(min_size=1, max_size=20) | st.just(EMAIL),
            "event_id": st.none() | st.integers() | st.text(max_size=20) | st.just(EMAIL),
            "action_source": st.text(max_size=20) | st.just(EMAIL),
            "event_source_url": st.text(max_size=20) | st.just(f"http://a.example/?e={EMAIL}"),
            "referrer_url": st.text(max_size=20) | st.just(f"//{EMAIL}/?{EMAIL}={EMAIL}#{EMAIL}"),
            "app_data": st.dictionaries(KEYS, TREES, max_size=3),
        },
    ),
)

NAMES = st.text(max_size=10) | st.sampled_from(
    f"ev id ts eid eid[] dl rl fbc fbp sw a tz cd[value] cd[contents] cd[currency] cd[{EMAIL}] "
    "cd[] cd[ ud[em] ud[ph] ud[x]".split()
)
VALUES = st.text(max_size=20) | LEAVES.map(str) | TREES.map(json.dumps)
