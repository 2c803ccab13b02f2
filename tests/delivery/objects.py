"""Campaigns and their parts for tests."""

from __future__ import annotations

from typing import Any

from doublet.catalog import Ad, AdSet, Campaign, Catalog, Creative

NOW = 1_790_000_000
DAY_S = 86_400
LINK = "https://shop.example/shoes"


class Made:
    """A catalog's account with one running campaign, ad set and ad, made at NOW."""

    def __init__(self, catalog: Catalog, **ad_set: Any) -> None:
        self.store = catalog.campaigns
        self.account_id = catalog.create_account("Shop").account_id
        self.pixel_id = catalog.create_pixel(self.account_id, "Site")[0].pixel_id
        common: dict[str, Any] = {"account_id": self.account_id, "status": "ACTIVE"}
        campaign = Campaign(campaign_id="", name="Autumn", **common)
        self.campaign = self.store.create(campaign, NOW)
        given: dict[str, Any] = {
            "pixel_id": self.pixel_id,
            "daily_budget": 5000,
            "campaign_id": self.campaign.campaign_id,
            **ad_set,
        }
        self.ad_set = self.store.create(AdSet(adset_id="", name="Warm", **common, **given), NOW)
        self.creative = self.make_creative()
        self.ad = self.make_ad()

    def make_creative(self) -> Creative:
        """One more creative."""
        wanted = Creative(creative_id="", account_id=self.account_id, name="Red", link_url=LINK)
        return self.store.create(wanted, NOW)

    def make_ad(self, now_s: int = NOW) -> Ad:
        """One more ad."""
        wanted = Ad(
            ad_id="",
            account_id=self.account_id,
            campaign_id=self.campaign.campaign_id,
            adset_id=self.ad_set.adset_id,
            creative_id=self.creative.creative_id,
            name="Red shoe",
            status="ACTIVE",
        )
        return self.store.create(wanted, now_s)

    def ad_set_now(self) -> AdSet:
        """The ad set as it is kept."""
        found = self.store.get(AdSet, self.account_id, self.ad_set.adset_id)
        assert found is not None
        return found
