"""Preflight says what is wrong with all hosts in one list, by what they answered."""

import json

import kit
import pytest
import yaml

LISTENING = [{"address": "0.0.0.0", "port": 5672, "programs": ["nginx", "nginx.service"]}]
ADDRESSES = [{"interface": "eth0", "address": "198.51.100.7", "prefix": 24}]
HOSTS = {"rabbitmq": "mq1", "haproxy": "lb1", "celery_workers": "w1"}


@pytest.fixture
def preflight(tmp_path):
    """Run preflight.yml on three hosts that are this machine; what it says."""
    here = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    children = {
        group: {"hosts": {name: {"ansible_host": f"192.0.2.{number}"}}}
        for number, (group, name) in enumerate(HOSTS.items(), 1)
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"test": {"children": children, "vars": here}}))

    def run(**variables):
        done = kit.run(
            *["ansible-playbook", *kit.inventory_arguments([kit.KIT_INVENTORY, tmp_path / "hosts.yml"])],
            "playbooks/preflight.yml",
            *kit.extra_vars(
                **kit.ANY_RELEASE,
                secrets_dir=tmp_path / "secrets",
                **variables,
            ),
            ANSIBLE_CALLBACK_RESULT_FORMAT="json",
        )
        assert done.returncode != 0
        assert "changed=1" not in done.stdout
        return [json.loads(text.splitlines()[0])["msg"] for text in done.stdout.split("FAILED! => ")[1:]]

    return run


def test_what_is_wrong_with_all_hosts_is_one_list(preflight):
    said = preflight(
        preflight_said=kit.NOTHING_THERE | {"addresses": ADDRESSES, "listening": LISTENING},
    )
    (sentences,) = [message.splitlines() for message in said]
    assert [sentence.split(" is taken by ")[0] for sentence in sentences if "nginx" in sentence] == [
        "Port 5672 of mq1",
        "Port 5672 of lb1",
    ]
    elsewhere = [sentence for sentence in sentences if "set for this host `cluster_address: 198.51.100.7`" in sentence]
    assert [sentence.split()[0] for sentence in elsewhere] == list(HOSTS.values())
    assert len(sentences) == 5


def test_a_host_on_which_ansible_cannot_become_root_ends_the_run(preflight):
    said = preflight(ansible_become_user="no-such-user")
    (first, *_) = [message for message in said if message.startswith("mq1 cannot be read as root: ")]
    assert "Try `ssh 192.0.2.1 sudo python3 --version`, or leave the host out with `--limit 'all:!mq1'`." in first
