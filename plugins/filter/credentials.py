"""Ansible's filter `user_of_purpose`."""

import hashlib
from collections.abc import Callable

DIGITS = 4


def user_of_purpose(purpose: str, password: object) -> str:
    """Return the name of the user who does something with a password, such as `results-1f0c`.

    A changed password so makes another user, beside the former one: who still has the former password can go on
    until that user is removed. The digits tell two passwords apart, and say too little to guess one.
    """
    digest = hashlib.sha256(f"{purpose}:{password}".encode()).hexdigest()
    return f"{purpose}-{digest[:DIGITS]}"


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, Callable]:
        """Return the filter by its name."""
        return {"user_of_purpose": user_of_purpose}
