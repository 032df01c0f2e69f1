"""The Redis instances, as their clients see them."""

import hashlib
import json
import time
import uuid

import pytest

pytestmark = pytest.mark.cluster


def instances(store):
    return {instance["name"]: instance for instance in store.expect("redis_instances")}


def main_pids(store):
    return {
        name: store.run(f"systemctl show --property=MainPID --value redis-server@{name}") for name in instances(store)
    }


# Prints nothing where the server closes the connection.
SAY = """
import contextlib, socket, ssl, sys
address, port, line, authority = sys.argv[1:]
with contextlib.suppress(ConnectionError), socket.create_connection((address, int(port)), timeout=10) as connection:
    if authority:
        connection = ssl.create_default_context(cafile=authority).wrap_socket(connection, server_hostname=address)
    connection.sendall(f"{line}\\r\\n".encode())
    print(connection.makefile().readline())
"""


def said_to_a_stranger(host, store, instance, line, *, tls):
    """The first line of the answer to a command from a host, without a password."""
    authority = store.expect("redis_tls")["authority"] if tls else ""
    return host.run("python3 -c %s %s %s %s %s", SAY, store.address, str(instance["port"]), line, authority)


def test_it_listens_on_its_own_address_only(store):
    listening = store.run("ss --listening --tcp --numeric --processes --no-header").splitlines()
    found = {line.split()[3] for line in listening if "redis-server" in line}
    assert found == {f"{store.address}:{instance['port']}" for instance in instances(store).values()}


def test_the_packages_own_instance_is_off(store):
    service = store.host.service("redis-server")
    assert not service.is_running
    assert not service.is_enabled


def test_it_refuses_whoever_has_no_password(store, workers):
    for instance in instances(store).values():
        for line in ("PING", "CONFIG GET *", "FLUSHALL"):
            said = said_to_a_stranger(workers[0], store, instance, line, tls=bool(store.expect("redis_tls")))
            assert said.startswith("-NOAUTH")


def test_with_tls_it_answers_no_plain_client(store, workers):
    for instance in instances(store).values():
        said = said_to_a_stranger(workers[0], store, instance, "PING", tls=False)
        assert said.startswith("-NOAUTH") != bool(store.expect("redis_tls"))


def test_effective_settings(store):
    """Asked of the running instance, as a file may be newer."""
    units = {"kb": 2**10, "mb": 2**20, "gb": 2**30}
    saves = {"none": "", "aof": "", "rdb": "3600 1 300 100 60 10000"}
    for instance in instances(store).values():
        memory = instance["max_memory"].lower()
        wanted = {
            "maxmemory": str(int(memory[:-2]) * units[memory[-2:]]),
            "maxmemory-policy": instance["eviction_policy"],
            "appendonly": "yes" if instance["persistence"] == "aof" else "no",
            "save": saves[instance["persistence"]],
        }
        for name, value in wanted.items():
            # An empty value is an empty second line.
            assert [*store.redis_cli(instance, "config", "get", name).splitlines(), ""][1] == value, name


def test_only_root_may_read_the_password_of_its_commands(store):
    for name in instances(store):
        file = store.host.file(f"/etc/redis/password-{name}")
        assert (file.user, file.group, file.mode) == ("root", "root", 0o600)
        for place in (f"/etc/redis/redis-{name}.conf", f"/etc/redis/users-{name}.conf"):
            text = store.host.file(place).content_string
            passwords = [user["password"] for user in store.expect("redis_users")]
            assert [word for word in [store.expect("redis_password"), *passwords] if word in text] == []


@pytest.mark.disruptive
@pytest.mark.lengthy
def test_a_changed_password_restarts_nothing_and_the_former_user_stays_in_a_part_of_the_work(store, playbook):
    """Programs still have it: only a run of everything removes its user."""
    instance = instances(store)["locks"]
    (former,) = [user["name"] for user in store.expect("redis_users") if user["purpose"] == "locks"]
    before, password = main_pids(store), "another-9Xq2vLw7"
    new = f"locks-{hashlib.sha256(f'locks:{password}'.encode()).hexdigest()[:4]}"
    try:
        playbook("playbooks/site.yml", "--tags", "redis", "-e", json.dumps({"secret_redis_locks": password}))
        assert {former, new} <= set(store.redis_cli(instance, "ACL", "USERS").splitlines())
    finally:
        playbook("playbooks/site.yml")
    users = store.redis_cli(instance, "ACL", "USERS").splitlines()
    assert former in users and new not in users
    assert main_pids(store) == before


@pytest.mark.disruptive
def test_a_lock_survives_the_end_of_its_instance(store):
    """The process is killed, with no chance to save anything, and systemd starts it again."""
    (name, instance), *_ = [item for item in instances(store).items() if item[1]["persistence"] == "aof"]
    key = f"warren-test-{uuid.uuid4()}"
    assert store.redis_cli(instance, "set", key, "held", "NX", "EX", "60") == "OK"
    # The file is synchronised once in a second.
    time.sleep(1.5)
    before = main_pids(store)
    store.run(f"systemctl kill --signal=KILL redis-server@{name}")
    for _ in range(20):
        time.sleep(0.5)
        if main_pids(store)[name] not in (before[name], "0"):
            break
    time.sleep(1)
    assert store.redis_cli(instance, "set", key, "mine", "NX", "EX", "60") == ""
    assert store.redis_cli(instance, "get", key) == "held"
    assert 0 < int(store.redis_cli(instance, "ttl", key)) <= 60
    store.redis_cli(instance, "del", key)


@pytest.mark.disruptive
@pytest.mark.lengthy
def test_a_changed_configuration_restarts_its_instance_only(store, playbook):
    before = main_pids(store)
    (name,) = [name for name, instance in instances(store).items() if instance["eviction_policy"] == "volatile-ttl"]
    site = ["playbooks/site.yml", "--tags", "redis"]
    small = {name: {"max_memory": "32mb"}}
    changed = [instance | small.get(instance["name"], {}) for instance in instances(store).values()]
    try:
        playbook(*site, "-e", json.dumps({"redis_instances": changed}))
        assert store.redis_cli(instances(store)[name], "config", "get", "maxmemory").splitlines()[1] == str(32 * 2**20)
        after = main_pids(store)
        assert {name for name in before if before[name] != after[name]} == {name}

        # It leaves the list.
        others = [instance for instance in instances(store).values() if instance["name"] != name]
        playbook(*site, "-e", json.dumps({"redis_instances": others}))
        assert not store.host.service(f"redis-server@{name}").is_running
        assert not store.host.service(f"redis-server@{name}").is_enabled
        for file in (f"redis-{name}.conf", f"users-{name}.conf", f"password-{name}"):
            assert not store.host.file(f"/etc/redis/{file}").exists
        assert {other: pid for other, pid in main_pids(store).items() if other != name} == {
            other: pid for other, pid in before.items() if other != name
        }
    finally:
        playbook(*site)
    assert store.host.service(f"redis-server@{name}").is_running
