"""Numbers as people dial them, against the package phonenumbers."""

from __future__ import annotations

import random

import phonenumbers

from doublet import phone


def test_numbers_are_read_as_the_numbering_plan_reads_them() -> None:
    chance = random.Random(20_260_103)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
        assert plan is not None
        before = ["", "0", "8", "00", str(plan.country_code), plan.national_prefix or "0"]
        for kind in phonenumbers.PhoneNumberType.values():
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            national = phonenumbers.national_significant_number(example)
            kept = chance.randrange(len(national) + 1)
            rest = "".join(chance.choices("0123456789", k=len(national) - kept))
            for digits in (national, national[:kept] + rest):
                dialled = chance.choice(before) + chance.choice(before) + digits
                expected = plan_reads(dialled, region, plan.national_prefix == "0")
                if expected and phone.DIGITS_MIN <= len(expected) <= phone.DIGITS_MAX:
                    assert expected == phone.normalize_phone(dialled, region.lower()), dialled


def plan_reads(dialled: str, region: str, zero_first: bool) -> str | None:
    """What the package phonenumbers makes of it, None for what it knows no valid number for."""
    forms: list[tuple[str, str | None]] = [(dialled, region)]
    if zero_first and dialled[0] != "0":
        code = str(phonenumbers.country_code_for_region(region))
        if dialled.startswith(code) and len(dialled) >= 10:
            return None
        forms.insert(0, ("+" + dialled, None))
    for form, country in forms:
        try:
            parsed = phonenumbers.parse(form, country)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            digits = phonenumbers.national_significant_number(parsed)
            return f"{parsed.country_code}{digits}".lstrip("0")
    return None
