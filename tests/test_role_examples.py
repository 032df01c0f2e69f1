"""Every role works by itself: the unchanged example of its README, its defaults, and every input with another value.

No inventory, group_vars or wiring of the kit is read here. Three sets of inputs are rendered for each role: the
example's; those of the example that are required, all others by default; and those of unusual.yml, in which no input
has its default. The daemons check all of them.
"""

import ast
import base64
import hashlib
import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kit
import pytest
import yaml
from celery_settings import login_settings
from kit import PROJECT
from test_certificates import Made
from test_contract import ROLES, every_option, expressions_of, load, module, names_in, role_named
from test_templates import TEMPLATES, complaints, flowers_complaint, load_beat_settings, load_settings

pytestmark = pytest.mark.lengthy

UNUSUAL = yaml.safe_load((PROJECT / "tests/unusual.yml").read_text())
# What the examples leave to their reader: the hosts of each group, and passwords.
HOSTS = {
    "balancers": ["lb1", "lb2"],
    "brokers": ["mq1", "mq2", "mq3"],
    "celery": ["worker1"],
    "database": ["mon1"],
    "monitoring": ["mon1"],
    "schedulers": ["worker1"],
    "stores": ["mon1"],
    "web": ["worker1"],
    "workers": ["worker1"],
}
VAULTED = ("vaulted_password", "vaulted_other_password", "vaulted_cookie", "vaulted_eight_characters")
PASSWORDS = {name: "vaulted!" for name in VAULTED}
# What RabbitMQ exports.
DEFINITIONS = ("users", "vhosts", "permissions", "policies", "parameters", "queues", "exchanges", "bindings")
# What roles observe on a host: as tests/render.yml has it, and what only tasks read.
OBSERVED = {
    name: value
    for name, value in load(PROJECT / "tests/render.yml")[0]["vars"].items()
    if not name.startswith("render_")
} | {
    "__host_kernel": {
        "stdout_lines": [f"{name} = 1" for name in load(PROJECT / "roles/host/vars/main.yml")["__host_kernel_wanted"]]
    },
    "__redis_found": {"files": []},
    "__redis_had": {"results": []},
    "__rabbitmq_definitions": {"stdout": json.dumps({kind: [] for kind in DEFINITIONS})},
    "__rabbitmq_lacking": "{{ __rabbitmq_has | rabbitmq_objects_to_import(rabbitmq_vhost, rabbitmq_users, "
    "rabbitmq_policies, rabbitmq_durable_queues, rabbitmq_durable_exchanges, rabbitmq_max_queues) }}",
}
# What holds nothing that a task does: keywords, and modules that only say something.
NO_ARGUMENTS = {
    *("name", "when", "until", "changed_when", "failed_when", "register", "block", "rescue", "always"),
    *("assert", "check_inputs", "fail", "debug"),
}
INPUTS = [(role, path) for role in ROLES for path, _ in every_option(role_named(role).options)]


def examples(role):
    """The YAML documents that a role's README shows and that are plays."""
    blocks = re.findall(
        r"^```yaml\n(.*?)^```$", (PROJECT / f"roles/{role}/README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    return [block for block in blocks if isinstance(yaml.safe_load(block), list)]


def play_of(role):
    """The one play of a role's example, and its inputs."""
    ((play,),) = map(yaml.safe_load, examples(role))
    (inputs,) = [entry["vars"] for entry in [*play.get("roles", []), *play.get("tasks", [])] if "vars" in entry]
    return play, inputs


def tasks_arguments(role):
    """Every argument of a task in which an input may be, with the task's loop."""
    return [
        {"value": value, "loop": task.get("loop", [])}
        for _, task in role_named(role).tasks
        for key, arguments in task.items()
        if module(key) not in NO_ARGUMENTS
        for value in (arguments.values() if isinstance(arguments, dict) else [arguments])
        if re.search(rf"{{{{.*\b(item|(__)?{role}_)", json.dumps([value, task.get("loop")]))
    ]


def rendering_play(role, inputs, arguments):
    """A play that checks a role's inputs, runs its preflight, and shows its templates and its tasks' arguments."""
    templates = [name for of_role, name in TEMPLATES if of_role == role]
    folder = PROJECT / "roles" / role / "templates"
    preflight = {"name": "Preflight", "ansible.builtin.include_role": {"name": role, "tasks_from": "preflight"}}
    return {
        "name": role,
        "hosts": f"{play_of(role)[0]['hosts']}[0]",
        "gather_facts": False,
        "vars": OBSERVED | inputs | {"render_arguments": arguments},
        # For its defaults, its vars and the check of its inputs: no other task of it runs.
        "roles": [{"role": role, "tags": ["never"]}],
        "tasks": [
            *([preflight] if (PROJECT / f"roles/{role}/tasks/preflight.yml").exists() else []),
            {
                "name": "Render",
                "ansible.builtin.debug": {"msg": f"{{{{ lookup('ansible.builtin.template', '{folder}/' ~ item) }}}}"},
                "loop": templates,
            },
            {
                "name": "Show the arguments",
                "ansible.builtin.debug": {"msg": "{{ render_arguments[render_index].value }}"},
                "vars": {"item": "{{ render_arguments[render_index].loop | first }}"},
                "loop": "{{ range(render_arguments | length) | list }}",
                "loop_control": {"loop_var": "render_index"},
                # Some read what only a host can tell.
                "ignore_errors": True,
            },
        ],
    }


def write_inventory(folder):
    """An inventory of this machine under the examples' names."""
    names = sorted({name for names in HOSTS.values() for name in names})
    hosts = {
        name: {
            "ansible_connection": "local",
            "ansible_host": f"192.0.2.{number}",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        }
        | PASSWORDS
        for number, name in enumerate(names, 11)
    }
    groups = {group: {"hosts": dict.fromkeys(members)} for group, members in HOSTS.items()}
    path = folder / "inventory.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": hosts, "children": groups}}))
    return path


def failures(run):
    """What went wrong in a run whose output is JSON, by role or play and host."""
    if not run.stdout.startswith("{"):
        return run.stdout + run.stderr
    return [
        (play["play"]["name"], task["task"]["name"], host, result)
        for play in json.loads(run.stdout)["plays"]
        for task in play["tasks"]
        for host, result in task["hosts"].items()
        if (result.get("failed") and not task["task"]["name"].endswith("arguments")) or result.get("unreachable")
    ] or run.stderr


class Alone:
    """What Ansible made of one set of inputs: `folder`/ROLE/FILE, and each role's arguments of tasks as one text."""

    def __init__(self, folder, work, inputs, arguments):
        self.folder = folder
        # Where a playbook's tasks find their files and templates.
        for part in ("files", "templates"):
            (work / part).mkdir(parents=True)
            for file in (path for role in ROLES for path in role_named(role).files(part)):
                if not (work / part / file.name).exists():
                    (work / part / file.name).symlink_to(file)
        for name, lock_file in (("kiosk-source", "locked.txt"), ("shop-source", "")):
            (work / name).mkdir()
            (work / name / "pyproject.toml").touch()
            if lock_file:
                (work / name / lock_file).touch()
        for name in ("secrets", "kiosk-tls"):
            (work / name).mkdir()
            authority = Made(work / name, "authority", authority=True)
            Made(work / name, "other", authority=True)
            Made(work / name, "own", UNUSUAL["certificate"]["certificate_names"]["value"], by=authority)
        (work / "kiosk-rules.yml").write_text("groups: []\n")
        playbook = work / "playbook.yml"
        plays = [rendering_play(role, inputs[role], tasks_arguments(role) if arguments else []) for role in ROLES]
        playbook.write_text(yaml.safe_dump(plays, sort_keys=False))
        done = kit.run(
            *["ansible-playbook", "-i", write_inventory(work), playbook],
            # A fact.
            *kit.extra_vars(__host_is_container=False),
            ANSIBLE_STDOUT_CALLBACK="ansible.posix.json",
        )
        assert done.returncode == 0, failures(done)
        self.arguments = {}
        for play in json.loads(done.stdout)["plays"]:
            role = play["play"]["name"]
            tasks = {task["task"]["name"]: next(iter(task["hosts"].values())) for task in play["tasks"]}
            for item in tasks["Render"].get("results", []):
                path = folder / role / item["item"].removesuffix(".j2")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(item["msg"])
            self.arguments[role] = "\n".join(
                json.dumps(item["msg"], ensure_ascii=False)
                for item in tasks["Show the arguments"].get("results", [])
                if not item.get("failed")
            )
            if role == "prometheus":
                (folder / role / "kiosk-rules.yml").write_text("groups: []\n")

    def says(self, role):
        """All that a role's inputs come out as."""
        files = sorted(path for path in (self.folder / role).rglob("*") if path.is_file())
        # What Erlang gets encoded.
        texts = re.findall(r"base64:decode\(\W*([\w+/=]+)", self.arguments[role])
        encoded = [base64.b64decode(text).decode() for text in texts]
        return "\n".join([*(path.read_text() for path in files), self.arguments[role], *encoded])


@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    """The three sets of inputs, by their name."""
    top = tmp_path_factory.mktemp("alone")
    example = {role: play_of(role)[1] for role in ROLES}
    required = {
        role: {name: value for name, value in inputs.items() if role_named(role).options[name].get("required")}
        for role, inputs in example.items()
    }
    unusual = {
        role: {
            name: entry["value"] for name, entry in UNUSUAL[role].items() if "value" in entry and "apart" not in entry
        }
        for role in ROLES
    }
    shop = {"celery_app_source": "{{ playbook_dir }}/shop-source"}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = {
            name: pool.submit(Alone, top / "files" / name, top / name, inputs, name != "example")
            for name, inputs in {
                # Its folder is on its reader's machine.
                "example": example | {"celery_app": example["celery_app"] | shop},
                "default": required | {"celery_app": required["celery_app"] | shop},
                "unusual": unusual,
            }.items()
        }
    return {name: future.result() for name, future in started.items()}


@pytest.fixture(scope="session")
def complained(rendered):
    """What the daemons say of all files."""
    (said,) = complaints(rendered["example"].folder.parent)
    return said


@pytest.fixture(scope="session")
def as_they_stand(tmp_path_factory):
    """A run of all examples, of the tasks that check inputs."""
    folder = tmp_path_factory.mktemp("examples")
    playbook = folder / "playbook.yml"
    playbook.write_text("".join(block for role in ROLES for block in examples(role)))
    return kit.run(
        *["ansible-playbook", "-i", write_inventory(folder), playbook, "--tags", "always"],
        # One host of each kind.
        *["--limit", ",".join(sorted({members[0] for members in HOSTS.values()}))],
        # Of this machine nothing is changed, so no user's rights are needed. The release comes from `celery_app`.
        *kit.extra_vars(ansible_become=False, celery_app_fingerprint=OBSERVED["celery_app_fingerprint"]),
        ANSIBLE_STDOUT_CALLBACK="ansible.posix.json",
    )


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_has_one_example_of_the_role(role):
    _, inputs = play_of(role)
    assert inputs


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_says_where_the_example_has_its_variables_from(role):
    """A user who copies it would otherwise find out at the first run."""
    names = {name for expression in expressions_of(play_of(role)[1]) for name in names_in(expression)}
    names -= {"ansible_host", "groups", "inventory_hostname", "playbook_dir"} | PASSWORDS.keys()
    assert names <= {"celery_app_fingerprint"}
    if names:
        text = " ".join((PROJECT / f"roles/{role}/README.md").read_text().split())
        assert "The fingerprint of the example comes from `celery_app` in the same run." in text


def test_the_example_of_a_check_brings_what_the_check_runs():
    """No package of Debian's base system has it, and without it no host would ever pass."""
    _, inputs = play_of("keepalived")
    assert Path(inputs["keepalived_check_command"].split()[0]).name in inputs["keepalived_check_packages"]


def test_the_examples_have_the_inputs_that_their_roles_want(as_they_stand):
    assert as_they_stand.returncode == 0, failures(as_they_stand)
    checked = {
        task["task"]["name"].partition(" : ")[0]
        for play in json.loads(as_they_stand.stdout)["plays"]
        for task in play["tasks"]
        if "Validating arguments" in task["task"]["name"] and task["hosts"]
    }
    assert checked == set(ROLES)


@pytest.mark.parametrize("case", ["example", "default", "unusual"])
@pytest.mark.parametrize("role", ROLES)
def test_the_daemons_accept_what_the_role_writes(rendered, complained, case, role):
    templates = {name.removesuffix(".j2") for of_role, name in TEMPLATES if of_role == role}
    folder = rendered[case].folder / role
    assert templates <= {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    said = {file: complaint for file, complaint in complained.items() if file.startswith(f"{case}/{role}/")}
    assert {file: complaint for file, complaint in said.items() if complaint} == {}


@pytest.mark.parametrize("case", ["example", "default", "unusual"])
def test_python_accepts_what_the_roles_write(rendered, case, monkeypatch):
    folder = rendered[case].folder
    load_settings(folder / "celery_app/celeryconfig.py")
    load_beat_settings(folder / "celery_beat/beatconfig.py", monkeypatch)
    assert flowers_complaint((folder / "flower/flowerconfig.py").read_text()) == ""


@pytest.mark.parametrize(
    ("role", "files"),
    [
        ("celery_beat", ["beatconfig.py", "beatdue.py", "beatlock.py"]),
        ("flower", ["flowerconfig.py", "", "presence.py"]),
        ("web", [""]),
    ],
)
def test_settings_are_named_after_their_content(rendered, role, files):
    """And after the fingerprint of what all programs have: whatever changes is another folder.

    A file without a name is that of the login.
    """
    fingerprint, urls = UNUSUAL[role][f"{role}_fingerprint"]["value"], UNUSUAL[role][f"{role}_broker_urls"]["value"]
    copied = PROJECT / "roles" / role / "files"
    texts = [
        login_settings(urls)
        if not name
        else (copied / name if (copied / name).exists() else rendered["unusual"].folder / role / name).read_text()
        for name in files
    ]
    # Who may read the site's is a user of its own.
    named_after = [fingerprint, *([UNUSUAL[role]["web_user"]["value"]] if role == "web" else []), *texts]
    name = hashlib.sha256("\0".join(named_after).encode()).hexdigest()[:12]
    assert f'"{name}"' in rendered["unusual"].arguments[role]


@pytest.mark.parametrize("case", ["default", "unusual"])
def test_python_can_write_each_text_that_the_roles_give_it(rendered, case):
    """Half of a character, as JSON writes those beyond 16 bits, can be sent to no broker."""
    for path in rendered[case].folder.rglob("*config.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value.encode()


def test_the_shell_gets_the_environment_as_it_is(rendered):
    path = rendered["unusual"].folder / "celery_app/run"
    (exports,) = re.findall(r"^(export KIOSK.*)^exec ", path.read_text(), re.MULTILINE | re.DOTALL)
    wanted = UNUSUAL["celery_app"]["celery_app_environment"]["value"]
    shown = subprocess.run(
        ["sh", "-c", f"{exports}env -0"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    found = dict(line.split("=", 1) for line in shown.split("\0") if line)
    assert {name: found[name] for name in wanted} == {name: str(value) for name, value in wanted.items()}


def test_redis_takes_the_passwords_as_they_are(rendered):
    """Whatever characters they have."""
    script = """
        port=$1; shift
        # Without TLS, whose files are not there.
        cp /users.conf /etc/redis/users-coins.conf
        redis-server /redis.conf --port "$port" --tls-port 0 --bind 127.0.0.1 --dir /tmp --daemonize yes \\
            --appendonly no >/dev/null
        for try in 1 2 3 4 5 6 7 8 9 10; do redis-cli -p "$port" ping >/dev/null 2>&1 && break; sleep 0.2; done
        while [ $# -gt 0 ]; do REDISCLI_AUTH=$2 redis-cli -p "$port" --user "$1" ping 2>&1; shift 2; done
    """
    inputs = {name: entry.get("value") for name, entry in UNUSUAL["redis"].items()}
    said = kit.run_in_the_validators_image(
        *["sh", "-c", script, "sh", str(inputs["redis_instances"][0]["port"])],
        *["default", inputs["redis_password"], "monitor", inputs["redis_monitor_password"]],
        *[inputs["redis_users"][0]["name"], inputs["redis_users"][0]["password"]],
        volumes=[f"{rendered['unusual'].folder}/redis/{name}.conf:/{name}.conf:ro" for name in ("redis", "users")],
    )
    assert said.stdout.split() == ["PONG"] * 3, said.stdout + said.stderr


def test_postgresql_takes_any_other_setting_as_it_is(rendered):
    wanted = UNUSUAL["postgresql"]["postgresql_extra_config"]["value"]["log_line_prefix"]
    said = kit.run_in_the_validators_image(
        *["/usr/lib/postgresql/15/bin/postgres", "-C", "log_line_prefix", "-D", "/var/lib/postgresql/15/main"],
        *["-c", "config_file=/warren.conf"],
        volumes=[f"{rendered['unusual'].folder}/postgresql/warren.conf:/warren.conf:ro"],
    )
    assert said.stdout.removesuffix("\n") == wanted, said.stdout + said.stderr


def test_every_input_has_an_unusual_value_and_an_effect():
    entries = {(role, path): entry for role in UNUSUAL for path, entry in UNUSUAL[role].items()}
    # What has options is the sum of these, and needs no effect of its own.
    parents = {(role, path.rpartition(".")[0]) for role, path in INPUTS}
    unlisted = [path for role, path in INPUTS if (role, path) not in parents and (role, path) not in entries]
    assert not unlisted, "give each of them another value in tests/unusual.yml, and say what it changes"
    unknown = [path for role, path in entries if (role, path) not in INPUTS]
    assert not unknown, "no role has these inputs of tests/unusual.yml"
    silent = [path for (role, path), entry in entries.items() if not (entry.keys() & {"shows", "hides", "test"})]
    assert set(silent) <= {path for _, path in parents}, "say in tests/unusual.yml what these change"


def values_at(value, keys):
    """What a value of an input holds at a path of its options, in each of its elements that have it."""
    found = value if isinstance(value, list) else [value]
    for key in keys:
        parts = [item[key] for item in found if key in item]
        found = [item for part in parts for item in (part if isinstance(part, list) else [part])]
    return found


@pytest.mark.parametrize(("role", "path"), INPUTS, ids=[path for _, path in INPUTS])
def test_the_unusual_value_is_not_the_default(role, path):
    name, *keys = path.split(".")
    option = dict(every_option(role_named(role).options))[path]
    usual = [option["default"]] if "default" in option else []
    value = UNUSUAL[role][name]["value"]
    values = values_at(value, keys) if keys else [value]
    # One of two that exclude each other is left out, and its effect with it.
    left_out = not values and "hides" in UNUSUAL[role].get(path, {})
    assert left_out or any(item not in usual for item in values), f"tests/unusual.yml gives {path} no value of its own"


@pytest.mark.parametrize(("role", "path"), INPUTS, ids=[path for _, path in INPUTS])
def test_an_unusual_value_is_seen_where_it_matters(rendered, role, path):
    entry = UNUSUAL[role].get(path, {})
    usual, unusual = (rendered[case].says(role) for case in ("default", "unusual"))
    if "shows" in entry:
        assert entry["shows"] in unusual
        assert entry["shows"] not in usual
    if "hides" in entry:
        assert entry["hides"] in usual
        assert entry["hides"] not in unusual
    if "test" in entry:
        file, _, case = entry["test"].partition(": ")
        names = {
            node.value if isinstance(node, ast.Constant) else node.name
            for node in ast.walk(ast.parse((PROJECT / file).read_text()))
            if isinstance(node, (ast.Constant, ast.FunctionDef))
        }
        assert case in names, f"{file} has no {case}"
