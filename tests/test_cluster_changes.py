"""What brokers that run do not let a deployment change, and what it must not leave behind."""

import json

import pytest
from cluster_changes import (
    abandoned_queues,
    changed_queues,
    former_users,
    left_virtual_hosts,
    other_links,
    queues_of_virtual_host,
    wrong_members,
)

POLICIES = [{"name": "ha", "pattern": "^(default|mail)$"}]


def broker(*leads, state="running", **more):
    found = (
        {"state": state, "policies": POLICIES, "leads": leads, "exchanges": []} | more
        if state == "running"
        else {"state": state}
    )
    return {"answers": {"rabbitmq": {"rc": 0, "stdout": json.dumps(found), "stderr": ""}}}


def queue(name, ready, unacknowledged=0, max_priority=0):
    arguments = {"x-max-priority": max_priority} if max_priority else {}
    kept = {"durable": True, "auto_delete": False, "exclusive": False, "arguments": arguments}
    return {"name": name, "ready": ready, "unacknowledged": unacknowledged} | kept


SAID = [
    broker(queue("default", 0, max_priority=10), queue("own", 5)),
    broker(queue("mail", 2, 1), queue("celeryev.x", 1)),
    broker(state="booting"),
    # A node that is down, and a host that cannot be reached.
    {"answers": {"rabbitmq": {"rc": 69, "stdout": "", "stderr": "unable"}}},
    {"unreachable": True, "msg": "timed out"},
]


@pytest.mark.parametrize(
    ("queues", "sentences"),
    [
        ([{"name": "default", "max_priority": 10}, {"name": "mail"}, {"name": "new", "max_priority": 5}], []),
        ([{"name": "mail", "max_priority": 0}], []),
        ([{"name": "default"}], ["the queue default has `max_priority: 10` and would need none"]),
        ([{"name": "mail", "max_priority": 3}], ["the queue mail has `max_priority: none` and would need 3"]),
    ],
)
def test_a_changed_priority_is_said(queues, sentences):
    assert changed_queues(SAID, queues) == sentences


@pytest.mark.parametrize(
    ("differing", "said"),
    [
        ({"arguments": {"x-queue-type": "classic"}}, []),
        (
            {"arguments": {"x-queue-type": "stream"}},
            ["the queue mail has `x-queue-type: stream` and would need none"],
        ),
        (
            {"durable": False, "arguments": {"x-message-ttl": 60000, "x-dead-letter-exchange": "`id`\x1b"}},
            [
                "the queue mail has `x-message-ttl: 60000` and would need none, `x-dead-letter-exchange: 'id'?` and "
                "would need none, `durable: false` and would need true"
            ],
        ),
        ({"exclusive": True}, ["the queue mail has `exclusive: true` and would need false"]),
    ],
)
def test_a_queue_that_is_something_else_is_said(differing, said):
    assert changed_queues([broker(queue("mail", 0) | differing)], [{"name": "mail"}]) == said


def test_an_exchange_that_is_something_else_is_said():
    other = {"alternate-exchange": "elsewhere"}
    has = {"name": "mail", "type": "direct", "durable": True, "auto_delete": False, "internal": False}
    wanted = {"name": "mail", "type": "topic", "alternate": "unrouted", "queues": ["mail"]}
    said = changed_queues([broker(exchanges=[has | {"arguments": other}])], [], [wanted])
    assert said == [
        "the exchange mail has `alternate-exchange: elsewhere` and would need unrouted, "
        "`type: direct` and would need topic"
    ]
    right = has | {"type": "topic", "arguments": {"alternate-exchange": "unrouted"}}
    assert changed_queues([broker(exchanges=[right])], [], [wanted]) == []


def test_former_users_are_those_that_the_kit_once_made_and_nobody_elses():
    here = [{"user": name} for name in ("worker-1a2b", "worker-ffff", "celery", "worker-old", "keeper")]
    # Another cluster's, which has a virtual host of its own.
    users = [*here, {"user": "worker-0000"}]
    said = [
        broker(users=users, permissions=here, logged_in=["worker-1a2b", "celery"]),
        broker(users=users, permissions=here, logged_in=["celery", "keeper"]),
    ]
    wanted, patterns = [{"name": "worker-1a2b"}], ["(worker|flower)-[0-9a-f]{4}", "celery"]
    assert former_users(said, wanted, patterns) == {"celery": 2, "worker-ffff": 0}
    assert former_users(SAID[2:], wanted, patterns) == {}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("^(default|mail)$", []), ("^default$", ["3 in mail"]), ("^mail$", []), ("^post$", ["3 in mail"])],
)
def test_tasks_of_a_queue_that_the_inventory_has_no_longer_are_counted(pattern, said):
    """One without tasks may go, and one that no policy covers is somebody else's."""
    assert abandoned_queues(SAID, [{"pattern": pattern}]) == said


def test_a_new_cluster_has_no_queues():
    assert changed_queues([], [{"name": "a"}]) == abandoned_queues(SAID[2:], []) == []
    assert wrong_members(SAID[2:], ["mq1"]) == left_virtual_hosts(SAID[2:], "shop") == []


def members(name, *others, running=None):
    """A broker, with itself and these as members, all of which run where nothing else is said."""
    nodes = [f"rabbit@{host}" for host in (name, *others)]
    seen = nodes if running is None else [f"rabbit@{host}" for host in running]
    return broker(node=nodes[0], members=nodes, running=seen)


@pytest.mark.parametrize(
    ("said", "hosts"),
    [
        ([members("mq1", "mq2", "mq3"), members("mq2", "mq1", "mq3")], ["mq1", "mq2", "mq3"]),
        # Two more, new or down.
        ([members("mq1"), SAID[3], SAID[4]], ["mq1", "mq2", "mq3"]),
        ([SAID[2]], ["mq1"]),
    ],
)
def test_members_that_the_inventory_has_are_right(said, hosts):
    assert wrong_members(said, hosts) == []


FORGET = "`sudo rabbitmqctl forget_cluster_node rabbit@mq3`."


@pytest.mark.parametrize(
    ("said", "hosts", "beginning", "end"),
    [
        pytest.param(
            [members("mq1", "mq2", "mq3", running=["mq1", "mq2"])],
            ["mq1", "mq2", "mq4"],
            "rabbit@mq3 is a member of the brokers' cluster, and the inventory has no mq3 under `rabbitmq:`.",
            f"Add mq3 again, or, if it is gone for good, type on mq1 {FORGET}",
            id="a broker was replaced",
        ),
        pytest.param(
            [members("mq2", "mq1", "mq3")],
            ["mq1", "mq2"],
            "rabbit@mq3 is a member",
            "if it shall go, type there `sudo systemctl disable --now rabbitmq-watchdog.timer rabbitmq-server`, and "
            f"then on mq2 {FORGET}",
            id="a broker was taken out, and runs",
        ),
        pytest.param(
            [members("mq3", "x1", "x2"), members("mq1", "mq2"), members("mq2", "mq1")],
            ["mq1", "mq2", "mq3"],
            "The broker on mq3 has a cluster of its own (rabbit@mq3, rabbit@x1, rabbit@x2), which is not that of mq1",
            "rabbitmq-server`, and run this again, which lets it join.",
            id="a member of another cluster",
        ),
        pytest.param(
            [members("mq1"), members("mq2")],
            ["mq1", "mq2", "mq3"],
            "The broker on mq2 has a cluster of its own (rabbit@mq2), which is not that of mq1 (rabbit@mq1).",
            "which lets it join.",
            id="two that have begun alone",
        ),
        pytest.param(
            [members("mq1", "mq2")],
            ["broker1", "mq2"],
            "The node rabbit@mq1 runs on a host that the inventory names otherwise",
            "call the host mq1 in the inventory again.",
            id="a host with another name",
        ),
        pytest.param(
            [members("mq1", "mq2"), members("mq2", "mq1")],
            ["broker1", "mq2"],
            "The node rabbit@mq1 runs on a host",
            "call the host mq1 in the inventory again.",
            id="a host with another name beside one that knows it",
        ),
    ],
)
def test_a_wrong_member_is_said_with_what_to_type(said, hosts, beginning, end):
    (sentence,) = wrong_members(said, hosts)
    assert sentence.startswith(beginning) and sentence.endswith(end)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"shop": 3, "/": 0}, []),
        ({"/": 0}, []),
        ({"old": 12, "/": 0, "other": 1}, ["12 in old", "1 in other"]),
    ],
)
def test_a_virtual_host_with_queues_is_not_left_for_a_new_one(found, said):
    hosts = [{"name": name, "queues": queues} for name, queues in found.items()]
    said_by = [SAID[3], broker(virtual_hosts=hosts)]
    assert left_virtual_hosts(said_by, "shop") == said
    # The one of the other type of queues is said elsewhere.
    assert "old" not in found or left_virtual_hosts(said_by, "shop-quorum", "old") == []
    assert queues_of_virtual_host(said_by, "old") == found.get("old", 0)


def test_brokers_that_speak_otherwise_with_each_other_are_named():
    """One of an earlier version of the kit does not say, and has no TLS there."""
    said = [
        broker(node="rabbit@mq1", tls_between_nodes=True),
        broker(node="rabbit@mq2", tls_between_nodes=False),
        broker(node="rabbit@mq3"),
        *SAID[2:],
    ]
    assert other_links(said, True) == ["mq2", "mq3"]
    assert other_links(said, False) == ["mq1"]
