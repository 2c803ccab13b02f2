"""Audiences for the tests of the Graph API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.customaudience import CustomAudience
from facebook_business.exceptions import FacebookRequestError

from tests.dashboard import Site

EMAILS = [f"user{n}@example.com" for n in range(5)]
Schema = CustomAudience.Schema


def rule(pixel_id: str, days: int = 30, event_name: str = "ViewContent") -> str:
    """Who did something in the last days."""
    return json.dumps(
        {
            "inclusions": {
                "operator": "or",
                "rules": [
                    {
                        "event_sources": [{"id": pixel_id, "type": "pixel"}],
                        "retention_seconds": days * 86_400,
                        "filter": {
                            "operator": "and",
                            "filters": [{"field": "event", "operator": "eq", "value": event_name}],
                        },
                    }
                ],
            }
        }
    )


def make_list(site: Site, name: str = "Customers", **more: Any) -> CustomAudience:
    """A customer list of our shop."""
    return AdAccount(site.ours.account.account_id).create_custom_audience(
        params={
            "name": name,
            "subtype": "CUSTOM",
            "customer_file_source": "USER_PROVIDED_ONLY",
            **more,
        }
    )


def kept(site: Site, audience: CustomAudience) -> set[str]:
    """The identifiers in a list."""
    return {each for each, _, _ in site.catalog.lists.keys(audience["id"])}


def refused(error: pytest.ExceptionInfo[FacebookRequestError]) -> tuple[int, int | None]:
    """The numbers of a refusal."""
    return error.value.api_error_code(), error.value.api_error_subcode()
