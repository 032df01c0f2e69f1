"""The filter bcrypt_hash."""

import re

from bcrypt_hash import bcrypt_hash


def test_a_hash_is_the_same_in_each_run_and_another_for_each_host_and_password():
    assert bcrypt_hash("s3cret", "mon1") == bcrypt_hash("s3cret", "mon1")
    assert len({bcrypt_hash("s3cret", "mon1"), bcrypt_hash("s3cret", "mon2"), bcrypt_hash("s3cre", "mon1")}) == 3


def test_prometheus_takes_its_form():
    assert re.fullmatch(r"\$2b\$10\$[./A-Za-z0-9]{53}", bcrypt_hash('it\'s "#1" % é', "mon1"))


def test_the_salt_says_nothing_of_the_password():
    """Who has the hash could try passwords with it, without the rounds."""
    assert bcrypt_hash("s3cret", "mon1")[:28] == bcrypt_hash("another", "mon1")[:28]
