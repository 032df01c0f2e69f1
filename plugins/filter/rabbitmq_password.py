"""Ansible's filters about RabbitMQ."""

import base64
import hashlib
import hmac

ALGORITHMS = {
    "rabbit_password_hashing_sha256": hashlib.sha256,
    "rabbit_password_hashing_sha512": hashlib.sha512,
    "rabbit_password_hashing_md5": hashlib.md5,
}
SALT_BYTES = 4


def rabbitmq_password_matches(user, password):
    """Tell whether a user of RabbitMQ has a password, without asking the broker, who would show it among its processes.

    :param user: dictionary of exported definitions, with `password_hash` and `hashing_algorithm`: the Base64 of a salt
        of four bytes and the digest of salt and password (https://www.rabbitmq.com/docs/passwords).
    :param password: the text.
    :return: True or False; False too where the user has none, or one by an algorithm that is not known here.
    """
    algorithm = ALGORITHMS.get(user.get("hashing_algorithm"))
    if not algorithm:
        return False
    known = base64.b64decode(user.get("password_hash") or "")
    salt, digest = known[:SALT_BYTES], known[SALT_BYTES:]
    return hmac.compare_digest(digest, algorithm(salt + password.encode()).digest())


class FilterModule:
    """Ansible's name for what a file of filters gives."""

    def filters(self):
        return {"rabbitmq_password_matches": rabbitmq_password_matches}
