"""What several test files share: the repository, its inventories, and a way to run Ansible's commands."""

import configparser
import contextlib
import json
import os
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path

import jinja2
import yaml

PROJECT = Path(__file__).resolve().parents[1]

# For preflight, whatever this machine is.
THIS_RELEASE = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
ANY_RELEASE = {f"preflight_{what}_releases": [THIS_RELEASE] for what in ("supported", "mirroring")}

# For preflight, too: what the module read_host says of a host that has nothing of anybody's.
NOTHING_THERE = {
    "addresses": [],
    "listening": [],
    "services": [],
    "users": {},
    "files": {},
    "digests": {},
    "way_in": {},
    "memory_bytes": 10**9,
    "answered": False,
}

# An inventory that only adds hosts to others is given after them.
BESIDE = {"lab-quorum": ["lab"], "lab-scale-out": ["lab"]}

# The kit's own inventory, which comes before any other.
KIT_INVENTORY = PROJECT / "inventory/kit"

# Each inventory's name and the files that are given with -i, in order.
INVENTORIES = {
    path.stem: [
        KIT_INVENTORY,
        *(PROJECT / "inventory" / f"{name}.yml" for name in [*BESIDE.get(path.stem, []), path.stem]),
    ]
    for path in sorted((PROJECT / "inventory").glob("*.yml"))
} | {"example": [KIT_INVENTORY, PROJECT / "inventory/example/hosts.yml"]}


# The callback plugins that a run of the kit has.
ANSIBLE_CFG = configparser.ConfigParser()
ANSIBLE_CFG.read(PROJECT / "ansible.cfg")
CALLBACKS = ANSIBLE_CFG["defaults"]["callbacks_enabled"].replace(" ", "")


def run(command, *arguments, seconds=120, **environment):
    """Run one of Ansible's commands in the repository, and return what it printed and its exit code."""
    return subprocess.run(
        [Path(sys.executable).parent / command, *map(str, arguments)],
        cwd=PROJECT,
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACKS_ENABLED": "preload",
        }
        | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def run_action(name, facts, folder):
    """Run an action plugin on facts, in check mode, and return its result and what its file holds."""
    (folder / "facts.json").write_text(json.dumps(facts))
    file = folder / "new" / "found.json"
    given = "{{ lookup('ansible.builtin.file', folder ~ '/facts.json') | from_json }}"
    tasks = [
        {"name": "Run it", name: {"facts": given, "file": str(file)}, "register": "result"},
        {
            "name": "Keep the result",
            "ansible.builtin.copy": {"content": "{{ result | to_json }}", "dest": str(folder / "result.json")},
            "check_mode": False,
        },
    ]
    play = {"name": "Act", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    (folder / "play.json").write_text(json.dumps([play]))
    done = run("ansible-playbook", "--check", folder / "play.json", *extra_vars(folder=folder, ansible_become=False))
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "result.json").read_text()), json.loads(file.read_text())


def run_module(path, **arguments):
    """Run one of the kit's modules as Ansible does; returns what it returned."""
    done = subprocess.run(
        [sys.executable, path],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def warnings_in(text):
    """The lines of an Ansible command's output that a newcomer would take for a fault of the kit."""
    return re.findall(r"^\[(?:DEPRECATION )?WARNING\].*|^.*\b[A-Z]\w*Warning: .*", text, re.MULTILINE)


class _Loader(yaml.SafeLoader):
    """Leaves out texts in which Ansible evaluates no expression."""


_Loader.add_constructor("!unsafe", lambda *_: None)


def load_yaml(text):
    """What a YAML file of Ansible's holds; None for each text that is `!unsafe`."""
    return yaml.load(text, _Loader)


def inventory_arguments(files):
    """The -i options for these inventory files."""
    return [argument for file in files for argument in ("-i", file)]


def extra_vars(**variables):
    """The -e option for these variables, with their types."""
    return ["-e", json.dumps(variables, default=str)]


def kit_variables(*names):
    """The variables that these files of the kit's inventory set, all of them without a name."""
    files = [KIT_INVENTORY / f"{name}.yml" for name in names] or sorted(KIT_INVENTORY.glob("*.yml"))
    return {
        name: value for file in files for name, value in yaml.safe_load(file.read_text())["all"].get("vars", {}).items()
    }


PARTS = kit_variables("parts")["kit_parts"]
# As the facts of the screen and of the doctor have them.
THRESHOLDS = {name.removeprefix("cluster_threshold_"): value for name, value in kit_variables("thresholds").items()}


def header_of(template):
    """The options for Jinja that a template's first line gives, as Ansible reads them, and the rest of its text."""
    header, _, text = template.partition("\n")
    if not header.startswith("#jinja2:"):
        return {}, template
    return yaml.safe_load(f"{{{header.removeprefix('#jinja2:')}}}"), text


def alert_rules(**thresholds):
    """The text of the kit's alerts, with its thresholds, except those that are given."""
    options, text = header_of((PROJECT / "roles/prometheus/templates/alerts.yml.j2").read_text())
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True, **options
    )
    return environment.from_string(text).render(
        ansible_managed="Ansible managed", prometheus_thresholds=THRESHOLDS | thresholds
    )


def alerts():
    """The kit's alerts by their names, as Prometheus takes them."""
    return {rule["alert"]: rule for group in yaml.safe_load(alert_rules())["groups"] for rule in group["rules"]}


def validators_options(release="bookworm"):
    """What `podman run` needs for the image of a release's daemons, without a network. Builds it if it is missing."""
    build = subprocess.run(
        [PROJECT / "tests/validators/build", release], capture_output=True, text=True, timeout=600, check=False
    )
    assert build.returncode == 0, build.stderr
    # Podman's own default limits cannot be set where the machine's hard limits are lower.
    limits = ["--ulimit", f"nofile={resource.getrlimit(resource.RLIMIT_NOFILE)[1]}", "--ulimit", "nproc=32768"]
    return ["--rm", "--network", "none", "--privileged", "--pids-limit", "-1", *limits], build.stdout.strip()


def run_in_the_validators_image(*command, volumes, release="bookworm"):
    """Run a command in the image of a release's daemons."""
    options, image = validators_options(release)
    mounts = [option for volume in volumes for option in ("-v", volume)]
    return subprocess.run(
        [PROJECT / "lab/podman", "run", *options, *mounts, image, *command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@contextlib.contextmanager
def validators_container():
    """A container of the image of the daemons in which nothing runs yet; yields its name."""
    options, image = validators_options()
    made = subprocess.run(
        [PROJECT / "lab/podman", "run", "--detach", *options, image, "sleep", "infinity"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    try:
        yield made.stdout.strip()
    finally:
        subprocess.run(
            [PROJECT / "lab/podman", "rm", "--force", "--time", "0", made.stdout.strip()],
            capture_output=True,
            timeout=300,
            check=True,
        )
