"""The name of a user changes with the password, and with nothing else."""

import hashlib
import re

from credentials import user_of_purpose


def test_the_digits_are_those_of_the_purpose_and_the_password():
    digits = hashlib.sha256(b"results:s3cret").hexdigest()[:4]
    assert user_of_purpose("results", "s3cret") == f"results-{digits}"


def test_another_password_or_purpose_is_another_user():
    users = [user_of_purpose(*words) for words in [("locks", "a"), ("locks", "b"), ("schedule", "a")]]
    assert len(set(users)) == 3
    # The digits do not show that two purposes have the same password.
    assert len({user.rpartition("-")[2] for user in users}) == 3


def test_any_password_makes_a_plain_name():
    """YAML makes a number of digits."""
    for password in ("p/a@s:s", "é 🌙", '"', 12345678):
        assert re.fullmatch(r"locks-[0-9a-f]{4}", user_of_purpose("locks", password))
    assert user_of_purpose("locks", 12345678) == user_of_purpose("locks", "12345678")
