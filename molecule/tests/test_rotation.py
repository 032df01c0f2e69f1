"""New secrets under a load of 50 tasks a second: nothing is lost, and the former ones are worth nothing afterwards."""

import json
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.disruptive, pytest.mark.lengthy, pytest.mark.lifecycle]

# All but that of the publishers, as which the load itself is logged in.
NAMES = (
    "rabbitmq_worker,rabbitmq_beat,rabbitmq_flower,rabbitmq_management,haproxy_stats,flower,prometheus,keepalived,"
    "erlang_cookie"
)


STARTED = "systemctl show --property=MainPID --property=ActiveEnterTimestamp rabbitmq-server"


@pytest.fixture
def secrets_folder(all_members, playbook):
    """Where the secrets are; afterwards the cluster has those of before again, which other tests know."""
    folder = Path(all_members[0].expect("certificate_authority")).parent
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    yield folder
    for path, content in before.items():
        path.write_bytes(content)
    playbook("playbooks/site.yml")


def logins(brokers):
    """The users of the kit, and those that somebody is logged in as."""
    said = [json.loads(broker.run("rabbitmq-status")) for broker in brokers]
    return {user["user"] for user in said[0]["users"]}, {name for one in said for name in one["logged_in"]}


def test_new_secrets_cost_no_task_and_the_former_end(
    brokers, monitors, load, secrets_folder, playbook, kill_at, inventory
):
    before, _ = logins(brokers)
    started = {broker.run(STARTED) for broker in brokers}
    former = {name: (secrets_folder / name).read_text() for name in NAMES.split(",")}
    end = load()
    time.sleep(5)
    # The first worker host may have moved by then, and the second has not.
    kill_at(inventory, "PLAY [Workers]", "playbooks/rotate_secrets.yml", "-e", f"secret={NAMES}")
    time.sleep(10)
    users, _ = logins(brokers)
    # Both are there.
    assert {name.partition("-")[0] for name in users - before} == {"worker", "beat", "flower"}
    assert before <= users
    playbook("playbooks/site.yml")
    users, logged_in = logins(brokers)
    assert {name.partition("-")[0] for name in before - users} == {"worker", "beat", "flower"}
    assert logged_in <= users
    end()
    # Brokers have taken it while they ran, and each uses it for all of its peers.
    assert {broker.run(STARTED) for broker in brokers} == started
    cookie = (secrets_folder / "erlang_cookie").read_text().strip()
    said = brokers[0].run("rabbitmqctl --quiet eval %s", "rpc:multicall(erlang, get_cookie, []).")
    assert said.count(cookie) == len(brokers)
    assert {name for name, secret in former.items() if (secrets_folder / name).read_text() == secret} == set()
    monitor = monitors[0]
    place = f"{monitor.expect('prometheus_bind')}:{monitor.expect('prometheus_port')}"
    with pytest.raises(OSError, match="401"):
        monitor.page(f"{place}/-/healthy", f"warren:{former['prometheus'].strip()}")


def test_a_program_that_has_not_moved_keeps_the_former_user(brokers, load, secrets_folder, playbook):
    """It is named, and loses nothing; when it has ended, the user goes."""
    before, _ = logins(brokers)
    end = load()
    time.sleep(5)
    arguments = ("playbooks/rotate_secrets.yml", "-e", "secret=rabbitmq_publisher")
    output, _ = playbook(*arguments, expect_success=False)
    users, logged_in = logins(brokers)
    (publisher,) = [name for name in before if name.startswith("publisher-")]
    assert f"as former users ({publisher}), so these users stay" in " ".join(output.split())
    assert publisher in users & logged_in
    end()
    playbook("playbooks/site.yml")
    users, _ = logins(brokers)
    assert publisher not in users
