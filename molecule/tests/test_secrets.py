"""No secret is printed, logged or handed to a process as an argument.

A whole deployment with everything that Ansible can say, changed passwords included, and every other playbook that asks
the cluster; then the journals of all hosts since they were made, and each command line that was seen meanwhile.
"""

import json
import urllib.parse

import pytest

pytestmark = [pytest.mark.disruptive, pytest.mark.lengthy]


def forms(secret):
    """A secret as it may be written: as it is, in JSON, in YAML, for a shell, in Python and in a URL."""
    quoted = {
        secret,
        json.dumps(secret)[1:-1],
        secret.replace("'", "''"),
        secret.replace("'", "'\"'\"'"),
        repr(secret)[1:-1],
    }
    return quoted | {urllib.parse.quote(secret, safe=safe) for safe in ("", "/")}


def leaked(secrets, text):
    return sorted(name for name, secret in secrets.items() if any(form in text for form in forms(secret)))


def test_there_are_secrets_to_look_for(secrets):
    assert {"secret_erlang_cookie", "secret_rabbitmq_worker", "secret_rabbitmq_management"} <= set(secrets)
    assert leaked(secrets, f"x{secrets['secret_flower']}x") == ["secret_flower"]
    assert leaked({"a": "x'y/z\"", "b": "xyz"}, "amqp://x%27y%2Fz%22@") == ["a"]


def test_nothing_that_ansible_prints_holds_one(watched, secrets):
    assert {name: found for name, text in watched.printed.items() if (found := leaked(secrets, text))} == {}


def test_no_process_has_one_as_an_argument(watched, secrets):
    assert {name: found for name, text in watched.commands.items() if (found := leaked(secrets, text))} == {}
    # It was looked for while the password was changed.
    assert any("change_password" in text for text in watched.commands.values())


def test_no_journal_or_log_holds_one(member, secrets):
    logs = "find /var/log -type f -not -path '*/journal/*' -exec zcat --force {} +"
    # Some are not texts, and every secret is of printable characters.
    readable = r"tr --complement --delete '\11\12\40-\176'"
    said = member.run("sh -c %s", f"{{ journalctl --no-pager --output=cat; {logs}; }} | {readable}", seconds=120)
    assert leaked(secrets, said) == []


def test_what_celery_shows_of_its_settings_holds_none(publisher, secrets):
    module = publisher.expect("celery_app_module")
    for words in (["report"], ["inspect", "conf", "--timeout=5"]):
        shown = publisher.app("celery", "-A", module, *words)
        assert leaked(secrets, shown.stdout + shown.stderr) == []


@pytest.mark.cluster
def test_the_exporters_of_redis_show_no_key_and_no_value(stores):
    """Whatever a stranger asks them."""
    store = stores[0]
    locks = next(instance for instance in store.expect("redis_instances") if instance["name"] == "locks")
    store.redis_cli(locks, "set", "test-secret-key", "test-secret-value", "EX", "60")
    exporters = [entry["address"] for entry in store.expect("exporter_instances") if entry.get("package") == "redis"]
    assert len(exporters) == len(store.expect("redis_instances"))
    fetch = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"
    for address in exporters:
        assert "redis_up 1" in store.python(fetch, f"{store.scheme}://{address}/metrics")
        scheme = "rediss" if store.expect("redis_tls") else "redis"
        for user in ("", "monitor@"):
            target = f"{scheme}://{user}{store.address}:{locks['port']}"
            asked = f"{address}/scrape?target={target}&check-keys=db0=*&check-single-keys=db0=test-secret-key"
            shown = store.python(fetch, f"{store.scheme}://{asked}")
            assert "test-secret" not in shown
            assert "redbeat" not in shown
