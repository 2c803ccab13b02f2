"""What to enter at ad platforms so that each click names its campaign and ad.

The words in braces and underscores are the platforms' own; they fill in names and ids when an ad
is clicked. `utm_id` is the campaign's id, `utm_term` that of ad set or ad group, `utm_content` that
of the ad.
"""

from __future__ import annotations

from typing import NamedTuple


class AdLink(NamedTuple):
    """The template of one platform, and where it is entered."""

    key: str
    name: str
    where: str
    text: str


AD_LINKS: tuple[AdLink, ...] = (
    AdLink(
        "meta",
        "Meta (Facebook, Instagram)",
        "Ads Manager, the ad, Tracking, URL parameters. Clicks bring fbclid by themselves.",
        "utm_source=facebook&utm_medium=paid&utm_campaign={{campaign.name}}"
        "&utm_id={{campaign.id}}&utm_term={{adset.id}}&utm_content={{ad.id}}",
    ),
    AdLink(
        "google",
        "Google Ads",
        "Account settings, Tracking, Tracking template. Leave auto-tagging on, which brings gclid.",
        "{lpurl}?utm_source=google&utm_medium=cpc&utm_campaign={campaignid}"
        "&utm_id={campaignid}&utm_term={adgroupid}&utm_content={creative}",
    ),
    AdLink(
        "tiktok",
        "TikTok Ads",
        "The ad, at the end of the destination URL. Clicks bring ttclid by themselves.",
        "utm_source=tiktok&utm_medium=paid&utm_campaign=__CAMPAIGN_NAME__"
        "&utm_id=__CAMPAIGN_ID__&utm_term=__AID__&utm_content=__CID__",
    ),
    AdLink(
        "pinterest",
        "Pinterest Ads",
        "The ad, at the end of the destination URL. Clicks bring epik by themselves.",
        "utm_source=pinterest&utm_medium=paid&utm_campaign={campaign_name}"
        "&utm_id={campaignid}&utm_term={adgroupid}&utm_content={adid}",
    ),
    AdLink(
        "microsoft",
        "Microsoft Advertising",
        "Settings, Account level options, Tracking template. Leave auto-tagging of msclkid on.",
        "{lpurl}?utm_source=bing&utm_medium=cpc&utm_campaign={Campaign}"
        "&utm_id={CampaignId}&utm_term={AdGroupId}&utm_content={AdId}",
    ),
)
