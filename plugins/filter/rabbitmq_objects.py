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
NO_LIMIT = {"max-connections": -1}


def rabbitmq_objects_to_import(
    has: Mapping[str, Any],
    vhost: str,
    users: Iterable[Mapping[str, Any]],
    policies: Iterable[Mapping[str, Any]],
    queues: Iterable[Mapping[str, Any]] = (),
    exchanges: Iterable[Mapping[str, Any]] = (),
    max_queues: int = 0,
) -> dict[str, list[dict]]:
    """Return the definitions that a cluster lacks, for `rabbitmqctl import_definitions`; an empty dictionary for none.

    :param has: the exported definitions of the cluster.
    :param vhost: the virtual host that all but the users are of.
    :param users: each with `name`, `password`, `configure`, `write`, `read`, and perhaps `tags`, texts, and
        `max_connections`, of which 0 is no limit.
    :param policies: each with `name`, `pattern`, `priority` and `definition`; they apply to queues.
    :param queues: each with `name` and perhaps `max_priority` and other `arguments`. One that exists stays as it is.
    :param exchanges: each with `name`, `type`, perhaps `alternate`, the names of the `queues` that it is bound to, by
        these names, and other `bindings`, each with `to`, what that is (`kind`), and its `key`. One that exists stays
        as it is, and so does a binding that is not wanted.
    :param max_queues: how many queues the virtual host may have; 0 leaves that as it is.
    """
    users, known, exchanges = list(users), {user["name"]: user for user in has["users"]}, list(exchanges)
    kept = {"vhost": vhost, "durable": True, "auto_delete": False}
    limits = {"component": "vhost-limits", "name": "limits", "vhost": vhost}
    wanted = {
        "vhosts": [{"name": vhost}],
        "permissions": [
            {"user": user["name"], "vhost": vhost} | {right: user[right] for right in ("configure", "write", "read")}
            for user in users
        ],
        "parameters": [limits | {"value": {"max-queues": max_queues}}] if max_queues else [],
        "policies": [dict(policy) | {"vhost": vhost, "apply-to": "queues"} for policy in policies],
        "bindings": [
            {"source": exchange["name"], "vhost": vhost, "destination": binding["to"]}
            | {"destination_type": binding["kind"], "routing_key": binding["key"], "arguments": {}}
            for exchange in exchanges
            for binding in _bindings(exchange)
        ],
    }
    missing = {kind: [one for one in of_kind if not _is_among(one, has[kind])] for kind, of_kind in wanted.items()}
    made = {
        "queues": [{"name": queue["name"]} | kept | {"arguments": _queue_arguments(queue)} for queue in queues],
        "exchanges": [
            {"name": exchange["name"], "type": exchange["type"]}
            | kept
            | {"internal": False, "arguments": _exchange_arguments(exchange)}
            for exchange in exchanges
        ],
    }
    for kind, of_kind in made.items():
        there = {one["name"] for one in has[kind] if one["vhost"] == vhost}
        missing[kind] = [one for one in of_kind if one["name"] not in there]
    changed = [user for user in users if not _is_as_wanted(known.get(user["name"], {}), user)]
    missing["users"] = [
        {
            "name": user["name"],
            "password_hash": salted_hash(user["password"]),
            "hashing_algorithm": ALGORITHM,
            "tags": user.get("tags", []),
            "limits": _limits(user),
        }
        for user in changed
    ]
    return {kind: of_kind for kind, of_kind in missing.items() if of_kind}


def _bindings(exchange: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """Return all bindings of an exchange."""
    by_name = [{"to": queue, "kind": "queue", "key": queue} for queue in exchange.get("queues", [])]
    return [*by_name, *exchange.get("bindings", [])]


def _queue_arguments(queue: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with which a queue is declared, also its `max_priority`, if it has one above 0."""
    priority = {"x-max-priority": queue["max_priority"]} if queue.get("max_priority") else {}
    return {**queue.get("arguments", {}), **priority}


def _exchange_arguments(exchange: Mapping[str, Any]) -> dict[str, str]:
    """Return the arguments with which an exchange is declared: its `alternate`, if it has one."""
    return {"alternate-exchange": exchange["alternate"]} if exchange.get("alternate") else {}


def _is_among(wanted: Mapping[str, Any], known: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether something is known, with all that is wanted of it."""
    return any(wanted.items() <= {key: one[key] for key in wanted if key in one}.items() for one in known)


def _is_as_wanted(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return (
        password_matches(known, wanted["password"])
        and sorted(known["tags"]) == sorted(wanted.get("tags", []))
        and NO_LIMIT | known.get("limits", {}) == _limits(wanted)
    )


def _limits(user: Mapping[str, Any]) -> dict[str, int]:
    """Return the limits of a user. An empty dictionary would leave a former limit."""
    return {"max-connections": user["max_connections"]} if user.get("max_connections") else NO_LIMIT


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
