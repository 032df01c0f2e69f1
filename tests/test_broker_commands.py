"""The commands that the role rabbitmq installs, with a real RabbitMQ."""

import contextlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import amqp
import pytest
from cluster_changes import changed_queues
from kit import PROJECT
from kombu import Connection, Queue
from rabbitmq import COMMANDS, free_port, running_rabbitmq, url_of
from warren import model

FILES = PROJECT / "roles/rabbitmq/files"
STATUS, HAND_OVER = FILES / "rabbitmq-status", FILES / "rabbitmq-hand-over"
# What a shell, Erlang and JSON would take for something else.
STRANGE = 'we"ird $HOME `id` \\ ü'


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with running_rabbitmq(tmp_path_factory.mktemp("rabbitmq"), free_port()) as broker:
        broker.ctl("add_vhost", STRANGE)
        broker.ctl("set_policy", "-p", STRANGE, "bound", "^b", '{"max-length": 7}', "--apply-to", "queues")
        with Connection(*url_of(broker.port)) as connection:
            Queue("here", durable=True)(connection.default_channel).declare()
        broker.ctl("set_permissions", "-p", STRANGE, "guest", "c", "w", "r")
        yield broker


def read(done):
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_status_is_json_of_all_virtual_hosts(broker):
    found = read(broker.run(STATUS))
    assert (found["state"], found["running"]) == ("running", ["test@localhost"])
    assert 0 < found["file_handles"] < found["file_handles_limit"]
    (queue,) = found["leads"]
    wanted = {"vhost": "/", "name": "here", "type": "classic", "ready": 0, "max_length": None}
    assert queue | wanted == queue
    assert {permission["vhost"] for permission in found["permissions"]} == {"/", STRANGE}
    assert (found["node"], found["members"]) == ("test@localhost", ["test@localhost"])
    assert found["users"] == [{"user": "guest", "tags": ["administrator"]}]
    assert {host["name"]: host["queues"] for host in found["virtual_hosts"]} == {"/": 1, STRANGE: 0}
    # As the screen and the doctor read it.
    assert model.typed(model.Broker, found, "").leads[0].ready == 0


@contextlib.contextmanager
def silent(broker):
    """The queue `here` answers nothing meanwhile, as one whose mirror has come back during an alarm."""
    process = 'amqqueue:get_pid(element(2, rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"here">>))))'
    broker.ctl("eval", f"sys:suspend({process}).")
    try:
        yield
    finally:
        broker.ctl("eval", f"sys:resume({process}).")


def test_a_queue_that_does_not_answer_holds_nobody_up(broker):
    """The state of all others is known in time."""
    with silent(broker):
        (queue,) = read(broker.run(STATUS))["leads"]
    assert (queue["name"], queue["answers"], queue["ready"]) == ("here", False, None)
    (queue,) = read(broker.run(STATUS))["leads"]
    assert (queue["answers"], queue["ready"]) == (True, 0)


def quorum_queue(connection, name):
    """A channel on which a quorum queue has just been declared."""
    channel = connection.channel()
    channel.queue_declare(name, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
    return channel


def leads(broker, host, name):
    """What a node says of a queue that it leads."""
    (queue,) = [queue for queue in read(broker.run(STATUS, host))["leads"] if queue["name"] == name]
    return queue


def test_status_counts_what_is_in_a_quorum_queue_now(broker, two):
    """RabbitMQ itself counts every five seconds."""
    channel = quorum_queue(two[0], "quorum")
    for _ in range(3):
        channel.basic_publish(amqp.Message("task"), routing_key="quorum")
    channel.basic_qos(0, 1, False)
    channel.basic_consume("quorum", callback=lambda message: None)
    two[0].drain_events(timeout=10)
    wanted = {"type": "quorum", "answers": True, "ready": 2, "unacknowledged": 1, "consumers": 1}
    wanted |= {"mirrors": [], "synchronised": []}
    queue = leads(broker, "somebody", "quorum")
    assert queue | wanted == queue
    broker.ctl("eval", "sys:suspend('somebody_quorum').")
    queue = leads(broker, "somebody", "quorum")
    broker.ctl("eval", "sys:resume('somebody_quorum').")
    assert (queue["answers"], queue["ready"], queue["mirrors"]) == (False, None, [])
    queue = leads(broker, "somebody", "quorum")
    assert queue | wanted == queue


def test_status_is_of_one_virtual_host_where_it_is_named(broker):
    found = read(broker.run(STATUS, STRANGE))
    assert found["leads"] == []
    (policy,) = found["policies"]
    assert (policy["vhost"], policy["name"], policy["definition"]) == (STRANGE, "bound", {"max-length": 7})
    assert found["permissions"] == [{"vhost": STRANGE, "user": "guest", "configure": "c", "write": "w", "read": "r"}]


def test_status_can_come_from_somewhere_else(broker):
    """As playbooks/status.yml has it, which asks hosts that an earlier version has deployed, too."""
    found = read(broker.run("sh", "-s", STRANGE, text=STATUS.read_text()))
    assert [policy["name"] for policy in found["policies"]] == ["bound"]


def test_a_virtual_host_that_is_not_there_has_nothing(broker):
    """Whoever asks still hears the rest, and which virtual hosts there are."""
    found = read(broker.run(STATUS, "nowhere"))
    assert (found["leads"], found["policies"], found["permissions"]) == ([], [], [])
    assert {host["name"] for host in found["virtual_hosts"]} == {"/", STRANGE}


# What somebody may have declared under the name of a task queue: arguments, options, and whether a client of the kit is
# refused, with and without `max_priority: 3`.
SOMEBODYS = {
    "plain": ({}, {}, (False, True)),
    "classic": ({"x-queue-type": "classic"}, {}, (False, True)),
    "urgent": ({"x-max-priority": 3}, {}, (True, False)),
    "zero": ({"x-max-priority": 0}, {}, (True, True)),
    "unknown": ({"x-colour": {"red": [1, True]}}, {}, (False, True)),
    "quorum": ({"x-queue-type": "quorum"}, {}, (True, True)),
    "stream": ({"x-queue-type": "stream"}, {}, (True, True)),
    "ttl": ({"x-message-ttl": 1000}, {}, (True, True)),
    "length": ({"x-max-length": 5}, {}, (True, True)),
    "dead": ({"x-dead-letter-exchange": "morgue"}, {}, (True, True)),
    "lazy": ({"x-queue-mode": "lazy"}, {}, (True, True)),
    "single": ({"x-single-active-consumer": True}, {}, (True, True)),
    "transient": ({}, {"durable": False}, (True, True)),
    "automatic": ({}, {"auto_delete": True}, (True, True)),
    "exclusive": ({}, {"durable": False, "exclusive": True}, (True, True)),
}


def refuses(connection, exchange=None, **queue):
    """Whether the broker refuses what a client declares."""
    channel = connection.channel()
    try:
        if exchange:
            channel.exchange_declare(exchange, "direct", durable=True, auto_delete=False)
        else:
            channel.queue_declare(durable=True, auto_delete=False, **queue)
        channel.close()
    except (amqp.PreconditionFailed, amqp.ResourceLocked):
        return True
    return False


@pytest.fixture
def two(broker):
    """Somebody's connection to a virtual host that only they use, and that of a client of the kit."""
    broker.ctl("add_vhost", "somebody")
    broker.ctl("set_permissions", "-p", "somebody", "guest", ".*", ".*", ".*")
    url = url_of(broker.port)[0].rstrip("/") + "/somebody"
    with Connection(url) as somebodys, Connection(url) as ours:
        yield somebodys, ours
    broker.ctl("delete_vhost", "somebody")


def test_a_queue_is_refused_as_the_broker_would_refuse_its_clients(broker, two):
    somebodys, ours = two
    for name, (arguments, options, _) in SOMEBODYS.items():
        options = {"durable": True, "auto_delete": False} | options
        somebodys.channel().queue_declare(name, arguments=arguments, **options)
    answer = {"rc": 0, "stdout": broker.run(STATUS, "somebody").stdout}
    for name, (_, _, refused) in SOMEBODYS.items():
        for most, wanted in zip((0, 3), refused, strict=True):
            arguments = {"x-max-priority": most} if most else {}
            assert refuses(ours, queue=name, arguments=arguments) == wanted, (name, most)
            said = changed_queues([{"answers": {"rabbitmq": answer}}], [{"name": name, "max_priority": most}])
            assert len(said) == wanted, (name, most, said)


def test_an_exchange_is_refused_as_the_broker_would_refuse_its_clients(broker, two):
    somebodys, ours = two
    channel = somebodys.channel()
    channel.exchange_declare("same", "direct", durable=True, auto_delete=False)
    channel.exchange_declare("topic", "topic", durable=True, auto_delete=False)
    channel.exchange_declare("transient", "direct", durable=False, auto_delete=False)
    other = {"alternate-exchange": "topic"}
    channel.exchange_declare("other", "direct", durable=True, auto_delete=False, arguments=other)
    answer = {"rc": 0, "stdout": broker.run(STATUS, "somebody").stdout}
    for name in ("same", "topic", "transient", "other"):
        assert refuses(ours, exchange=name) == (name != "same"), name
        wanted = [{"name": name, "type": "direct"}]
        assert len(changed_queues([{"answers": {"rabbitmq": answer}}], [], wanted)) == (name != "same"), name
    wanted = [{"name": "other", "type": "direct", "alternate": "topic"}]
    assert changed_queues([{"answers": {"rabbitmq": answer}}], [], wanted) == []


@pytest.mark.parametrize(
    "command",
    [(STATUS, "--help"), (STATUS, "/", "more"), (HAND_OVER, "--help"), (HAND_OVER, "soon"), (HAND_OVER, "5", "more")],
)
def test_other_arguments_only_show_how_to_use_it(broker, command):
    done = broker.run(*command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Usage: {command[0].name} [")
    assert "Exit codes: 0" in done.stderr


def test_a_member_that_is_down_is_still_one(broker, tmp_path):
    """What preflight and the doctor find, and the command that they name."""
    with second_node(broker, tmp_path):
        found = read(broker.run(STATUS))
        assert sorted(found["members"]) == sorted(found["running"]) == ["second@localhost", "test@localhost"]
    found = read(broker.run(STATUS))
    assert sorted(found["members"]) == ["second@localhost", "test@localhost"]
    assert found["running"] == ["test@localhost"]
    broker.ctl("forget_cluster_node", "second@localhost")
    assert read(broker.run(STATUS))["members"] == ["test@localhost"]


@contextlib.contextmanager
def second_node(broker, folder):
    """A node that joins the broker's cluster and, at the end, stops without leaving it."""
    node = broker.beside(folder, free_port(), "second@localhost")
    server = node.start(COMMANDS / "rabbitmq-server")
    try:
        node.wait(server)
        for command in (["stop_app"], ["join_cluster", "test@localhost"], ["start_app"]):
            node.ctl(*command)
        yield node
    finally:
        server.terminate()
        server.wait(60)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_hand_over_waits_for_what_consumers_have(broker, kind):
    with Connection(*url_of(broker.port)) as connection, ThreadPoolExecutor() as pool:
        channel = connection.channel()
        channel.queue_declare("busy", durable=True, auto_delete=False, arguments={"x-queue-type": kind})
        channel.basic_qos(0, 10, False)
        got = []
        channel.basic_consume("busy", callback=got.append)
        channel.basic_publish(amqp.Message("first"), routing_key="busy")
        connection.drain_events(timeout=10)
        handing_over = pool.submit(broker.run, HAND_OVER, "30")
        deadline = time.monotonic() + 20
        while leads(broker, "/", "busy")["consumers"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        channel.basic_publish(amqp.Message("second"), routing_key="busy")
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=1)
        queue = leads(broker, "/", "busy")
        assert (len(got), queue["unacknowledged"], queue["ready"]) == (1, 1, 1)
        assert not handing_over.done()
        channel.basic_ack(got[0].delivery_tag)
        done = handing_over.result()
    assert done.returncode == 0, done.stdout + done.stderr
    broker.ctl("eval", "rabbit_maintenance:revive().")
    queue = leads(broker, "/", "busy")
    assert (queue["unacknowledged"], queue["ready"]) == (0, 1)
    with Connection(*url_of(broker.port)) as connection:
        connection.channel().queue_delete("busy")


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("listeners.tcp.default = 5672", None),
        ("listener.tcp.default = 5672", "listener.tcp.default"),
        ("vm_memory_high_watermark.relative = much", "much"),
    ],
)
def test_a_wrong_configuration_is_found(broker, tmp_path, line, wrong):
    (tmp_path / "rabbitmq.conf").write_text(f"{line}\n")
    done = broker.run(FILES / "rabbitmq-check-config", str(tmp_path / "rabbitmq.conf"))
    assert done.returncode == bool(wrong), done.stdout + done.stderr
    assert (wrong or "") in done.stdout


def test_a_node_takes_a_new_cookie_twice(broker, tmp_path, monkeypatch):
    """Before its file says so, and after the caller was killed."""
    (tmp_path / "systemctl").write_text("#!/bin/sh\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    file = broker.folder / ".erlang.cookie"
    old = file.read_text()
    for _ in range(2):
        done = broker.run("sh", FILES / "rabbitmq-set-cookie", text='n"e w')
        assert (done.returncode, done.stderr) == (0, "")
    assert broker.run("rabbitmqctl", "status").returncode == 69
    file.chmod(0o600)
    file.write_text('n"e w')
    done = broker.run("sh", FILES / "rabbitmq-set-cookie", text=old)
    file.write_text(old)
    file.chmod(0o400)
    assert (done.returncode, done.stderr) == (0, "")
    assert broker.ctl("eval", "erlang:get_cookie().").strip().strip("'") == old


def test_a_hand_over_says_which_tasks_are_done_again(broker):
    with Connection(*url_of(broker.port)) as connection:
        queue = Queue("held", durable=True)(connection.default_channel)
        queue.declare()
        connection.Producer().publish("task", routing_key="held")
        # Delivered, and not acknowledged.
        with connection.Consumer(queue, callbacks=[lambda body, message: None]):
            connection.drain_events(timeout=10)
            done = broker.run(HAND_OVER, "1")
    assert done.returncode == 1, done.stderr
    left = json.loads(done.stdout)
    assert left["channels_with_tasks"] > 0 and left["busy_queues"] == left["channels_with_messages"] == 0
    # Clients are gone, and no new ones come in.
    assert json.loads(broker.run(STATUS).stdout)["connections"] == 0
    with pytest.raises(OSError):
        Connection(*url_of(broker.port)).connect()


def test_a_hand_over_with_nothing_to_wait_for_is_soon_done(broker):
    # Nor for a queue that does not answer.
    with silent(broker):
        done = broker.run(HAND_OVER, "30")
    # RabbitMQ itself warns that the node is drained.
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"busy_queues": 0, "channels_with_messages": 0, "channels_with_tasks": 0}


def test_a_node_that_does_not_run_is_said_to(broker):
    broker.ctl("stop")
    for command in (STATUS, HAND_OVER):
        done = broker.run(command)
        assert (done.returncode, done.stdout) == (69, "")
        assert "unable to perform" in done.stderr
