"""Code to paste where the base code does not fit: Shopify's custom pixels."""

from __future__ import annotations

import json

from doublet.pixel import joined


def shopify_snippet(pixel_id: str, public_url: str) -> str:
    """JavaScript for a custom pixel of Shopify (Settings, Customer events), id and address filled
    in: the whole of it, so that nothing is loaded before the first event."""
    script = joined("shopify.js")
    for placeholder, value in (("PIXEL_ID", pixel_id), ("ADDRESS", public_url.rstrip("/"))):
        head, found, tail = script.partition(f'const {placeholder} = "{placeholder}";')
        assert found
        script = f"{head}const {placeholder} = {json.dumps(value)};{tail}"
    return script
