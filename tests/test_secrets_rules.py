"""What is wrong with a secret, in sentences that do not show it."""

import re
import string

import pytest
from warren.secrets import WORDS, secret_problems

# Every printable character of ASCII except the space.
EVERY = "".join(chr(code) for code in range(33, 127))
FIT = {
    "secret_redis": EVERY,
    "secret_flower": "kfR9/2pWq+Zt7w==",
    "secret_keepalived": "a#b'c$d{",
    # Texts that YAML would take for a number without quotes.
    "secret_database": "190276854301",
    # Erlang's longest.
    "secret_erlang_cookie": "xY3!" * 63 + "xyz",
}


def problem(value, name="secret_redis"):
    """The only sentence about a value."""
    (sentence,) = secret_problems({name: value})
    return sentence


def test_fit_secrets_have_no_problem():
    assert secret_problems(FIT) == []
    assert secret_problems({}) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "`secret_redis` is empty: type `openssl rand -base64 24`"),
        ("", "`secret_redis` is empty"),
        (" \n", "`secret_redis` is empty"),
        (123456, "`secret_redis` is a number: write it in single quotes, `secret_redis: '…'`."),
        (12.5, "`secret_redis` is a number"),
        (True, "`secret_redis` is no text: write it in single quotes"),
        (["long", "enough", "list"], "`secret_redis` is no text"),
        ("kfR9/2pWq+Z", "`secret_redis` is too short: type `openssl rand -base64 24` and set it to what that prints"),
        (FIT["secret_erlang_cookie"] + "z", "`secret_redis` is too long"),
        ("kfR9/2pWq+Zt7w==\n", "`secret_redis` begins or ends with a line break: type"),
        (" kfR9/2pWq+Zt7w==", "`secret_redis` begins or ends with white space: type"),
        ("correct horse battery", "`secret_redis` has white space: type"),
        ("correct\nhorse battery", "`secret_redis` has a line break and has white space: type"),
        ("kfR9/2pWq\x00Zt7w==", "`secret_redis` has a control character: type"),
        ("schlüsselbund-7x", "`secret_redis` has a letter or sign beyond ASCII: type"),
        ("ü", "has a letter or sign beyond ASCII and is too short and is known to everybody who guesses: type"),
        ("changemechangeme", "`secret_redis` is known to everybody who guesses: type"),
        ("ChangeMe-Password1!", "is known to everybody"),
        ("aaaabbbbaaaabbbb", "is known to everybody"),
        ("12345678", "is too short and is known to everybody"),
        ("123456789012", "is known to everybody"),
        ("qwertyuiopasdf", "is known to everybody"),
    ],
)
def test_an_unfit_one_is_named_with_what_to_type(value, words):
    assert words in problem(value)


@pytest.mark.parametrize("word", ["changeme", "guest", "password", "secret", "admin", "rabbitmq", *WORDS])
def test_known_words_are_known_in_any_case_and_with_digits(word):
    for known in (word, word.upper(), f"{word}-2026!", f"{word}_{word}"):
        assert "known to everybody" in problem(known)


def test_random_ones_are_not_known():
    """Those that the kit makes, and those that the sentences advise."""
    assert secret_problems({"secret_keepalived": "pR7xW0ab", "secret_flower": "B2qv9mWc4tYx8KzN1rHs"}) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a#b'c$d", "`secret_keepalived` is too short: type `openssl rand -base64 6`"),
        ("a#b'c$d{e", "`secret_keepalived` is too long"),
        ('a"b4c5d6', "`secret_keepalived` has a double quote: type `openssl rand -base64 6`"),
        ("a\\b4c5d6", "`secret_keepalived` has a backslash: type"),
        ("a b4c5d6", "`secret_keepalived` has white space"),
        (
            "a1b2c3d",
            "It takes 8 characters: letters, digits and punctuation of ASCII, without spaces, double quotes and backsl",
        ),
    ],
)
def test_vrrp_has_its_own_rule(value, words):
    assert words in problem(value, "secret_keepalived")


def test_the_same_for_two_purposes_is_refused_once():
    (sentence,) = secret_problems({"secret_b": EVERY, "secret_a": EVERY, "secret_c": EVERY, "secret_d": EVERY[::-1]})
    assert sentence.startswith("`secret_a`, `secret_b` and `secret_c` are the same")
    # Two without a value are not the same secret.
    assert len(secret_problems({"secret_a": "", "secret_b": ""})) == 2


class UndecryptableError(Exception):
    """As Ansible's."""


def test_what_ansible_cannot_evaluate_says_what_to_type():
    closed = UndecryptableError(
        "Attempt to use undecryptable variable: Attempting to decrypt but no vault secrets found."
    )
    assert "add `--ask-vault-pass` or `--vault-password-file FILE`" in problem(closed)
    template = ValueError("Syntax error in template: unexpected 'hunter2'")
    assert "write `!unsafe` before it, `secret_redis: !unsafe '…'`" in problem(template)
    assert "hunter2" not in problem(template)


UNFIT = [
    "Zq7", "Zq7\n", "Zq7 Xw9 Vt5 Ys3", "Zq7ÜXw9Vt5Ys3Rp1", "Zq7Xw9" * 50, 271828182845, 2.718281828,
    ["Zq7Xw9Vt5Ys3Rp1"], {"Zq7": "Xw9"}, b"Zq7Xw9Vt5Ys3Rp1", "letmein-Zq7\x00", "superSECRETpassword",
]  # fmt: skip


@pytest.mark.parametrize("value", UNFIT, ids=str)
@pytest.mark.parametrize("name", ["secret_redis", "secret_keepalived"])
def test_no_sentence_shows_a_value(name, value):
    said = " ".join(secret_problems({name: value, "secret_twin": value}))
    assert f"`{name}`" in said and "`secret_twin`" in said
    for part in re.findall(r"[^\s'\"{}\[\]:,.]{3,}", str(value)):
        assert part not in said


def test_each_printable_character_is_taken_where_the_sentence_says_so():
    for character in string.printable:
        ordinary = secret_problems({"secret_redis": f"kfR9/2pWq{character}Zt7w"})
        assert (ordinary == []) == (character in EVERY), character
        vrrp = secret_problems({"secret_keepalived": f"kfR{character}Zt7w"})
        assert (vrrp == []) == (character in EVERY and character not in '"\\'), character
