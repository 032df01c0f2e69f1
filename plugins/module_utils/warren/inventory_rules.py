"""Rules about the whole inventory: which hosts there are, and whether the facts of the cluster fit together.

What a single value may be is in `kinds.py`; what one role needs is in its `vars/rules.yml`.
"""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from .host_rules import Claim
from .model import wrong_thresholds

# More hosts say nothing new.
MOST_NAMES = 5


@dataclass(frozen=True)
class Problem:
    """A sentence about what is wrong, and the `names` of inputs, or of groups, that nothing can be derived from."""

    text: str
    names: Collection[str] = ()


@dataclass(frozen=True)
class Inventory:
    """What the rules look at.

    `groups` are all groups with their hosts, `kit_groups` the names of the kit's, `parts` the kit's table of parts.
    `values` are the facts of the cluster, as inventory/kit/inputs.yml lists them, for each host: only those that can be
    evaluated and are of the right kind. `of_each_host` are the facts that may differ, `sources` the inventories,
    `names` those of thresholds, and `claims` the ports that the parts of each host listen on.
    """

    groups: Mapping[str, list[str]]
    kit_groups: Collection[str]
    parts: Collection[Mapping[str, Any]]
    values: Mapping[str, Mapping[str, Any]]
    of_each_host: Collection[str] = ()
    sources: Collection[str] = ()
    names: Collection[str] = ()
    claims: Mapping[str, list[Claim]] = field(default_factory=dict)

    def group(self, name: str) -> list[str]:
        """Return the hosts of a group; none where there is no such group."""
        return list(self.groups.get(name, []))

    def fact(self, name: str, default: Any = None) -> Any:
        """Return a fact that is the same on all hosts."""
        return next((values[name] for values in self.values.values() if name in values), default)

    def by_host(self, name: str) -> dict[str, Any]:
        """Return a fact of each host that has it."""
        return {host: values[name] for host, values in self.values.items() if name in values}


Rule = Callable[[Inventory], Iterator[Problem]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Enlist a rule. Its docstring says what is wanted, for the documentation."""
    RULES.append(function)
    return function


def problems(inventory: Inventory) -> Iterator[Problem]:
    """Yield what is wrong with an inventory by all rules."""
    for of_one in RULES:
        yield from of_one(inventory)


def few(names: Collection[str], everyone: Collection[str] = ()) -> str:
    """Return names for a sentence; `everyone` are those of which there are no others."""
    if len(everyone) > 1 and set(everyone) == set(names):
        return "all hosts"
    more = len(names) - MOST_NAMES
    return ", ".join(list(names)[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


@rule
def parts_have_hosts(inventory: Inventory) -> Iterator[Problem]:
    """There are hosts for each part that every cluster needs."""
    for part in inventory.parts:
        group = part["group"]
        # Clients of a single broker talk to it directly.
        alone = group == "haproxy" and len(inventory.group("rabbitmq")) <= 1
        if "needs" in part and not inventory.group(group) and not alone:
            yield Problem(
                f"The inventory {', '.join(inventory.sources)} has no {part['needs']}; add at least one host under "
                f"`{group}:`.",
                [group],
            )


# What groups of the kit might be called.
NICKNAMES = {
    "rabbitmq": ("rabbit", "broker", "brokers", "mq"),
    "haproxy": ("keepalived", "lb", "loadbalancer", "loadbalancers", "load_balancers"),
    "redis": ("locks", "results"),
    "postgresql": ("postgres", "database", "databases", "db"),
    "celery_workers": ("worker", "workers"),
    "celery_publishers": ("publisher", "publishers"),
    "celery_beat": ("beat", "scheduler", "schedulers"),
    "monitoring": ("flower", "prometheus", "alertmanager", "exporter"),
    "web": ("website", "webservers", "web_servers"),
}


def meant_group(name: str, known: Collection[str]) -> str:
    """Return the group of the kit that somebody may mean by another name; empty if it is like none."""
    plain = name.replace("-", "_").lower()
    of_one = [group for group, names in NICKNAMES.items() if plain in names]
    return next(iter(of_one or difflib.get_close_matches(plain, known, n=1, cutoff=0.8)), "")


@rule
def groups_are_known(inventory: Inventory) -> Iterator[Problem]:
    """Each host is in a group of the kit, and no group is a misspelt one."""
    known, mistyped = set(inventory.kit_groups), set[str]()
    for group, hosts in inventory.groups.items():
        meant = "" if group in known else meant_group(group, known)
        # A group around those of the kit may have any name.
        if meant and not set(hosts) <= set(inventory.group(meant)):
            yield Problem(
                f"The kit knows no group `{group}:`, which has {few(hosts)}: is it `{meant}:`? Rename it in "
                "the inventory; "
                "if it is a group of yours, give it a name that is less like the kit's.",
                [meant],
            )
            mistyped |= set(hosts)
    in_one = {host for group in known - {"all", "ungrouped"} for host in inventory.group(group)} | mistyped
    if others := [host for host in inventory.group("all") if host not in in_one]:
        yield Problem(
            f"{few(others)} {'is' if len(others) == 1 else 'are'} in none of the kit's groups, so nothing would "
            "run there: put "
            f"each under one of {', '.join(sorted(known - {'all', 'ungrouped'}))}, or take it out of the inventory."
        )


@rule
def host_names_are_names(inventory: Inventory) -> Iterator[Problem]:
    """Each host has a name that resolvers, Erlang and Celery accept."""
    for host in inventory.group("all"):
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", host) or len(host) > 200:
            yield Problem(
                f"The host {host!r} cannot have this name, as Celery and Erlang make names of it: use letters, "
                "digits, `.` and `-`, and "
                "give its address as `ansible_host`."
            )
        elif host.partition(".")[0].lower() == "localhost":
            yield Problem(
                f"The host {host} would call itself that on all others, too: give it another name in the "
                "inventory, and "
                "`ansible_connection: local` if it is this machine."
            )


@rule
def host_names_differ(inventory: Inventory) -> Iterator[Problem]:
    """No two hosts have names that resolvers take for one."""
    alike: dict[str, list[str]] = {}
    for host in inventory.group("all"):
        alike.setdefault(host.lower(), []).append(host)
    for hosts in alike.values():
        if len(hosts) > 1:
            yield Problem(
                f"{few(hosts)} are one name to resolvers, which know no capitals: give each host another name in the "
                "inventory."
            )


# Groups of which only one host is used, and what would be wrong with more.
ALONE = {
    "postgresql": "The databases of {all} would know nothing of each other",
    "redis": "Everything would use the Redis of {first}, and nothing that of {others}",
}


@rule
def one_server_of_each_kind(inventory: Inventory) -> Iterator[Problem]:
    """There is one host for PostgreSQL at most, and one for Redis."""
    for group, why in ALONE.items():
        if len(hosts := inventory.group(group)) > 1:
            said = why.format(all=few(hosts), first=hosts[0], others=few(hosts[1:]))
            yield Problem(f"{said}: leave one host under `{group}:` in the inventory.")


@rule
def every_program_has_a_haproxy(inventory: Inventory) -> Iterator[Problem]:
    """Every program of the project has a HAProxy to talk to."""
    haproxies, project = inventory.group("haproxy"), inventory.group("celery")
    without = [host for host in project if host not in haproxies]
    if haproxies and without and set(haproxies) <= set(project):
        yield Problem(
            "Each HAProxy serves its own host alone, as it stands beside a program of the project, and "
            f"{few(without)} "
            f"{'has' if len(without) == 1 else 'have'} none: put every host below `celery:` under `haproxy:` too, "
            "or hosts of their own."
        )


@rule
def each_host_has_an_address_of_its_own(inventory: Inventory) -> Iterator[Problem]:
    """No two hosts have the same address."""
    addresses = inventory.by_host("cluster_address")
    for address, number in Counter(addresses.values()).items():
        if number > 1:
            hosts = [host for host, of_host in addresses.items() if of_host == address]
            yield Problem(
                f"{few(hosts)} have the same address, {address}: give each its own as `ansible_host`, or as "
                "`cluster_address` where "
                "Ansible gets in by another way; for one host with two names, use one name in all its groups."
            )


@rule
def each_host_is_reached_by_the_others(inventory: Inventory) -> Iterator[Problem]:
    """Only the host of a cluster of one may have a loopback address."""
    addresses = inventory.by_host("cluster_address")
    for host, address in addresses.items():
        if len(addresses) > 1 and address.startswith("127."):
            yield Problem(
                f"`{address}` of {host} is reached by itself alone: set `ansible_host` to its address in the "
                "network, or "
                "`cluster_address` where Ansible gets in by another way."
            )


@rule
def the_shared_address_is_free(inventory: Inventory) -> Iterator[Problem]:
    """The shared address is no host's own, and two hosts or more can share it."""
    vip, haproxies = inventory.fact("cluster_vip", ""), inventory.group("haproxy")
    if not vip:
        return
    if vip.startswith("127."):
        yield Problem(
            f"`cluster_vip` is {vip}, which every host has for itself: set it to a free IPv4 address in the network of "
            f"{few(haproxies) or 'the hosts under `haproxy:`'}.",
            ["cluster_vip"],
        )
        return
    if owners := [host for host, address in inventory.by_host("cluster_address").items() if address == vip]:
        yield Problem(
            f"`cluster_vip` is {vip}, and {few(haproxies)} would hold it, but it is the address of {few(owners)}: "
            "set it to an IPv4 "
            "address that is no host's own.",
            ["cluster_vip"],
        )
    sharers = [host for host in haproxies if host not in inventory.group("celery")]
    if haproxies and len(sharers) < 2:
        why = (
            f"{few(haproxies)} alone would hold it: list two hosts or more under `haproxy:`, or leave it empty for "
            "a single HAProxy"
            if sharers
            else f"no HAProxy would hold it, as each stands beside a program of the project ({few(haproxies)}): leave "
            "it empty"
        )
        yield Problem(f"`cluster_vip` is {vip}, and {why}.", ["cluster_vip"])


# Where RabbitMQ's command-line tools listen while they run.
TOOL_PORTS = range(35672, 35683)


@rule
def each_port_has_one_owner(inventory: Inventory) -> Iterator[Problem]:
    """No two parts of a host listen on the same port, nor one where RabbitMQ's tools do."""
    of_hosts: dict[tuple[Claim, Claim | None], list[str]] = {}
    for host, claims in inventory.claims.items():
        for number, claim in enumerate(claims):
            for other in claims[number + 1 :]:
                if claim.collides(other):
                    of_hosts.setdefault((claim, other), []).append(host)
            if claim.port in TOOL_PORTS and any(other.role == "rabbitmq" for other in claims):
                of_hosts.setdefault((claim, None), []).append(host)
    for (claim, other), hosts in of_hosts.items():
        names = sorted({one.input for one in (claim, other) if one and one.input})
        inputs = " or ".join(f"`{name}`" for name in names)
        if other is None:
            text = (
                f"Port {claim.port} of {few(hosts)} ({claim.what}) is one of those that RabbitMQ's own commands use, "
                f"{TOOL_PORTS[0]} to {TOOL_PORTS[-1]}: change {inputs}."
            )
        elif claim.role != other.role and claim.input == other.input:
            groups = [part["group"] for role in (claim, other) for part in inventory.parts if part["role"] == role.role]
            text = (
                f"{claim.role} and {other.role} would both listen on port {claim.port} of {few(hosts)}: take it out of "
                f"{' or of '.join(f'`{group}:`' for group in groups)}."
            )
        else:
            text = (
                f"Two would listen on port {claim.port} of {few(hosts)}: {claim.what} ({claim.role}), and "
                f"{other.what} ({other.role}). Change {inputs}."
            )
        yield Problem(text, names)


@rule
def facts_are_the_same_everywhere(inventory: Inventory) -> Iterator[Problem]:
    """What is a fact about the cluster is the same on all hosts."""
    names = dict.fromkeys(name for values in inventory.values.values() for name in values)
    for name in names:
        if name in inventory.of_each_host:
            continue
        found: list[tuple[Any, list[str]]] = []
        for host, value in inventory.by_host(name).items():
            for other, hosts in found:
                # What is no number is not even equal to itself.
                if other == value or repr(other) == repr(value):
                    hosts.append(host)
                    break
            else:
                found.append((value, [host]))
        if len(found) > 1:
            fewest = min((hosts for _, hosts in found), key=len)
            yield Problem(
                f"`{name}` is a fact about the whole cluster, but {few(fewest)} "
                f"{'has' if len(fewest) == 1 else 'have'} another value than "
                "other hosts: set it once, in group_vars/all, and nowhere else.",
                [name],
            )


@rule
def queues_have_names_of_their_own(inventory: Inventory) -> Iterator[Problem]:
    """No queue and no route is listed twice."""
    queues = inventory.fact("cluster_queues", [])
    if queues == [] and inventory.by_host("cluster_queues"):
        yield Problem(
            "`cluster_queues` is empty, so no task could be sent: give it one queue at least, such as "
            '`[{name: default, routes: ["*"]}]`.',
            ["cluster_queues"],
        )
    for name, number in Counter(queue["name"] for queue in queues).items():
        if number > 1:
            yield Problem(
                f"`cluster_queues` has {number} entries with the name {name}: make one of them.", ["cluster_queues"]
            )
    routes: dict[str, list[str]] = {}
    for queue in queues:
        for route in queue.get("routes", []):
            task = route.get("task") if isinstance(route, Mapping) else route
            routes.setdefault(str(task), []).append(queue["name"])
    for task, names in routes.items():
        if len(names) > 1 and task != "*":
            yield Problem(
                f"The route {task} stands {len(names)} times in `cluster_queues` "
                f"({', '.join(dict.fromkeys(names))}), and only one of them "
                "would count: leave one."
            )


@rule
def quorum_queues_have_no_mirrors(inventory: Inventory) -> Iterator[Problem]:
    """Nobody asks for a number of mirrors where queues have none."""
    copies = inventory.fact("cluster_queue_mirrors", "all")
    if inventory.fact("cluster_queue_type") == "quorum" and copies != "all":
        yield Problem(
            f"`cluster_queue_mirrors` is {copies}, but quorum queues have no mirrors, as each broker has a copy: leave "
            "it out, or set `cluster_queue_type: mirrored`.",
            ["cluster_queue_mirrors"],
        )


@rule
def every_glob_counts(inventory: Inventory) -> Iterator[Problem]:
    """No glob stands behind one of another queue that matches all that it does."""
    before: list[tuple[str, str]] = []
    for queue in inventory.fact("cluster_queues", []):
        routes = [route["task"] if isinstance(route, Mapping) else route for route in queue.get("routes", [])]
        # Celery looks for the name itself before it looks at globs, and the kit puts `*` at the end.
        for glob in (route for route in routes if "*" in route and route != "*"):
            first = next((other for other in before if fnmatchcase(glob, other[0]) and glob != other[0]), None)
            if first and first[1] != queue["name"]:
                yield Problem(
                    f"The route {glob} of {queue['name']} in `cluster_queues` would never count, as {first[0]} of "
                    f"{first[1]} stands before it and matches the same tasks: put {queue['name']} before {first[1]}."
                )
            before.append((glob, queue["name"]))


@rule
def every_queue_is_consumed(inventory: Inventory) -> Iterator[Problem]:
    """Some worker program consumes each queue."""
    of_workers = [
        inventory.values.get(host, {}).get("cluster_worker_programs") for host in inventory.group("celery_workers")
    ]
    if not of_workers or None in of_workers:
        return
    consumed = {queue for programs in of_workers for program in programs for queue in program.get("queues", [])}
    names = [queue["name"] for queue in inventory.fact("cluster_queues", [])]
    # Where a program lists one that does not exist, that is the mistake, and the role says so.
    if consumed <= set(names) and (unread := [name for name in names if name not in consumed]):
        yield Problem(
            f"No worker program consumes the queue {', '.join(unread)}, so its tasks would wait forever: list it "
            "under `queues:` of a "
            "program in `cluster_worker_programs`, or take it out of `cluster_queues`."
        )


@rule
def a_schedule_has_a_scheduler(inventory: Inventory) -> Iterator[Problem]:
    """A schedule has a scheduler that reads it, and its entries go to queues that exist."""
    schedule = inventory.fact("cluster_schedule", [])
    if not schedule:
        return
    if not inventory.group("celery_beat"):
        yield Problem(
            "Nothing would send the entries of `cluster_schedule`, as no host runs a scheduler: add one under "
            "`celery_beat:` in the "
            "inventory, or empty `cluster_schedule`."
        )
    known = [queue["name"] for queue in inventory.fact("cluster_queues", [])]
    for entry in schedule:
        if known and entry.get("queue") is not None and entry["queue"] not in known:
            yield Problem(
                f"The entry {entry.get('name')} of `cluster_schedule` is for the queue {entry['queue']}, which "
                "does not exist: choose "
                f"from {', '.join(known)}, or add it to `cluster_queues`."
            )


@rule
def alerts_have_a_sender(inventory: Inventory) -> Iterator[Problem]:
    """Whoever says where alerts go has a Prometheus that sends them."""
    for name in ("cluster_alertmanagers", "cluster_alertmanager_config"):
        if inventory.fact(name) and not inventory.group("monitoring"):
            yield Problem(
                f"Nothing would send alerts to what `{name}` says, as no host runs Prometheus: add one under "
                f"`monitoring:` in the inventory, or empty `{name}`."
            )


@rule
def thresholds_can_be_meant(inventory: Inventory) -> Iterator[Problem]:
    """Each threshold is a number above 0, and a share is 1 at most."""
    prefix = "cluster_threshold_"
    for name in (name for name in inventory.names if name.startswith(prefix)):
        for sentence in wrong_thresholds({name.removeprefix(prefix): inventory.fact(name)}):
            yield Problem(
                f"{sentence} Correct it in your group_vars; what it is for stands in inventory/kit/thresholds.yml.",
                [name],
            )
