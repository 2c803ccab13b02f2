"""Which identifiers hang together, and since when."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from doublet.models.components import (
    NEIGHBOURS_MAX,
    Merge,
    Persons,
    Profile,
    find_persons,
    find_shared,
)
from doublet.models.persons import LAST_S, spans_of

PROFILES = st.lists(
    st.tuples(
        st.integers(0, 50), st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True)
    ),
    max_size=14,
).map(
    lambda rows: [
        Profile(n, at * 1_000_000, tuple(sorted(ids))) for n, (at, ids) in enumerate(rows)
    ]
)


def components(profiles: list[Profile]) -> set[frozenset[int]]:
    """The components by definition: sets of identifiers joined while any two overlap."""
    groups = [set(profile.identifiers) for profile in profiles]
    while True:
        for a in groups:
            b = next((other for other in groups if other is not a and other & a), None)
            if b is not None:
                a |= b
                groups = [group for group in groups if group is not b]
                break
        else:
            return {frozenset(group) for group in groups}


def as_groups(made: Persons) -> set[frozenset[int]]:
    groups: dict[int, set[int]] = {}
    for identifier, person in made.of.items():
        groups.setdefault(person, set()).add(identifier)
    return {frozenset(group) for group in groups.values()}


@given(PROFILES, st.randoms(use_true_random=False))
def test_persons_are_connected_components_in_whatever_order(
    profiles: list[Profile], chance: random.Random
) -> None:
    made = find_persons(profiles)
    assert components(profiles) == as_groups(made)
    shuffled = list(profiles)
    chance.shuffle(shuffled)
    assert made == find_persons(shuffled)


@given(PROFILES)
def test_each_moment_has_the_persons_known_by_then(profiles: list[Profile]) -> None:
    made = find_persons(profiles)
    spans = spans_of(made)
    for until in {profile.first_at for profile in profiles}:
        known = [profile for profile in profiles if profile.first_at <= until]
        then = find_persons(known)
        at_s = until // 1_000_000
        root = {s.person: s.root for s in spans if s.since_s <= at_s < s.until_s}
        for profile in known:
            assert then.root()[then.own[profile.key]] == root[made.own[profile.key]]
    for person in made.founded:
        theirs = sorted((s.since_s, s.until_s) for s in spans if s.person == person)
        assert theirs[0][0] == 0
        assert theirs[-1][1] == LAST_S
        assert all(a[1] == b[0] for a, b in itertools.pairwise(theirs))


def test_the_elder_person_keeps_its_id() -> None:
    made = find_persons(
        [Profile(1, 10, (5,)), Profile(2, 20, (3,)), Profile(3, 30, (3, 5)), Profile(4, 40, (5,))]
    )
    assert made.merges == [Merge(3, 5, 30, 3)]
    assert made.own == {1: 5, 2: 3, 3: 5, 4: 5}


def test_what_a_decision_keeps_apart_stays_apart_whatever_comes() -> None:
    profiles = [
        Profile(1, 10, (1, 9)),
        Profile(2, 20, (2, 9)),
        Profile(3, 30, (1, 2)),
        Profile(4, 40, (2, 3)),
        Profile(5, 50, (1, 3)),
    ]
    assert as_groups(find_persons(profiles)) == {frozenset({1, 2, 3, 9})}
    assert as_groups(find_persons(profiles, apart=[(1, 2)])) == {
        frozenset({1, 9}),
        frozenset({2, 3}),
    }


@given(PROFILES, st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=4))
def test_no_person_has_what_is_kept_apart(
    profiles: list[Profile], pairs: list[tuple[int, int]]
) -> None:
    apart = [(a, b) for a, b in pairs if a != b]
    made = find_persons(profiles, apart=apart)
    for a, b in apart:
        assert a not in made.of or b not in made.of or made.of[a] != made.of[b]


def test_an_identifier_of_too_many_joins_nobody() -> None:
    most = NEIGHBOURS_MAX["em"]
    kinds = {0: "ph", **dict.fromkeys(range(1, most + 2), "em")}
    few = [Profile(n, n, (0, n)) for n in range(1, most + 1)]
    assert find_shared(few, kinds) == set()
    many = [*few, Profile(most + 1, 9, (0, most + 1))]
    assert find_shared(many, kinds) == {0}
    assert len(as_groups(find_persons(many, {0}))) == most + 1
    # Who is known by nothing else is nobody.
    assert find_persons([Profile(1, 1, (0,))], {0}).own == {}
