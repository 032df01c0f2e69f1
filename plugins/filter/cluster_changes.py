"""Ansible's filters about brokers that run: what a deployment would do to their queues, and who belongs to them.

They are `changed_queues`, `abandoned_queues`, `wrong_members`, `left_virtual_hosts`, `queues_of_virtual_host`,
`encryption_change`, `other_links` and `former_users`.
"""

import json
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren import model

# What the brokers and clients of the kit declare, as plugins/filter/rabbitmq_objects.py and
# roles/celery_app/templates/celeryconfig.py.j2 have it.
DECLARED = {"durable": True, "auto_delete": False}


def changed_queues(
    said: Iterable[Mapping[str, Any]],
    queues: Iterable[Mapping[str, Any]],
    exchanges: Iterable[Mapping[str, Any]] = (),
) -> list[str]:
    """Return a sentence for each queue or exchange that exists as something else than what clients declare.

    RabbitMQ changes neither, and refuses the declaration again and again.

    :param said: what the module ask_parts returned of each broker; one that does not run counts for nothing.
    :param queues: what clients declare, each with `name` and perhaps `max_priority` and other `arguments`.
    :param exchanges: the same, each with `name`, `type` and perhaps `alternate`.
    """
    brokers = list(_running(said))
    found = {queue["name"]: queue for broker in brokers for queue in broker["leads"]}
    found_exchanges = {exchange["name"]: exchange for broker in brokers for exchange in broker["exchanges"]}
    sentences = []
    for queue in queues:
        name, most = queue["name"], queue.get("max_priority")
        wanted = DECLARED | {"exclusive": False} | queue.get("arguments", {}) | ({"max_priority": most} if most else {})
        sentences += _about_changed(f"the queue {name}", found.get(name), wanted)
    for exchange in exchanges:
        name, alternate = exchange["name"], exchange.get("alternate")
        wanted = DECLARED | {"type": exchange["type"], "internal": False}
        wanted |= {"alternate-exchange": alternate} if alternate else {}
        sentences += _about_changed(f"the exchange {name}", found_exchanges.get(name), wanted)
    return sentences


def _about_changed(what: str, found: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> list[str]:
    """Return a sentence if something exists and is not as wanted.

    :param found: what the broker says of it; None where it does not exist.
    :param wanted: its properties and arguments, without those that it must not have.
    """
    if found is None:
        return []
    arguments = dict(found["arguments"])
    if "x-max-priority" in arguments:
        arguments["max_priority"] = arguments.pop("x-max-priority")
    # To the broker, this is the same as no argument.
    if arguments.get("x-queue-type") == "classic":
        del arguments["x-queue-type"]
    has = arguments | {key: found[key] for key in wanted if key in found}
    differing = [
        f"`{key}: {_shown(has.get(key))}` and would need {_shown(wanted.get(key))}"
        for key in [*has, *(wanted.keys() - has.keys())]
        if has.get(key) != wanted.get(key)
    ]
    return [f"{what} has {', '.join(differing)}"] if differing else []


def _shown(value: Any) -> str:
    """Return a value as YAML has it, with nothing that a terminal would do; `none` for none."""
    text = value if isinstance(value, str) else "none" if value is None else json.dumps(value)
    return model.shown(text)


def abandoned_queues(said: Iterable[Mapping[str, Any]], policies: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return `NUMBER in NAME` for each queue with tasks that the present policies cover and the wanted ones do not.

    The inventory had such a queue. One that no policy covers is somebody else's.

    :param said: as above.
    :param policies: the wanted ones, each with a `pattern`.
    """
    brokers = list(_running(said))
    covered = {policy["pattern"] for broker in brokers for policy in broker["policies"]}
    wanted = [policy["pattern"] for policy in policies]
    tasks = {
        # A queue whose process has ended has no counts.
        queue["name"]: (queue["ready"] or 0) + (queue["unacknowledged"] or 0)
        for broker in brokers
        for queue in broker["leads"]
    }
    return [
        f"{count} in {name}"
        for name, count in sorted(tasks.items())
        if count and _matches(covered, name) and not _matches(wanted, name)
    ]


def wrong_members(said: Iterable[Mapping[str, Any]], hosts: Collection[str]) -> list[str]:
    """Return a sentence for whatever the members of the running brokers' cluster and the inventory's brokers differ in.

    A broker of the inventory that is no member may be new, or down.

    :param said: as above.
    :param hosts: the inventory's brokers.
    """
    wanted = {f"rabbit@{host}" for host in hosts}
    brokers = list(_running(said))
    renamed = [broker["node"] for broker in brokers if broker["node"] not in wanted]
    sentences = [
        f"The node {node} runs on a host that the inventory names otherwise, and a broker finds its data by its name: "
        f"call the host {_host(node)} in the inventory again."
        for node in renamed
    ]
    ours = [broker for broker in brokers if broker["node"] in wanted]
    if not ours:
        return sentences
    # The one that most of the inventory's brokers belong to.
    first = max(ours, key=lambda broker: len(wanted.intersection(broker["members"])))
    together = [broker for broker in ours if _know_each_other(first, broker)]
    members = {member for broker in together for member in broker["members"]}
    running = {member for broker in together for member in broker["running"]}
    sentences += [
        _about_surplus(member, member in running, _host(first["node"]))
        for member in sorted(members - wanted - set(renamed))
    ]
    return sentences + [_about_apart(broker, first) for broker in ours if broker not in together]


def _know_each_other(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return other["node"] in one["members"] and one["node"] in other["members"]


def _host(node: str) -> str:
    return node.partition("@")[2]


def _about_surplus(member: str, runs: bool, where: str) -> str:
    host, stop = _host(member), "sudo systemctl disable --now rabbitmq-watchdog.timer rabbitmq-server"
    return (
        f"{member} is a member of the brokers' cluster, and the inventory has no {host} under `rabbitmq:`. The brokers "
        f"count it when they look for a majority, so with it they bear the loss of fewer. Add {host} again, or, "
        + (f"if it shall go, type there `{stop}`, and then" if runs else "if it is gone for good, type")
        + f" on {where} `sudo rabbitmqctl forget_cluster_node {shlex.quote(member)}`."
    )


def _about_apart(broker: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    host = _host(broker["node"])
    return (
        f"The broker on {host} has a cluster of its own ({', '.join(broker['members'])}), which is not that of "
        f"{_host(first['node'])} ({', '.join(first['members'])}). Take {host} out of `rabbitmq:`; or, if no task waits "
        "in its queues, which this deletes, type there `sudo rabbitmqctl stop_app && sudo rabbitmqctl reset && "
        "sudo systemctl stop rabbitmq-watchdog.timer rabbitmq-server`, and run this again, which lets it join."
    )


def left_virtual_hosts(said: Iterable[Mapping[str, Any]], wanted: str, former: str = "") -> list[str]:
    """Return `NUMBER in NAME` for each virtual host with queues, where the running brokers have neither of two.

    :param said: as above.
    :param wanted: one that may have all of the cluster's queues.
    :param former: another one; empty for none.
    """
    found = _queues_of_virtual_hosts(said)
    return (
        []
        if found.keys() & {wanted, former}
        else [f"{queues} in {name}" for name, queues in sorted(found.items()) if queues]
    )


def queues_of_virtual_host(said: Iterable[Mapping[str, Any]], name: str) -> int:
    """Return how many queues the running brokers have in a virtual host; 0 where it is not there.

    :param said: as above.
    """
    return _queues_of_virtual_hosts(said).get(name, 0)


def _queues_of_virtual_hosts(said: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    return {host["name"]: host["queues"] for broker in _running(said) for host in broker["virtual_hosts"]}


def encryption_change(said: Iterable[Mapping[str, Any]], tls: bool, moves: bool) -> str:
    """Return what a switch to TLS, or back, would break for the clients of running brokers; empty where nothing.

    :param said: as above.
    :param tls: whether the inventory wants it.
    :param moves: whether brokers shall listen on both ports for a while.
    """
    wanted, other = ("tls", "plain") if tls else ("plain", "tls")
    brokers = list(_running(said))
    if moves or not brokers:
        return ""
    speak = {"tls": "with TLS", "plain": "without TLS"}
    if lacking := [_host(broker["node"]) for broker in brokers if not broker[f"listens_{wanted}"]]:
        return (
            f"{', '.join(lacking)} {'listens' if len(lacking) == 1 else 'listen'} {speak[other]} only, and the "
            f"inventory wants it {speak[wanted]}: programs would reach no broker until they have their new settings."
        )
    if clients := sum(broker[f"{other}_connections"] for broker in brokers if broker[f"listens_{other}"]):
        return (
            f"{clients} {'connection comes' if clients == 1 else 'connections come'} {speak[other]} still, and would "
            "be cut off: the programs of the inventory have not all moved yet, or there are other clients."
        )
    return ""


def other_links(said: Iterable[Mapping[str, Any]], tls: bool) -> list[str]:
    """Return the hosts of running brokers that speak with each other in the other way than the wanted one.

    :param said: as above.
    :param tls: whether the inventory wants TLS between them.
    """
    return [_host(broker["node"]) for broker in _running(said) if broker.get("tls_between_nodes", False) is not tls]


def former_users(
    said: Iterable[Mapping[str, Any]], users: Iterable[Mapping[str, Any]], patterns: Iterable[str]
) -> dict[str, int]:
    """Return the users that were wanted once and are no longer, and how many connections each has.

    :param said: as above.
    :param users: the wanted ones, each with a `name`.
    :param patterns: regular expressions of whole names that were ever wanted. Other users are somebody else's, and so
        are those without a right in the virtual host that was asked about: another cluster may share the brokers.
    """
    brokers, wanted = list(_running(said)), {user["name"] for user in users}
    found = {permission["user"] for broker in brokers for permission in broker["permissions"]}
    return {
        name: sum(broker["logged_in"].count(name) for broker in brokers)
        for name in sorted(found - wanted)
        if any(re.fullmatch(pattern, name) for pattern in patterns)
    }


def _running(said: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for one in said:
        answer = one.get("answers", {}).get("rabbitmq", {})
        found = json.loads(answer["stdout"]) if answer.get("rc") == 0 else {}
        if found.get("state") == "running":
            yield found


def _matches(patterns: Iterable[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {
            "changed_queues": changed_queues,
            "abandoned_queues": abandoned_queues,
            "wrong_members": wrong_members,
            "left_virtual_hosts": left_virtual_hosts,
            "queues_of_virtual_host": queues_of_virtual_host,
            "encryption_change": encryption_change,
            "other_links": other_links,
            "former_users": former_users,
        }
