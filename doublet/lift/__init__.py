"""Lift: how many conversions ads have caused, from a random holdout of persons.

A part of the persons to whom an ad is about to be shown is held out, and both groups are noted at
that same moment, "ghost ads" (Johnson, Lewis, Nubbemeyer: Ghost Ads, Journal of Marketing Research,
2017). They then differ by the ads alone, and what the held out do is what the others would have
done. Nothing is said of credit: what an attribution model gives to ads is compared with this.
"""

from __future__ import annotations

from hashlib import sha256


def is_held_out(experiment: str, identifier: str, share: float) -> bool:
    """Whether a person is held out of an experiment; `share` is between 0 and 1.

    The identifier is the first one by which the person was known, and must stay the same from then
    on. The first 64 bits of SHA-256 of both, as a fraction, are compared with the share, so that
    any ad server draws alike; a larger share holds out the same persons and more. Raises ValueError
    when the share is none.

    >>> [is_held_out("spring", f"person-{n}", 0.5) for n in range(4)]
    [True, False, False, True]
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}, but must be between 0 and 1")
    digest = sha256(f"{experiment}\n{identifier}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
