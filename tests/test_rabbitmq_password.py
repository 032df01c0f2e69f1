"""The filter that tells whether a user of RabbitMQ has a password."""

import pytest
from rabbitmq_password import rabbitmq_password_matches as matches

# The example of RabbitMQ's own documentation: salt 908DC60A, password test12.
DOCUMENTED = {
    "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
    "hashing_algorithm": "rabbit_password_hashing_sha256",
}


def test_the_right_password_matches_and_no_other():
    assert matches(DOCUMENTED, "test12")
    assert not matches(DOCUMENTED, "test13")
    assert not matches(DOCUMENTED, "")


@pytest.mark.parametrize(
    "user", [{}, DOCUMENTED | {"password_hash": ""}, DOCUMENTED | {"hashing_algorithm": "of_the_future"}]
)
def test_a_user_without_a_password_that_is_understood_does_not(user):
    assert not matches(user, "test12")
    assert not matches(user, "")
