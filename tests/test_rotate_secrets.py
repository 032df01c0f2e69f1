"""What playbooks/rotate_secrets.yml refuses, before it removes a secret or asks a host."""

import kit
import pytest
from kit import INVENTORIES, PROJECT

OPENSSL = "`openssl rand -base64 24` prints, and type `ansible-playbook "


@pytest.fixture
def secrets(tmp_path):
    """A folder of secrets, as former runs have made it."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in ("rabbitmq_worker", "flower", "database"):
        (folder / name).write_text(f"{name}-kfR9/2pWq+Zt7w==")
    return folder


def said(secrets, *arguments):
    """Run the playbook, which ends with a failure; what it said, in one line."""
    before = {path: path.read_text() for path in secrets.iterdir()}
    inventory = kit.inventory_arguments(INVENTORIES["lab"])
    where = ("-e", f"secrets_dir={secrets}")
    done = kit.run("ansible-playbook", *inventory, "playbooks/rotate_secrets.yml", *where, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert {path: path.read_text() for path in before} == before
    text = " ".join(done.stdout.split())
    assert "PLAY [Read the hosts]" not in text
    return text


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Say which secret shall be new: `ansible-playbook -i"),
        (("-e", "secret="), "database, database_owner, django_key, erlang_cookie, flower, haproxy_stats, keepalived"),
        (("-e", "secret=flower,rabitmq"), "There is no secret rabitmq. There are database, database_owner"),
        (("-e", "secret=../flower"), "There is no secret ../flower."),
        (("-e", "secret=django_key"), "no Python file in {project} names Django's SECRET_KEY_FALLBACKS."),
        (("-e", "secret=flower", "--limit", "mq1"), "A host that is left out would keep the former secret."),
        (("-e", "secret=flower", "--tags", "flower"), "A part that is left out would keep the former secret."),
        (("-e", "secret=flower", "--skip-tags", "web"), "Leave out `--tags` and `--skip-tags`."),
        (
            ("-e", "secret=flower", "-e", "secret_flower=Zt4-kqW9_pLm2"),
            f"secret_flower of your inventory is not in {{secrets}}: set a new one there, such as what {OPENSSL}",
        ),
    ],
)
def test_what_cannot_be_new_is_said(secrets, arguments, words):
    assert words.format(secrets=secrets, project=PROJECT / "app/reference") in said(secrets, *arguments)
