"""The action plugin check_inventory says everything that is wrong with all hosts, in one task."""

import json

import kit
import pytest


def check(folder, hosts, **variables):
    """Check hosts that run workers; returns the message of the task, or None where all is well."""
    given = {name: {"ansible_host": f"192.0.2.{number}"} | more for number, (name, more) in enumerate(hosts.items(), 9)}
    groups = {
        "rabbitmq": {"hosts": {"mq1": {"ansible_host": "192.0.2.1"}}},
        "haproxy": {"hosts": {"lb1": {"ansible_host": "192.0.2.2"}}},
        "celery_workers": {"hosts": given},
    }
    all_vars = {"cluster_app_source": str(kit.PROJECT / "app/reference"), "secrets_dir": str(folder / "secrets")}
    inventory = {"test": {"children": groups, "vars": all_vars | variables}}
    (folder / "hosts.json").write_text(json.dumps(inventory))
    task = {"name": "Check", "check_inventory": {"hosts": "{{ ansible_play_hosts }}"}, "run_once": True}
    (folder / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
    done = kit.run(
        *["ansible-playbook", *kit.inventory_arguments([kit.KIT_INVENTORY, folder / "hosts.json"])],
        folder / "play.yml",
        ANSIBLE_CALLBACK_RESULT_FORMAT="json",
    )
    assert kit.warnings_in(done.stdout + done.stderr) == []
    if done.returncode == 0:
        return None
    return json.loads(done.stdout.partition("FAILED! => ")[2].splitlines()[0])["msg"]


@pytest.mark.parametrize(
    "more", [{}, {"celery_worker_log_level": "{{ 'DEBUG' if inventory_hostname == 'w1' else 'INFO' }}"}]
)
def test_good_hosts_pass(tmp_path, more):
    assert check(tmp_path, {"w1": {}, "w2": {}}, **more) is None


def test_hosts_with_the_same_fault_are_one_sentence(tmp_path):
    hosts = {f"w{number}": {} for number in range(1, 8)} | {"w8": {"celery_worker_start_retries": "many"}}
    shared, own = check(tmp_path, hosts, celery_worker_log_backups="few").splitlines()
    assert shared == "`celery_worker_log_backups` of w1, w2, w3, w4, w5 and 3 more is 'few'; give it a whole number."
    assert own == "`celery_worker_start_retries` of w8 is 'many'; give it a whole number."


def test_a_fault_of_one_host_is_found(tmp_path):
    """The hosts differ in an expression that they share."""
    level = "{{ 'LOUD' if inventory_hostname == 'w2' else 'INFO' }}"
    said = check(tmp_path, {"w1": {}, "w2": {}, "w3": {}}, celery_worker_log_level=level)
    assert said.startswith("`celery_worker_log_level` of w2 is 'LOUD'; give it one of DEBUG, INFO")


def test_a_fault_of_one_host_is_found_behind_a_name_that_is_put_together(tmp_path):
    hosts = {"w1": {"level_of_all": "INFO"}, "w2": {"level_of_all": "LOUD"}, "w3": {"level_of_all": "INFO"}}
    said = check(tmp_path, hosts, celery_worker_log_level="{{ lookup('vars', 'level_of' ~ '_all') }}")
    assert said.startswith("`celery_worker_log_level` of w2 is 'LOUD'; give it one of DEBUG, INFO")


def test_an_input_that_cannot_be_filled_in_is_named(tmp_path):
    said = check(tmp_path, {"w1": {"celery_worker_log_level": "{{ no_such_name }}"}})
    assert said.startswith("`celery_worker_log_level` of w1 cannot be evaluated, as `no_such_name` is not defined")


def test_every_broken_rule_is_said_once(tmp_path):
    program = {"name": "beat", "queues": ["nowhere"], "concurrency": 1}
    said = check(tmp_path, {"w1": {"cluster_worker_programs": [program]}, "w2": {}})
    assert "program beat on w1 lists the unknown queue nowhere" in said
    assert "Rename the worker program beat on w1" in said
    assert len(said.splitlines()) == len(set(said.splitlines())) == 2


def test_a_fault_of_a_type_hides_no_broken_rule_of_another_role_or_host(tmp_path):
    program = {"name": "beat", "queues": ["nowhere"], "concurrency": 1}
    hosts = {
        "w1": {"celery_worker_start_retries": "many", "cluster_worker_programs": [program | {"name": "flower"}]},
        "w2": {"cluster_worker_programs": [program]},
    }
    said = check(tmp_path, hosts, celery_app_accept_content=["pickle"])
    assert "`celery_worker_start_retries` of w1 is 'many'; give it a whole number." in said
    assert "pickle lets anyone" in said
    assert "program beat on w2 lists the unknown queue nowhere" in said
    assert "Rename the worker program flower on w1" in said


def test_there_are_not_too_many_sentences(tmp_path):
    programs = [{"name": f"p{number}", "queues": ["nowhere"], "concurrency": 1} for number in range(105)]
    said = check(tmp_path, {"w1": {"cluster_worker_programs": programs}}).splitlines()
    assert (len(said), said[-1]) == (101, "5 more like these.")
