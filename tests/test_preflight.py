"""Each wrong input stops preflight before anything is changed, with one sentence that says what to type.

Most inventories are checked in one process, by the action that preflight runs; what hosts or the project must tell, and
one case of the others, by a whole run of preflight.yml. There the hosts are this machine under other names.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import kit
import pytest
import rules_page
import yaml
from kit import PROJECT
from wrong_inventories import CASES, CASES_OF_HOSTS, GOOD

pytestmark = pytest.mark.lengthy

# Of the inventories that are checked in one process, those that are also tried with a whole run.
WHOLE_RUNS = {"a queue with a comma": CASES["a queue with a comma"]} | CASES_OF_HOSTS
GOOD_RUNS = ["good", "everything on one host"]
# What preflight may do before it asks hosts.
READS = {"ansible.builtin.assert", "check_inventory"}


def write_inventory(folder, groups=None, variables=None, extra=None, project=None):
    """Write a small good inventory with what the case changes; returns its file."""
    if project:
        (folder / "shop").mkdir(parents=True)
        (folder / "shop/pyproject.toml").write_text(project)
        source = {"cluster_app_source": str(folder / "shop"), "cluster_app_requirements": ""}
        variables = (variables or {}) | source
    hosts = {"rabbitmq": {"mq1": {}}, "haproxy": {"lb1": {}}, "celery_workers": {"w1": {}}} | (groups or {})
    names = sorted({name for of_group in hosts.values() for name in of_group})
    addresses = {name: {"ansible_host": f"192.0.2.{number}"} for number, name in enumerate(names, 101)}
    children = {}
    for group, of_group in hosts.items():
        with_addresses = {name: addresses[name] | own for name, own in of_group.items()}
        children[group] = {
            "hosts": {
                name: {key: value for key, value in own.items() if (key, value) != ("ansible_host", None)}
                for name, own in with_addresses.items()
            }
        }
    of_all = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "cluster_app_source": str(PROJECT / "app/reference"),
    } | (variables or {})
    (folder / "group_vars").mkdir(parents=True)
    (folder / "group_vars/test.yml").write_text(yaml.safe_dump(of_all))
    (folder / "inventory.yml").write_text(yaml.safe_dump({"test": {"children": children}}))
    return folder / "inventory.yml"


def check(folder, cases):
    """Return what preflight says of each case, by its name; they are checked in one process."""
    given = [
        {
            "files": [str(write_inventory(folder / str(number), **changes))],
            "extra": {"secrets_dir": str(folder / "secrets")} | changes.get("extra", {}),
        }
        for number, changes in enumerate(cases.values())
    ]
    with checking() as ask:
        return {name: ask(case) for name, case in zip(cases, given, strict=True)}


@contextmanager
def checking():
    """Start the process that checks inventories; gives a function that asks it for one."""
    process = subprocess.Popen(
        [sys.executable, PROJECT / "tests/check_inventories.py"],
        env=os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def ask(case):
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(case) + "\n")
            process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, process.communicate()[1]
        return json.loads(answer)

    try:
        yield ask
    finally:
        process.kill()
        process.communicate()


def run_preflight(inventory_files, folder, **variables):
    """Run preflight.yml on an inventory of hosts that are this machine."""
    here = {
        **kit.ANY_RELEASE,
        "preflight_said": kit.NOTHING_THERE,
    }
    given = here | {"secrets_dir": folder / "secrets"} | variables
    given = {name: value for name, value in given.items() if value is not None}
    return kit.run(
        *["ansible-playbook", *kit.inventory_arguments(inventory_files), "playbooks/preflight.yml"],
        *kit.extra_vars(**given),
        # Messages in one piece: YAML's are folded.
        ANSIBLE_CALLBACK_RESULT_FORMAT="json",
        ANSIBLE_CALLBACKS_ENABLED=kit.CALLBACKS,
    )


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What preflight says of each inventory, by the case's name."""
    top = tmp_path_factory.mktemp("inventories")
    cases = {name: changes for name, (_, changes) in CASES.items()} | GOOD
    # Two processes, as CI has two cores.
    parts = [dict(list(cases.items())[part::2]) for part in range(2)]
    with ThreadPoolExecutor(len(parts)) as pool:
        found = pool.map(lambda part: check(top / f"part{part}", parts[part]), range(len(parts)))
        return {name: sentences for of_part in found for name, sentences in of_part.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The whole run of each case that has one, by its name."""
    top = tmp_path_factory.mktemp("preflight")
    cases = {name: changes for name, (_, changes) in WHOLE_RUNS.items()} | {name: GOOD[name] for name in GOOD_RUNS}

    def run(number, changes):
        file = write_inventory(top / str(number), **changes)
        return run_preflight([kit.KIT_INVENTORY, file], top / str(number), **changes.get("extra", {}))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = {name: pool.submit(run, number, changes) for number, (name, changes) in enumerate(cases.items())}
    return {name: future.result() for name, future in started.items()}


def recap(run):
    """The line of each host after PLAY RECAP."""
    return run.stdout.partition("PLAY RECAP")[2].splitlines()[1:]


def has_words(words, text):
    """Whether a text has these words, in their order."""
    return re.search(".*".join(map(re.escape, words)), " ".join(text.split()))


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_input_is_one_sentence_that_says_what_to_type(said, case):
    words, _ = CASES[case]
    (sentence,) = said[case]
    assert has_words(words, sentence), sentence


@pytest.mark.parametrize("case", GOOD)
def test_of_a_good_inventory_nothing_is_said(said, case):
    assert said[case] == []


def test_everything_that_is_wrong_is_said_at_once(tmp_path):
    names = ["a queue with a comma", "a port that is none", "a share in per cent", "no connections", "a misspelt fact"]
    variables = {name: value for case in names for name, value in CASES[case][1]["variables"].items()}
    sentences = check(tmp_path, {"all": {"variables": variables}})["all"]
    assert len(sentences) == len(names)
    for name in names:
        assert [sentence for sentence in sentences if has_words(CASES[name][0], sentence)], name


@pytest.mark.parametrize("case", WHOLE_RUNS)
def test_a_wrong_input_stops_the_run_before_anything_is_changed(runs, case):
    words, _ = WHOLE_RUNS[case]
    run = runs[case]
    assert run.returncode != 0
    assert has_words(words, run.stdout + run.stderr), run.stdout + run.stderr
    assert recap(run)
    assert not re.search(r"changed=[1-9]", run.stdout)
    assert kit.warnings_in(run.stdout + run.stderr) == []


@pytest.mark.parametrize("case", GOOD_RUNS)
def test_a_good_inventory_passes(runs, case):
    run = runs[case]
    assert run.returncode == 0, run.stdout + run.stderr
    lines = [line for line in recap(run) if line.strip()]
    assert any(" ok=" in line for line in lines)
    assert not re.search(r"(changed|unreachable|failed|rescued|ignored)=[1-9]", "\n".join(lines))
    assert kit.warnings_in(run.stdout + run.stderr) == []


def test_the_page_of_rules_is_fresh(said):
    """`python tests/rules_page.py` writes it."""
    assert rules_page.PAGE.read_text() == rules_page.page(said)


def test_preflight_checks_the_inventory_before_it_asks_a_host():
    plays = yaml.safe_load((PROJECT / "playbooks/preflight.yml").read_text())
    asking = next(number for number, play in enumerate(plays) if play.get("name") == "Read the hosts")
    modules = {key for play in plays[:asking] for task in play.get("tasks", []) for key in task}
    assert modules - READS <= {"name", "run_once"}
    assert "check_inventory" in modules


@pytest.mark.parametrize("name", kit.INVENTORIES)
def test_every_inventory_of_the_kit_passes(tmp_path, name):
    here = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    run = run_preflight(kit.INVENTORIES[name], tmp_path, **here)
    assert run.returncode == 0, run.stdout + run.stderr
    assert kit.warnings_in(run.stdout + run.stderr) == []
