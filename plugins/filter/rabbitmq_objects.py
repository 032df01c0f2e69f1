"""Ansible's filter about the objects of a RabbitMQ cluster: what must be imported to have those that are wanted."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

ALGORITHM = "rabbit_password_hashing_sha256"
ALGORITHMS = {
    ALGORITHM: hashlib.sha256,
    "rabbit_password_hashing_sha512": hashlib.sha512,
    "rabbit_password_hashing_md5": hashlib.md5,
}
SALT_BYTES = 4


def rabbitmq_objects_to_import(
    has: Mapping[str, Any], vhost: str, users: Iterable[Mapping[str, Any]], policies: Iterable[Mapping[str, Any]]
) -> dict[str, list[dict]]:
    """Return the definitions that a cluster lacks, for `rabbitmqctl import_definitions`; an empty dictionary for none.

    :param has: the exported definitions of the cluster.
    :param vhost: the virtual host that permissions and policies are of.
    :param users: each with `name`, `password`, `configure`, `write`, `read`, and perhaps `tags`, texts.
    :param policies: each with `name`, `pattern`, `priority` and `definition`; they apply to queues.
    """
    users, known = list(users), {user["name"]: user for user in has["users"]}
    wanted = {
        "vhosts": [{"name": vhost}],
        "permissions": [
            {"user": user["name"], "vhost": vhost} | {right: user[right] for right in ("configure", "write", "read")}
            for user in users
        ],
        "policies": [dict(policy) | {"vhost": vhost, "apply-to": "queues"} for policy in policies],
    }
    missing = {kind: [one for one in of_kind if not _is_among(one, has[kind])] for kind, of_kind in wanted.items()}
    changed = [user for user in users if not _is_as_wanted(known.get(user["name"], {}), user)]
    missing["users"] = [
        {
            "name": user["name"],
            "password_hash": salted_hash(user["password"]),
            "hashing_algorithm": ALGORITHM,
            "tags": user.get("tags", []),
        }
        for user in changed
    ]
    return {kind: of_kind for kind, of_kind in missing.items() if of_kind}


def _is_among(wanted: Mapping[str, Any], known: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether something is known, with all that is wanted of it."""
    return any(wanted.items() <= {key: one[key] for key in wanted if key in one}.items() for one in known)


def _is_as_wanted(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return password_matches(known, wanted["password"]) and sorted(known["tags"]) == sorted(wanted.get("tags", []))


def salted_hash(password: str) -> str:
    """Return a password as definitions have it: the Base64 of a salt of four bytes and the digest of salt and password.

    The salt is another one each time. See https://www.rabbitmq.com/docs/passwords.
    """
    salt = secrets.token_bytes(SALT_BYTES)
    return base64.b64encode(salt + ALGORITHMS[ALGORITHM](salt + password.encode()).digest()).decode()


def password_matches(user: Mapping[str, Any], password: str) -> bool:
    """Tell whether a user of RabbitMQ has a password, without asking the broker, who would show it among its processes.

    :param user: of exported definitions, with `password_hash` and `hashing_algorithm`.
    :param password: the text.
    :return: True or False; False too where the user has none, or one by an algorithm that is not known here.
    """
    algorithm = ALGORITHMS.get(user.get("hashing_algorithm", ""))
    if not algorithm:
        return False
    known = base64.b64decode(user.get("password_hash") or "")
    salt, digest = known[:SALT_BYTES], known[SALT_BYTES:]
    return hmac.compare_digest(digest, algorithm(salt + password.encode()).digest())


class FilterModule:
    """Ansible's name for what a file of filters gives."""

    def filters(self):
        return {"rabbitmq_objects_to_import": rabbitmq_objects_to_import}
