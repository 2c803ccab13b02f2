"""Which identifiers are one person's: connected components, and in which order they came about.

A *profile* is the set of identifiers that one record carries. Profiles are taken in the order in
which they were first received; each joins the persons whose identifiers it carries, the younger
ones into the oldest (Kruskal 1956, with time as the weight of an edge, so that the tree of merges
says when two identifiers became one person's). What comes out depends on the profiles alone, never
on the order in which they are given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

PEOPLE_KINDS = (
    *("em", "ph", "external_id", "app_user_id", "subscription_id", "fb_login_id"),
    *("page_scoped_user_id", "ig_sid"),
)
"""Kinds of identifiers that name a person whatever the device."""

NEIGHBOURS_MAX: dict[str, int] = {
    **dict.fromkeys(PEOPLE_KINDS, 3),
    "lead_id": 50,
    **dict.fromkeys(("fbp", "anon_id", "madid", "fbc", "ctwa_clid"), 200),
}
"""Beside how many different identifiers of a kind an identifier may stand and be one person's.
Few people have more than three addresses, numbers or accounts in one shop; a shop's own address, a
call centre's telephone or a kiosk's cookie soon has more. Each form that is filled in makes a lead,
and each deleted cookie a new one."""


class Profile(NamedTuple):
    """Identifiers (by key, in rising order) that one record carries, or several with the same ones;
    the first was received at `first_at` (µs since 1970). `variants` are those among them that
    another spelling of the same value has: they join like others, and tell of nobody more."""

    key: int
    first_at: int
    identifiers: tuple[int, ...]
    variants: frozenset[int] = frozenset()


class Merge(NamedTuple):
    """One person turned out to be another one, by a profile, at `at` (µs since 1970)."""

    person: int
    into: int
    at: int
    profile: int


class Persons(NamedTuple):
    """What the profiles come to.

    `own`: the person of each profile when it was first received; a profile that carries only shared
    identifiers has none. `founded`: when each person was first seen. `of`: the person of each
    identifier in the end. `merges` in order of time; the persons of a profile later on follow from
    them.
    """

    own: dict[int, int]
    founded: dict[int, int]
    of: dict[int, int]
    merges: list[Merge]

    def root(self) -> dict[int, int]:
        """The person that each person is in the end."""
        last = {merge.person: merge.into for merge in self.merges}
        roots: dict[int, int] = {}
        for person in self.founded:
            path = [person]
            while path[-1] in last and path[-1] not in roots:
                path.append(last[path[-1]])
            root = roots.get(path[-1], path[-1])
            roots.update(dict.fromkeys(path, root))
        return roots


class _Forest:
    """Union-find over identifiers; a component is named by the person that founded it."""

    def __init__(self, apart: Iterable[tuple[int, int]]) -> None:
        self._parent: dict[int, int] = {}
        self.person: dict[int, int] = {}
        self.age: dict[int, int] = {}
        self._foes: dict[int, set[int]] = {}
        self._inside: dict[int, set[int]] = {}
        for a, b in apart:
            self._foes.setdefault(a, set()).add(b)
            self._foes.setdefault(b, set()).add(a)

    def __contains__(self, identifier: int) -> bool:
        return identifier in self._parent

    def __iter__(self) -> Iterator[int]:
        return iter(self._parent)

    def find(self, identifier: int) -> int:
        """The root of an identifier's component."""
        parent = self._parent
        root = identifier
        while parent[root] != root:
            root = parent[root]
        while parent[identifier] != root:
            parent[identifier], identifier = root, parent[identifier]
        return root

    def found(self, identifier: int) -> int:
        """A component of one identifier."""
        self._parent[identifier] = identifier
        self.person[identifier] = identifier
        self.age[identifier] = len(self.age)
        if identifier in self._foes:
            self._inside[identifier] = {identifier}
        return identifier

    def may_join(self, a: int, b: int) -> bool:
        """Whether no decision keeps two components apart, by their roots."""
        if not self._inside:
            return True
        others = self._inside.get(b, ())
        return not any(self._foes[one] & set(others) for one in self._inside.get(a, ()))

    def join(self, elder: int, younger: int) -> None:
        """Make the younger component, by its root, part of the elder."""
        self._parent[younger] = elder
        if younger in self._inside:
            self._inside.setdefault(elder, set()).update(self._inside.pop(younger))


def find_persons(
    profiles: Iterable[Profile],
    shared: Collection[int] = (),
    apart: Iterable[tuple[int, int]] = (),
) -> Persons:
    """Join the profiles to persons. `shared` identifiers join nobody; two identifiers of a pair in
    `apart` are never one person's, however they hang together: of what would join them, the
    earliest stands.

    >>> made = find_persons([Profile(1, 10, (7,)), Profile(2, 20, (8,)), Profile(3, 30, (7, 8))])
    >>> made.own, made.merges
    ({1: 7, 2: 8, 3: 7}, [Merge(person=8, into=7, at=30, profile=3)])
    """
    forest = _Forest(apart)
    own: dict[int, int] = {}
    founded: dict[int, int] = {}
    merges: list[Merge] = []
    for profile in sorted(profiles, key=lambda each: (each.first_at, each.key)):
        theirs = [each for each in profile.identifiers if each not in shared]
        if not theirs:
            continue
        known = {forest.find(each) for each in theirs if each in forest}
        if known:
            base, *others = sorted(known, key=forest.age.__getitem__)
        else:
            base, others = forest.found(theirs[0]), []
            founded[theirs[0]] = profile.first_at
        for other in others:
            if forest.may_join(base, other):
                merges.append(
                    Merge(forest.person[other], forest.person[base], profile.first_at, profile.key)
                )
                forest.join(base, other)
        for each in theirs:
            if each not in forest:
                new = forest.found(each)
                if forest.may_join(base, new):
                    forest.join(base, new)
                else:
                    founded[each] = profile.first_at
        own[profile.key] = forest.person[base]
    of = {each: forest.person[forest.find(each)] for each in forest}
    return Persons(own, founded, of, merges)


def find_shared(profiles: Iterable[Profile], kind_of: Mapping[int, str]) -> set[int]:
    """Identifiers that stand beside more others than one person plausibly has.

    >>> kinds = {0: "fbp", **dict.fromkeys(range(1, 8), "em")}
    >>> find_shared([Profile(n, n, (0, n)) for n in range(1, 8)], kinds)
    {0}
    """
    beside: dict[int, set[int]] = {}
    for profile in profiles:
        proper = [each for each in profile.identifiers if each not in profile.variants]
        for each in profile.identifiers:
            beside.setdefault(each, set()).update(proper)
    shared = set()
    least = min(NEIGHBOURS_MAX.values())
    for identifier, others in beside.items():
        if len(others) <= least:
            continue
        counts: dict[str, int] = {}
        for other in others:
            if other != identifier:
                kind = kind_of[other]
                counts[kind] = counts.get(kind, 0) + 1
        if any(count > NEIGHBOURS_MAX[kind] for kind, count in counts.items()):
            shared.add(identifier)
    return shared
