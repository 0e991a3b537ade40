"""Keyed hashes in place of what could name a patient."""

from __future__ import annotations

import hashlib
import hmac
import re

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DEVELOPMENT_KEY = b"development: no real patient is near"
LEAST_KEY_BYTES = 16


class Pseudonyms:
    """HMAC-SHA256 under the site's key. The client is part of what is hashed: two clients' patients never meet.

    Whoever has the key can find out whether a known patient is in the database; whoever lacks it cannot.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def patient(self, client: str, patient_id: str) -> str:
        """64 hexadecimal digits."""
        return self._hash("patient", client, patient_id)

    def identifier(self, client: str, given: str) -> str:
        """A UUID in lower case as it is, anything else that a client made up as a hash."""
        return given.lower() if _UUID.fullmatch(given) else self._hash("identifier", client, given)

    def named(self, kind: str, client: str, given: str) -> str:
        """Anything of that kind as a hash; of kind ``patient`` the same as `patient`."""
        return self._hash(kind, client, given)

    def feedback(self, client: str, *told: str) -> str:
        """The same for the same words about the same card, so that they are kept once."""
        return self._hash("feedback", client, *told)

    def _hash(self, *parts: str) -> str:
        # lengths first, so that no two lists of parts make the same message
        message = b"".join(len(one := part.encode("utf-8", "surrogatepass")).to_bytes(4) + one for part in parts)
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()
