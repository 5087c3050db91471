"""Consent comes first: what the customer allowed, before anything else of the event is read."""

from __future__ import annotations

from ingestion.collector.limits import Withheld
from nearline.contracts.event import Purpose
from nearline.write_keys import WriteKey

_KNOWN = {purpose.value for purpose in Purpose}


def granted(context: object, key: WriteKey) -> tuple[str, ...]:
    """The purposes that the customer granted, sorted.

    They stand in Segment's `context.consent.categoryPreferences`, an object of purpose and
    true or false; upper and lower case are one, and only a literal true grants. Without that
    object the key's policy decides. Raises Withheld without a grant of `analytics`.
    """
    preferences = _preferences(context)
    if preferences is None:
        if key.consent == "assumed":
            return tuple(sorted(key.assumed_purposes))
        raise Withheld(
            "consent_missing",
            "send context.consent.categoryPreferences, such as "
            '{"analytics": true, "personalization": true}; or let the write key assume consent',
        )
    purposes = {name.lower() for name, answer in preferences.items() if answer is True} & _KNOWN
    if Purpose.ANALYTICS not in purposes:
        raise Withheld("consent_denied", "the customer did not grant 'analytics'; do not resend")
    return tuple(sorted(purposes))


def _preferences(context: object) -> dict[str, object] | None:
    consent = context.get("consent") if isinstance(context, dict) else None
    preferences = consent.get("categoryPreferences") if isinstance(consent, dict) else None
    return preferences if isinstance(preferences, dict) else None
