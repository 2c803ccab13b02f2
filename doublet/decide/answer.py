"""What `/v1/decide` answers: the chosen ads, with links that tell what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from doublet.decide.asked import DecideRequest, Known
from doublet.delivery import UNITS
from doublet.delivery.decide import Chosen, Decision, Explained
from doublet.delivery.links import HeldOut, Link, Links, fresh_id
from doublet.delivery.records import amount, held_out_records
from doublet.delivery.shelf import Shelf
from doublet.event import AdDecision, encode


class Creative(msgspec.Struct, frozen=True):
    """What to show."""

    creative_id: str
    title: str
    body: str
    image_url: str
    description: str
    call_to_action: str


class AdAnswer(msgspec.Struct, frozen=True):
    """An ad for a place, from 1. Show `creative`, lead to `click_url`, and load `impression_url`
    once it can be seen."""

    position: int
    ad_id: str
    adset_id: str
    campaign_id: str
    creative: Creative
    impression_url: str
    click_url: str


class DecideAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer. `reason` says why there are fewer ads than asked for."""

    decision_id: str
    ads: list[AdAnswer]
    policy: str
    reason: str | msgspec.UnsetType = msgspec.UNSET
    explanation: list[Explained] | msgspec.UnsetType = msgspec.UNSET


class Writer:
    """Makes answers and records of decisions."""

    def __init__(self, links: Links, url: str) -> None:
        self._links = links
        self._url = url

    def write(
        self,
        shelf: Shelf,
        asked: DecideRequest,
        known: Known,
        features: tuple[str, ...],
        decision: Decision,
        at: int,
    ) -> tuple[DecideAnswer, list[bytes]]:
        """The answer to one request at a moment (µs since 1970), and its records."""
        decision_id = fresh_id()
        ads: list[AdAnswer] = []
        records: list[bytes] = []
        for position, each in enumerate(decision.chosen, 1):
            link = _link(shelf, asked, known, decision_id, position, each, at)
            sealed = self._links.seal(link)
            creative = shelf.creatives[each.ad]
            ads.append(
                AdAnswer(
                    position,
                    link.ad_id,
                    link.adset_id,
                    link.campaign_id,
                    Creative(
                        creative.creative_id,
                        creative.title,
                        creative.body,
                        creative.image_url,
                        creative.description,
                        creative.call_to_action,
                    ),
                    f"{self._url}/v1/i?t={sealed}",
                    f"{self._url}/v1/c?t={sealed}",
                )
            )
            records.append(_record(shelf, link, features, decision, each, at))
        records += self._unseen(shelf, asked, known, decision_id, decision, at)
        answer = DecideAnswer(
            decision_id,
            ads,
            shelf.policy,
            decision.reason or msgspec.UNSET,
            msgspec.UNSET if decision.explanation is None else decision.explanation,
        )
        return answer, records

    @staticmethod
    def _unseen(
        shelf: Shelf,
        asked: DecideRequest,
        known: Known,
        decision_id: str,
        decision: Decision,
        at: int,
    ) -> Iterator[bytes]:
        """Ads that the person is held out of and that no other stands in for: nobody will tell of
        an impression, so that they are told of now."""
        if not decision.held_out:
            return
        position = len(decision.chosen) + 1
        nothing = Chosen(decision.held_out[0], 0, False, 0, 0, 0, 0, 0, 0, "", decision.held_out)
        link = _link(shelf, asked, known, decision_id, position, nothing, at)
        yield from held_out_records(link, at)


def _link(
    shelf: Shelf,
    asked: DecideRequest,
    known: Known,
    decision_id: str,
    position: int,
    each: Chosen,
    at: int,
) -> Link:
    ad = shelf.ads[each.ad]
    campaign = shelf.campaigns[shelf.campaign_of[each.ad]]
    others = (shelf.ads[n] for n in each.held_out)
    return Link(
        shelf.account_id,
        ad.campaign_id,
        ad.adset_id,
        ad.ad_id,
        decision_id,
        position,
        at // 1_000_000,
        each.price,
        bool(shelf.is_per_click[each.ad]),
        shelf.currency,
        each.lease,
        fresh_id(),
        shelf.creatives[each.ad].link_url,
        known.person,
        asked.placement,
        known.user_data,
        bool(campaign.holdout_share and known.identifier),
        tuple(HeldOut(other.campaign_id, other.adset_id, other.ad_id) for other in others),
    )


def _record(
    shelf: Shelf, link: Link, features: tuple[str, ...], decision: Decision, each: Chosen, at: int
) -> bytes:
    return encode(
        AdDecision(
            "ad_decision",
            shelf.account_id,
            "server",
            at,
            link.decision_id,
            at,
            link.position,
            shelf.policy,
            link.ad_id,
            link.adset_id,
            link.campaign_id,
            each.propensity,
            each.p_click,
            each.p_action,
            each.value / UNITS,
            each.bid / (1 if shelf.is_value[each.ad] else UNITS),
            each.total / UNITS,
            amount(each.price),
            shelf.currency,
            "LINK_CLICKS" if link.is_per_click else "IMPRESSIONS",
            each.lease,
            link.placement or None,
            each.is_explored,
            list(features),
            decision.candidates,
        )
    )
