"""The action plugin check_inputs says everything that its rules find wrong, and fills in a message only then."""

import json

import kit
import pytest

LENGTH = {
    "name": "each name is short",
    "that": "item | length < 3",
    "message": "Shorten {{ item }}.",
    "loop": "{{ names }}",
}


def check(folder, *rules, **variables):
    """Check rules; returns the message of the task, or None where all is well."""
    task = {"name": "Check", "check_inputs": {"rules": rules}}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": [task]}
    (folder / "play.yml").write_text(json.dumps([play]))
    done = kit.run("ansible-playbook", folder / "play.yml", ANSIBLE_CALLBACK_RESULT_FORMAT="json")
    assert kit.warnings_in(done.stdout + done.stderr) == []
    if done.returncode == 0:
        return None
    return json.loads(done.stdout.partition("FAILED! => ")[2].splitlines()[0])["msg"]


def test_good_inputs_pass_and_their_messages_are_not_filled_in(tmp_path):
    rule = {"name": "it is so", "that": ["true", "1 < 2"], "message": "{{ nowhere_defined }}"}
    assert check(tmp_path, rule, LENGTH, names=["a", "b"]) is None


def test_everything_that_is_wrong_is_said_once(tmp_path):
    rule = {"name": "it is so", "that": ["true", "size > 1"], "message": "{{ size }} is too small."}
    said = check(tmp_path, rule, LENGTH, size=1, names=["abc", "a", "abcd", "abc"])
    assert said == "1 is too small. Shorten abc. Shorten abcd."


def test_what_cannot_be_checked_is_a_sentence(tmp_path):
    said = check(tmp_path, {"name": "it is so", "that": "no_such_name > 1", "message": "No."})
    assert said.startswith("It cannot be checked whether it is so: ")
    assert "no_such_name" in said


def test_a_broken_rule_may_be_why_another_cannot_be_checked(tmp_path):
    unknown = {"name": "it is so", "that": "no_such_name > 1", "message": "No."}
    assert check(tmp_path, unknown, LENGTH, names=["abc"]) == "Shorten abc."


@pytest.mark.parametrize("rules", ["text", [{"name": "it is so", "that": "true"}], [LENGTH | {"when": "false"}]])
def test_a_rule_that_lacks_something_or_has_more_is_refused(tmp_path, rules):
    assert "needs name, that and message" in check(tmp_path, *rules)
