"""A stream of impressions whose true rates are known. Everything here is made up and was fixed
before any figure was looked at; delays in particular are simulated.

Persons have three traits that nobody sees; audiences show them dimly. Every ad set appeals to
traits in its own way, for the click and, otherwise, for the action. Some of it is beyond any sum
of effects of features: products of two traits. In every ad set one ad comes late, in every
campaign one ad set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from doublet.delivery.delay import WINDOW_S, probability
from doublet.delivery.examples import AdKey, Examples, Numbers

DAY_S = 86_400.0
START = 1_790_000_000 // 86_400 * 86_400.0
PLACES = ("home", "list", "article", "search")
DEVICES = ("phone", "desktop", "tablet")
AUDIENCES = 12


@dataclass(frozen=True)
class Ground:
    """How large the stream is."""

    campaigns: int = 4
    adsets: int = 3
    ads: int = 4
    persons: int = 50_000
    days: int = 14
    impressions: int = 100_000
    """A day."""
    held_out_days: int = 3
    held_out_times: int = 5
    """How much more traffic held-out days have, so that what is observed is itself exact."""
    click_base: float = -4.0
    action_base: float = -2.4


class Stream(NamedTuple):
    """Impressions, with the true probabilities of a click and of an action after it, and which
    were to be learned from."""

    examples: Examples
    p_click: Numbers
    p_action: Numbers
    is_past: NDArray[np.bool_]
    ends_at: float
    goals: dict[str, str]


def stream(ground: Ground, seed: int) -> Stream:
    """One stream; persons, ads and what they like differ by seed."""
    chance = np.random.default_rng(seed)
    keys, begins = _ads(ground)
    adset_of = np.arange(len(keys)) // ground.ads
    days = ground.days + ground.held_out_days
    counts = np.full(days, ground.impressions)
    counts[ground.days :] *= ground.held_out_times
    day = np.repeat(np.arange(days), counts)
    busy = 1.2 + np.sin((np.arange(24) - 9) / 24 * 2 * np.pi)
    hour = chance.choice(24, len(day), p=busy / busy.sum())
    ad = _served(day, begins, chance)
    person = chance.integers(ground.persons, size=len(day))
    place = chance.choice(len(PLACES), len(day), p=(0.4, 0.3, 0.2, 0.1))
    device = chance.choice(len(DEVICES), ground.persons, p=(0.6, 0.3, 0.1))[person]
    traits = chance.normal(size=(ground.persons, 3))
    shows = chance.normal(size=(3, AUDIENCES))
    levels = traits @ shows + chance.normal(size=(ground.persons, AUDIENCES))
    shares = np.geomspace(0.02, 0.4, AUDIENCES)
    is_member = levels > np.quantile(levels, 1 - shares, axis=0).diagonal()
    world = (traits[person], place, device, hour, ad, adset_of[ad])
    p_click = probability(ground.click_base + _appeal(ground, chance, *world))
    p_action = probability(ground.action_base + _appeal(ground, chance, *world))
    decided_at = START + day * DAY_S + hour * 3600 + chance.random(len(day)) * 3600
    clicked = chance.random(len(day)) < p_click
    acted = clicked & (chance.random(len(day)) < p_action)
    clicked_at = np.where(clicked, decided_at + chance.exponential(20, len(day)), np.nan)
    is_lead = adset_of[ad] // ground.adsets == ground.campaigns - 1
    took = _delays(len(day), chance) * np.where(is_lead, 0.25, 1.0)
    worth = np.exp(chance.normal(0, 0.3, len(adset_of)))[adset_of[ad]] * 400_000
    value = np.where(acted, worth * np.exp(chance.normal(0, 0.5, len(day))), 0.0)
    acted_at = np.where(acted, clicked_at + took, np.nan)
    words, starts, places = _features(is_member[person], place, device, hour, day)
    order = np.argsort(decided_at, kind="stable")
    all_same = np.ones(len(day))
    columns = (ad.astype(np.int32), decided_at, clicked_at, acted_at, value, all_same)
    examples = Examples(words, starts, places, keys, *columns).take(order)
    goals = {
        k.adset_id: "Lead" if k.campaign_id == f"c{ground.campaigns - 1}" else "Purchase"
        for k in keys
    }
    is_past = (day < ground.days)[order]
    return Stream(
        examples, p_click[order], p_action[order], is_past, START + ground.days * DAY_S, goals
    )


def _ads(ground: Ground) -> tuple[tuple[AdKey, ...], NDArray[np.int64]]:
    """Ads, and the day each begins on."""
    keys, begins = [], []
    for campaign in range(ground.campaigns):
        for adset in range(ground.adsets):
            for ad in range(ground.ads):
                adset_id = f"s{campaign}.{adset}"
                keys.append(AdKey(f"a{campaign}.{adset}.{ad}", adset_id, f"c{campaign}"))
                is_late_set, is_late_ad = adset == ground.adsets - 1, ad == ground.ads - 1
                begins.append(max(ground.days // 2 * is_late_set, (ground.days - 2) * is_late_ad))
    return tuple(keys), np.array(begins)


def _served(
    day: NDArray[np.int64], begins: NDArray[np.int64], chance: np.random.Generator
) -> NDArray[np.int64]:
    """Any ad that has begun, with equal chances."""
    ad = np.zeros(len(day), np.int64)
    for one in np.unique(day):
        of_it = day == one
        ad[of_it] = chance.choice(np.flatnonzero(begins <= one), of_it.sum())
    return ad


def _appeal(
    ground: Ground,
    chance: np.random.Generator,
    traits: Numbers,
    place: NDArray[np.int64],
    device: NDArray[np.int64],
    hour: NDArray[np.int64],
    ad: NDArray[np.int64],
    adset: NDArray[np.int64],
) -> Numbers:
    """What is added to the base of a logit."""
    adsets = ground.campaigns * ground.adsets
    campaign = adset // ground.adsets
    total = chance.normal(0, 0.3, ground.campaigns)[campaign] + chance.normal(0, 0.3, adsets)[adset]
    total += chance.normal(0, 0.3, adsets * ground.ads)[ad]
    total += np.einsum("ij,ij->i", traits, chance.normal(0, 0.4, (adsets, 3))[adset])
    total += traits[:, 0] * traits[:, 1] * chance.normal(0, 0.2, adsets)[adset]
    total += chance.normal(0, 0.3, len(PLACES))[place]
    total += chance.normal(0, 0.2, (len(PLACES), adsets))[place, adset]
    total += chance.normal(0, 0.2, len(DEVICES))[device]
    return np.asarray(total + 0.2 * np.sin((hour - chance.integers(24)) / 24 * 2 * np.pi))


def _delays(count: int, chance: np.random.Generator) -> Numbers:
    """Two in five act in minutes, the others in days, all within the window."""
    slow = -2 * DAY_S * np.log1p(-chance.random(count) * -np.expm1(-WINDOW_S / (2 * DAY_S)))
    return np.where(chance.random(count) < 0.4, chance.exponential(1_200, count), slow)


def _features(
    is_member: NDArray[np.bool_],
    place: NDArray[np.int64],
    device: NDArray[np.int64],
    hour: NDArray[np.int64],
    day: NDArray[np.int64],
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int32]]:
    words = [f"aud:{n}" for n in range(AUDIENCES)]
    columns = []
    for kind, values, codes in (
        ("place", PLACES, place),
        ("device", DEVICES, device),
        ("hour", range(24), hour),
        ("weekday", range(7), day % 7),
    ):
        columns.append(codes + len(words))
        words += [f"{kind}:{value}" for value in values]
    always = np.stack(columns, axis=1)
    every = np.concatenate([np.broadcast_to(np.arange(AUDIENCES), is_member.shape), always], axis=1)
    is_there = np.concatenate([is_member, np.ones(always.shape, bool)], axis=1)
    starts = np.concatenate([[0], np.cumsum(is_there.sum(axis=1))])
    return tuple(words), starts, every[is_there].astype(np.int32)
