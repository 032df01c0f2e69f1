"""Every template renders from every inventory, for every host that has its role, and the daemon's own parser takes it.

Ansible renders (render.yml), the daemons of the validators' image check (validators/), and Celery, which is installed
here, loads its own settings and parses its own command lines.
"""

import configparser
import datetime
import importlib.util
import json
import os
import re
import shlex
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import jinja2
import kit
import pytest
import yaml
from celery import Celery
from celery.app.defaults import SETTING_KEYS
from celery.beat import ScheduleEntry
from celery.bin.base import CLIContext
from celery.bin.beat import beat
from celery.bin.worker import worker
from celery.exceptions import QueueNotFound
from celery.schedules import crontab, schedule
from celery_once.helpers import import_backend
from cluster_changes import DECLARED
from credentials import user_of_purpose
from kit import INVENTORIES, PROJECT

sys.path.insert(0, str(PROJECT / "tests/validators"))
# What the settings import lies beside them on a host.
sys.path.append(str(PROJECT / "roles/celery_app/files"))
from check import validator

pytestmark = pytest.mark.lengthy

ROLES = sorted(path.name for path in (PROJECT / "roles").iterdir() if path.is_dir())
TEMPLATES = [
    (role, str(path.relative_to(PROJECT / "roles" / role / "templates")))
    for role in ROLES
    for path in sorted((PROJECT / "roles" / role / "templates").rglob("*.j2"))
]
# The template of the entries in supervisord's conf.d, and what each role that has one gives it.
PROGRAM = ("supervisor_program", "program.conf.j2")
PROGRAMS = {
    # Files of a program's own are templates of its role, or copied.
    role: {name: value for name, value in task["vars"].items() if name != "supervisor_program_settings"}
    for role in ROLES
    for path in (PROJECT / "roles" / role / "tasks").glob("program.yml")
    for task in yaml.safe_load(path.read_text())
}
# What each role but `host` installs: the variable that its call of apt has.
PACKAGES = {
    path.parts[-3]: re.search(r'name: "{{ (\w+) }}"', path.read_text())[1]
    for path in sorted((PROJECT / "roles").glob("*/tasks/install.yml"))
    if "ansible.builtin.apt:" in path.read_text()
}
# Checked in this file, the others by the image's validators.
CHECKED_HERE = {
    "60-warren.conf",
    # What amtool reads; the lab's tests ask it.
    "amtool.yml",
    "client.yml",
    "beatconfig.py",
    "celeryconfig.py",
    "flowerconfig.py",
    "build-environment",
    "hosts",
    "limits.conf",
    "warren-journal.conf",
}


def inputs_of(role):
    spec = yaml.safe_load((PROJECT / f"roles/{role}/meta/argument_specs.yml").read_text())
    return list(spec["argument_specs"]["main"]["options"])


class Rendered:
    """What Ansible made of one inventory for some roles: `folder`/HOST/ROLE/FILE, and each host's role inputs."""

    def __init__(self, folder, inventory_files, *arguments, roles=ROLES, **variables):
        self.folder = folder / "rendered"
        done = kit.run(
            "ansible-playbook",
            *kit.inventory_arguments(inventory_files),
            PROJECT / "tests/render.yml",
            # The roles' own check of their inputs, which preflight does.
            *["--skip-tags", "always"],
            *arguments,
            *kit.extra_vars(
                render_templates=[template for template in TEMPLATES if template != PROGRAM and template[0] in roles],
                render_programs={role: given for role, given in PROGRAMS.items() if role in roles},
                render_inputs=[(role, name) for role in roles for name in inputs_of(role)]
                + [(role, name) for role, name in PACKAGES.items() if role in roles],
                # Facts.
                __host_is_container=False,
                __rabbitmq_is_4=any(file.stem == "lab-quorum" for file in map(Path, inventory_files)),
                # Made of files that are found only from within the role.
                __celery_beat_own_fingerprint="45670123ba98",
                __flower_own_fingerprint="89ab45670123",
                __web_own_fingerprint="cdef45670123",
                # No secret is made in the working tree.
                secrets_dir=folder / "secrets",
                **variables,
            ),
            ANSIBLE_STDOUT_CALLBACK="ansible.posix.json",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        tasks = {task["task"]["name"]: task["hosts"] for task in json.loads(done.stdout)["plays"][0]["tasks"]}
        self.inputs = {host: result["msg"] for host, result in tasks["Tell the inputs"].items()}
        for host, result in tasks["Render"].items():
            for item in result["results"]:
                role, template = item["item"]
                self.write(host, role, template.removesuffix(".j2"), item["msg"])
        for host, result in tasks["Render the programs"].items():
            for item in result.get("results", []):
                role = item["item"]["key"]
                self.write(host, role, f"{PROGRAMS[role]['supervisor_program_file']}.conf", item["msg"])

    def write(self, host, role, name, text):
        path = self.folder / host / role / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def files(self, name):
        """The rendered files of this name: (host, path)."""
        return [(path.relative_to(self.folder).parts[0], path) for path in sorted(self.folder.rglob(name))]


def complaints(*folders, release="bookworm"):
    """What a release's validators say of each file under each folder, in one run of their image."""
    done = kit.run_in_the_validators_image(
        *["python3", "-B", "/validators/check.py", "/roles"],
        *[f"/rendered/{number}" for number in range(len(folders))],
        volumes=[
            *[f"{folder}:/rendered/{number}:ro" for number, folder in enumerate(folders)],
            f"{PROJECT}/roles:/roles:ro",
            f"{PROJECT}/tests/validators:/validators:ro",
        ],
        release=release,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def render(tmp_path_factory):
    """What an inventory's templates became, by its name: all are rendered once in the whole run, side by side."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = {
            name: pool.submit(Rendered, tmp_path_factory.mktemp(name), files) for name, files in INVENTORIES.items()
        }
    return lambda name: started[name].result()


@pytest.fixture(params=INVENTORIES)
def rendered(request, render):
    return render(request.param)


def load_settings(path):
    """The rendered celeryconfig.py, loaded by a separate Celery."""
    spec = importlib.util.spec_from_file_location("celeryconfig_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = Celery("test", set_as_current=False)
    app.config_from_object(module, force=True)
    return module, app


def test_every_template_has_a_validator():
    """A new template needs one: an entry in validators/check.py, or a test here."""
    files = [PROJECT / template.removesuffix(".j2") for _, template in TEMPLATES]
    assert [file.name for file in files if file.name not in CHECKED_HERE and not validator(file)] == []


def test_every_template_is_rendered_by_an_inventory(render):
    done = {
        path.relative_to(everything.folder / host).as_posix()
        for everything in map(render, INVENTORIES)
        for host, path in everything.files("*")
        if path.is_file()
    }
    wanted = {f"{role}/{template.removesuffix('.j2')}" for role, template in TEMPLATES if (role, template) != PROGRAM}
    wanted |= {f"{role}/{given['supervisor_program_file']}.conf" for role, given in PROGRAMS.items()}
    assert wanted - done == set()


def test_preflight_knows_every_role():
    """A role that it does not list would have unchecked inputs, and templates that no test renders."""
    # What other roles call has its inputs from them, and from no inventory.
    assert sorted(part["role"] for part in kit.PARTS) == [role for role in ROLES if role != PROGRAM[0]]


def test_the_table_of_parts_has_what_the_roles_install(rendered):
    """So that one call of apt on a host installs all of it."""
    assert len(PACKAGES) > 5
    for host, values in rendered.inputs.items():
        of_roles = {package for name in PACKAGES.values() for package in values.get(name, [])}
        assert set(values["host_packages_of_roles"]) == of_roles, host


# Between them, these two have every part. Brokers of Debian 13 have another configuration.
ON_DEBIAN_13 = ["lab-quorum", "lab-single"]
ON_DEBIAN_12 = [name for name in INVENTORIES if name != "lab-quorum"]


@pytest.fixture(scope="session")
def complained(render):
    """What the validators say of each inventory's files, by its name and the release of Debian."""
    return {
        (name, release): said
        for release, names in (("bookworm", ON_DEBIAN_12), ("trixie", ON_DEBIAN_13))
        for name, said in zip(names, complaints(*(render(name).folder for name in names), release=release), strict=True)
    }


@pytest.mark.parametrize(
    ("inventory", "release"),
    [*((name, "bookworm") for name in ON_DEBIAN_12), *((name, "trixie") for name in ON_DEBIAN_13)],
)
def test_the_daemons_accept_their_configuration(complained, inventory, release):
    said = complained[inventory, release]
    assert said, "nothing was checked"
    assert {file: complaint for file, complaint in said.items() if complaint} == {}


def test_celery_accepts_and_knows_every_setting(rendered):
    """Old and new names together are an error of Celery's; a name that it does not know would silently do nothing."""
    files = rendered.files("celeryconfig.py")
    assert files
    for host, path in files:
        module, app = load_settings(path)
        names = {name for name in vars(module) if name.islower() and not name.startswith("_")} - {"sys"}
        assert names - SETTING_KEYS == set(), host
        for name in names:
            assert app.conf[name] == getattr(module, name)


def test_celery_verifies_the_brokers_where_there_is_tls(rendered):
    for host, path in rendered.files("celeryconfig.py"):
        _, app = load_settings(path)
        if tls := rendered.inputs[host]["celery_app_broker_tls"]:
            wanted = {"ca_certs": tls["authority"], "server_hostname": tls["name"], "cert_reqs": ssl.CERT_REQUIRED}
            assert app.conf.broker_use_ssl == wanted
            assert {url.rpartition(":")[2].partition("/")[0] for url in app.conf.broker_url} == {"5671"}
        else:
            assert app.conf.broker_use_ssl is False


def test_celery_has_the_inputs_as_effective_settings(rendered):
    for host, path in rendered.files("celeryconfig.py"):
        _, app = load_settings(path)
        given = {
            name.removeprefix("celery_app_"): value
            for name, value in rendered.inputs[host].items()
            if name.startswith("celery_app_")
        }
        effective = {
            "broker_urls": app.conf.broker_url,
            "broker_heartbeat_seconds": app.conf.broker_heartbeat,
            "broker_connection_timeout_seconds": app.conf.broker_connection_timeout,
            "broker_channel_error_retry": app.conf.broker_channel_error_retry,
            "confirm_publish": app.conf.broker_transport_options["confirm_publish"],
            "publish_retry_max_retries": app.conf.task_publish_retry_policy["max_retries"] / len(app.conf.broker_url),
            "publish_retry_longest_seconds": app.conf.task_publish_retry_policy["interval_max"],
            "acks_late": app.conf.task_acks_late,
            "reject_on_worker_lost": app.conf.task_reject_on_worker_lost,
            "prefetch_multiplier": app.conf.worker_prefetch_multiplier,
            "ignore_result": app.conf.task_ignore_result,
            "serializer": app.conf.task_serializer,
            "compression": app.conf.task_compression or "none",
            "result_expires_seconds": app.conf.result_expires,
            "event_queue_ttl_seconds": app.conf.event_queue_ttl,
            "event_queue_expires_seconds": app.conf.event_queue_expires,
            "max_tasks_per_child": app.conf.worker_max_tasks_per_child or 0,
            "max_memory_per_child_kib": app.conf.worker_max_memory_per_child or 0,
        }
        assert effective == {name: given[name] for name in effective}, host
        assert app.conf.accept_content[:1] == ["json"]
        assert {given["serializer"], *given["accept_content"]} <= set(app.conf.accept_content)
        wanted = {"redis": "rediss"} if rendered.inputs[host]["celery_app_broker_tls"] else {}
        assert app.conf.result_backend.partition(":")[0] == wanted.get(given["result_backend"], given["result_backend"])
        assert app.amqp.argsrepr_maxsize == app.amqp.kwargsrepr_maxsize == given["arguments_shown_characters"]
        # For ever: a worker must not exit because a failover took long.
        assert app.conf.broker_connection_max_retries is None


def test_brokers_make_what_celery_declares(rendered):
    """Preflight compares what exists with these. A different one would be refused by RabbitMQ without end."""
    (queues, exchanges), *_ = [
        (inputs["rabbitmq_durable_queues"], inputs["rabbitmq_durable_exchanges"])
        for inputs in rendered.inputs.values()
        if "rabbitmq_durable_queues" in inputs
    ]
    made = {queue["name"]: queue for queue in queues}
    made_exchanges = {exchange["name"]: exchange for exchange in exchanges}
    for host, path in rendered.files("celeryconfig.py"):
        _, app = load_settings(path)
        for queue in app.conf.task_queues:
            assert {name: getattr(queue, name) for name in DECLARED} == DECLARED
            assert {name: getattr(queue.exchange, name) for name in DECLARED} == DECLARED
            assert not queue.exclusive
            assert (queue.queue_arguments or {}) == made[queue.name].get("arguments", {})
            assert queue.max_priority == made[queue.name].get("max_priority")
            exchange = made_exchanges[queue.exchange.name]
            assert queue.exchange.type == exchange["type"]
            assert queue.exchange.arguments == {"alternate-exchange": exchange["alternate"]}
            assert queue.name == queue.routing_key and queue.name in exchange["queues"]
            assert queue.no_declare != rendered.inputs[host]["celery_app_declares_queues"]


def test_without_a_redis_for_locks_celery_once_has_no_setting(rendered):
    for host, path in rendered.files("celeryconfig.py"):
        if rendered.inputs[host]["celery_app_once_redis_url"] == "":
            _, app = load_settings(path)
            assert "ONCE" not in app.conf


SIGNS = "p/a@s%2F:#?"


@pytest.fixture(scope="session")
def unusual(tmp_path_factory):
    """The lab with a Redis for locks, and with a password and a virtual host that a URL cannot hold as they are."""
    return Rendered(
        tmp_path_factory.mktemp("unusual"),
        INVENTORIES["lab"],
        *["--limit", "w1,mon1"],
        cluster_vhost="/shop/eu",
        secret_rabbitmq_worker=SIGNS,
        secret_rabbitmq_publisher=SIGNS[::-1],
        celery_app_once_redis_url="redis://:p%40ss@192.0.2.51:6380/1",
        celery_app_once_timeout_seconds=1800,
    )


@pytest.fixture(scope="session")
def c_publisher(tmp_path_factory):
    """The lab, whose publisher host publishes through librabbitmq."""
    folder = tmp_path_factory.mktemp("c-publisher")
    return Rendered(
        folder,
        INVENTORIES["lab"],
        *["--limit", "mon1"],
        roles=["celery_app"],
        celery_app_c_publisher=True,
        celery_app_confirm_publish=False,
    )


@pytest.mark.parametrize(
    ("program", "transport"),
    [
        ("/opt/celery/shop/current/bin/celery", "pyamqp"),
        ("/opt/celery/shop/current/lib/python3.11/site-packages/celery/__main__.py", "pyamqp"),
        ("/opt/celery/shop/current/bin/gunicorn", "librabbitmq"),
        ("/srv/shop/__main__.py", "librabbitmq"),
        ("", "librabbitmq"),
    ],
)
def test_only_publishers_use_librabbitmq(c_publisher, monkeypatch, program, transport):
    """The celery command consumes on the connection that it publishes with."""
    monkeypatch.setattr(sys, "argv", [program])
    ((_, path),) = c_publisher.files("celeryconfig.py")
    _, app = load_settings(path)
    assert app.conf.broker_read_url == app.conf.broker_url
    assert all(url.startswith("pyamqp://") for url in app.conf.broker_read_url)
    read, write = app.conf.broker_read_url, app.conf.broker_write_url
    assert [re.sub("^[a-z]+", "", url) for url in write] == [re.sub("^[a-z]+", "", url) for url in read]
    assert {url.partition(":")[0] for url in write} == {transport}


def test_librabbitmq_is_not_named_where_nobody_asked_for_it(rendered):
    for _, path in rendered.files("celeryconfig.py"):
        assert "librabbitmq:" not in path.read_text()


def test_celery_once_finds_its_setting(unusual):
    """celery_once reads `app.conf.ONCE`, a name that Celery does not know."""
    files = unusual.files("celeryconfig.py")
    assert files
    for _, path in files:
        module, app = load_settings(path)
        own = {name for name in vars(module) if name.isupper() and not name.startswith("_")}
        assert own == {"ONCE", "WARREN_DEATHS", "WARREN_PARK_EXPIRED", "WARREN_QUEUE_TYPE"}
        assert app.conf.ONCE == {
            "backend": "celery_once.backends.Redis",
            "settings": {"url": "redis://:p%40ss@192.0.2.51:6380/1?password=p%40ss", "default_timeout": 1800},
        }
        assert import_backend(app.conf.ONCE).redis.connection_pool.connection_kwargs["port"] == 6380


def test_celery_logs_in_with_any_password_at_any_virtual_host(unusual):
    logins = {"w1": ("worker", SIGNS), "mon1": ("publisher", SIGNS[::-1])}
    for host, path in unusual.files("celeryconfig.py"):
        _, app = load_settings(path)
        with app.connection_for_write() as connection:
            purpose, password = logins[host]
            assert (connection.userid, connection.password) == (user_of_purpose(purpose, password), password)
            assert (connection.virtual_host, connection.port) == ("/shop/eu", 5671)


def test_every_broker_url_goes_through_py_amqp_to_a_haproxy_or_to_the_only_broker(rendered):
    """To one on the same host if there is one, and else to the shared address first."""
    listening, shared = {}, set()
    for host, inputs in rendered.inputs.items():
        if "haproxy_listeners" in inputs:
            listening[host] = inputs["haproxy_listeners"][0]["bind"].removesuffix(" transparent").split(",")
        if "keepalived_virtual_address" in inputs:
            # Its HAProxy listens there, too.
            shared.add(inputs["haproxy_listeners"][0]["bind"].partition(",")[0])
    port_of = {True: "rabbitmq_amqps_port", False: "rabbitmq_amqp_port"}
    brokers = {
        f"{inputs['host_addresses'][host]}:{inputs[port_of[bool(inputs['rabbitmq_tls'])]]}"
        for host, inputs in rendered.inputs.items()
        if "rabbitmq_amqp_port" in inputs
    }
    anywhere = {address for addresses in listening.values() for address in addresses if address[:4] != "127."}
    assert anywhere or len(brokers) == 1
    for host, path in rendered.files("celeryconfig.py"):
        _, app = load_settings(path)
        assert all(url.startswith("pyamqp://") for url in app.conf.broker_url), host
        addresses = [re.search(r"@([^/]+)/", url)[1] for url in app.conf.broker_url]
        assert set(addresses) == (set(listening.get(host, [])) or anywhere or brokers), host
        assert addresses[0] in (shared or addresses) or host in listening
        with app.connection_for_write() as connection:
            assert connection.transport_cls == "pyamqp"


def test_every_task_goes_to_its_queue_and_waits_for_a_confirm(rendered):
    for host, path in rendered.files("celeryconfig.py"):
        _, app = load_settings(path)
        inputs = rendered.inputs[host]
        queues = inputs["celery_app_queues"]
        assert set(app.amqp.queues) == {queue["name"] for queue in queues}
        for queue in queues:
            assert app.amqp.queues[queue["name"]].max_priority == (queue.get("max_priority") or None)
            for wanted in queue.get("routes", []):
                wanted = wanted if isinstance(wanted, dict) else {"task": wanted, "priority": None}
                task = wanted["task"].replace("*", "some.task_of_nobody")
                route = app.amqp.router.route({}, task)
                assert route["queue"].name == queue["name"], f"{host}: {task}"
                assert route["confirm_timeout"] == inputs["celery_app_confirm_timeout_seconds"]
                assert route.get("priority") == wanted["priority"]
        with pytest.raises(QueueNotFound):
            app.amqp.router.route({"queue": "consumed-by-nobody"}, "some.task")


def test_celery_takes_the_command_line_of_every_program(rendered):
    files = rendered.files("celery-workers.conf")
    assert files
    for host, path in files:
        parsed = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
        parsed.read_string(path.read_text())
        inputs = rendered.inputs[host]
        programs = {program["name"]: program for program in inputs["celery_worker_programs"]}
        assert parsed.sections() == [f"program:{name}" for name in programs]
        for name, program in programs.items():
            section = parsed[f"program:{name}"]
            words = shlex.split(section["command"])
            module = inputs["celery_worker_app_module"]
            assert words[:5] == [inputs["celery_worker_program_run"], "celery", "-A", module, "worker"]
            # The settings that it starts with are those that its fingerprint names.
            assert f"/settings/{inputs['celery_worker_fingerprint']}/" in words[0]
            # Celery would import the library of a pool, which only a release has.
            words.remove(f"--pool={program.get('pool', 'prefork')}")
            app = Celery("test", set_as_current=False)
            context = CLIContext(app=app, no_color=True, workdir=None)
            made = worker.make_context("celery worker", words[5:], obj=context)
            # Settings of this program alone; Celery takes no other words.
            assert len(made.args) == ("autoscale" in program)
            app.config_from_cmdline(made.args)
            assert app.conf.worker_enable_prefetch_count_reduction == ("autoscale" not in program)
            assert made.params["hostname"] == f"{name}@{host}"
            assert list(made.params["queues"]) == program["queues"]
            assert made.params["concurrency"] == program.get(
                "concurrency", 1 if program.get("pool") == "solo" else None
            )
            scale = program.get("autoscale")
            assert made.params["autoscale"] == ((scale["max"], scale["min"]) if scale else None)
            assert made.params["max_tasks_per_child"] == program.get("max_tasks_per_child")
            assert made.params["max_memory_per_child"] == program.get("max_memory_per_child_kib")
            assert made.params["statedb"] == f"/var/lib/celery/state/{name}"
            for part in ("heartbeat", "gossip", "mingle"):
                assert made.params[f"without_{part}"] == inputs[f"celery_worker_without_{part}"]
            # Celery's own answer to no option is None: then a setting would decide.
            assert made.params["task_events"] == (True if inputs["celery_worker_task_events"] else None)
            # TERM to the parent alone is what lets a running task finish.
            assert (section["stopsignal"], section["stopasgroup"], section["killasgroup"]) == ("TERM", "false", "true")
            assert section.getint("stopwaitsecs") == inputs["celery_worker_stop_grace_seconds"]
            assert section["environment"] == f'WARREN_FINGERPRINT="{inputs["celery_worker_fingerprint"]}"'


@pytest.fixture(scope="session")
def unwatched(tmp_path_factory):
    """A worker of the lab, if the lab had no monitoring host."""
    folder = tmp_path_factory.mktemp("unwatched")
    kit_inventory, file = INVENTORIES["lab"]
    inventory = yaml.safe_load(file.read_text())
    del inventory["lab"]["children"]["lab_cluster"]["children"]["monitoring"]
    (folder / "group_vars").symlink_to(file.parent / "group_vars")
    (folder / "lab.yml").write_text(yaml.safe_dump(inventory))
    return Rendered(
        folder,
        [kit_inventory, folder / "lab.yml"],
        *["--limit", "w1"],
        roles=["celery_app", "celery_worker"],
        cluster_app_source=PROJECT / "app/reference",
    )


def test_workers_send_events_only_where_somebody_watches(render, unwatched):
    """An event is traffic: there are none, and no Flower in the release, where no host monitors."""
    for case, watched in [(render("lab"), True), (unwatched, False)]:
        commands = [
            line
            for _, path in case.files("celery-workers.conf")
            for line in path.read_text().splitlines()
            if line.startswith("command=")
        ]
        assert commands
        assert {" -E " in f"{command} " for command in commands} == {watched}
        assert ("flower" in case.inputs["w1"]["celery_app_extra_requirements"]) == watched


def flowers_complaint(options):
    """What the role's check, which is Flower's own parser, says of some options on the host."""
    done = subprocess.run(
        [sys.executable, PROJECT / "roles/flower/files/check_config.py"],
        input=options,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == (1 if done.stderr else 0)
    return done.stderr.strip()


def test_flower_takes_its_options(rendered):
    files = rendered.files("flowerconfig.py")
    assert files
    for host, path in files:
        inputs = rendered.inputs[host]
        options = {}
        exec(path.read_text(), options)
        assert flowers_complaint(path.read_text()) == "", host
        assert options["basic_auth"] == [f"{user}:{password}" for user, password in inputs["flower_users"].items()]
        assert (options["address"], options["port"]) == (inputs["flower_bind"], inputs["flower_port"])
        # Workers get it on their command line.
        assert options["enable_events"] is False


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("max_task = 5", "no option max_task"),
        ("max_tasks = 'many'", "max_tasks has a value of the wrong type, str"),
        ("oauth2_secret = 5", "oauth2_secret has a value of the wrong type, int"),
    ],
)
def test_flower_refuses_a_wrong_option(line, words):
    """It would itself ignore a name that it does not know."""
    assert words in flowers_complaint(line)


def test_flowers_programs_are_what_the_inputs_say(rendered):
    for host, path in rendered.files("flower.conf"):
        parsed = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
        parsed.read_string(path.read_text())
        inputs = rendered.inputs[host]
        run, module = inputs["flower_program_run"], inputs["flower_app_module"]
        (fingerprint,) = set(re.findall(r'WARREN_FINGERPRINT="(\w+)"', path.read_text()))
        own = f"{inputs['flower_settings_dir']}/settings/{fingerprint}"
        assert {section: parsed[section]["command"] for section in parsed.sections()} == {
            "program:flower": f"{run} celery -A {module} flower --conf={own}/flowerconfig.py",
            "program:flower-presence": f"{run} python -P {own}/presence.py {inputs['flower_control_module']}"
            f" {inputs['flower_presence_seconds']} {inputs['flower_presence_timeout_seconds']}",
        }
        assert not any(password in path.read_text() for password in inputs["flower_users"].values())


def test_celery_shows_no_password_of_its_neighbours(rendered):
    """`celery report` and `inspect conf` mask what they know to be private, and do not know celery_once's URL."""
    for host, path in rendered.files("celeryconfig.py"):
        _, app = load_settings(path)
        password = rendered.inputs[host].get("celery_app_once_redis_url", "").rpartition("@")[0].rpartition(":")[2]
        if password:
            assert app.conf.ONCE["settings"]["url"].count(password) == 1
            shown = app.conf.humanize(with_defaults=False) + json.dumps(app.conf.table(), default=repr)
            assert "celery_once" in shown
            assert password not in shown


def test_the_builds_environment_keeps_any_value():
    """systemd reads the file, whose quotes and backslashes are a shell's."""
    template = (PROJECT / "roles/celery_app/templates/build-environment.j2").read_text()
    wanted = {"PIP_INDEX_URL": 'https://u:p"a\\s$s@example.com/', "PIP_QUIET": 1}
    text = jinja2.Template(template).render(__celery_app_built_with=wanted, __celery_app_build_cache="/cache")
    assert dict(line.split("=", 1) for line in shlex.split(text, comments=True)) == {
        "PIP_CACHE_DIR": "/cache",
        **{name: str(value) for name, value in wanted.items()},
    }


def test_celery_refuses_a_misspelt_option():
    """The parser of the test above bites."""
    context = CLIContext(app=Celery("test", set_as_current=False), no_color=True, workdir=None)
    with pytest.raises(click.exceptions.NoSuchOption):
        worker.make_context("celery worker", ["--without-gosip"], obj=context)


SCHEDULE = [
    {
        "name": "poll",
        "task": "warren_app.tasks.estimate_pi",
        "every_seconds": 2.5,
        "queue": "slow",
        "expires_seconds": 2,
    },
    {"name": 'it\'s "monthly"', "task": "some.task", "crontab": "30  3 1 */2 mon", "args": [1, "é", None]},
    {"name": "named", "task": "some.task", "every_seconds": 60, "kwargs": {"on": True, "deep": {"a": [1]}}},
]


@pytest.fixture(scope="session")
def scheduled(tmp_path_factory):
    """The lab with a schedule of every kind, for each scheduler."""
    return {
        name: Rendered(
            tmp_path_factory.mktemp(name),
            INVENTORIES["lab"],
            *["--limit", "w1,mon1"],
            roles=["celery_app", "celery_beat", "redis"],
            cluster_schedule=SCHEDULE,
            cluster_beat_scheduler=name,
            celery_beat_timezone="Europe/Berlin",
        )
        for name in ("file", "redbeat", "django")
    }


def load_beat_settings(path, monkeypatch):
    """The rendered beatconfig.py, which imports celeryconfig, loaded by a separate Celery."""
    monkeypatch.syspath_prepend(path.parent.parent / "celery_app")
    monkeypatch.syspath_prepend(PROJECT / "roles/celery_beat/files")
    monkeypatch.delitem(sys.modules, "celeryconfig", raising=False)
    module, app = load_settings(path)
    sys.modules.pop("celeryconfig")
    return module, app


@pytest.mark.parametrize("scheduler", ["file", "redbeat", "django"])
def test_celery_takes_the_schedule(scheduled, scheduler, monkeypatch):
    rendered = scheduled[scheduler]
    ((host, path),) = rendered.files("beatconfig.py")
    inputs = rendered.inputs[host]
    module, app = load_beat_settings(path, monkeypatch)
    # All that the other programs have, and nothing that Celery does not know but what is RedBeat's.
    assert app.conf.broker_url == inputs["celery_beat_broker_urls"]
    names = {name for name in vars(module) if name.islower() and not name.startswith("_")}
    unknown = {name for name in names - SETTING_KEYS if not name.startswith("redbeat_")}
    assert unknown == {"crontab"}
    assert app.conf.beat_max_loop_interval == inputs["celery_beat_max_loop_interval_seconds"]
    assert (app.conf.timezone, str(app.timezone)) == ("Europe/Berlin", "Europe/Berlin")

    entries = {
        name: ScheduleEntry(name=name, app=app, **dict(fields)) for name, fields in app.conf.beat_schedule.items()
    }
    assert list(entries) == [entry["name"] for entry in SCHEDULE]
    poll, monthly, named = entries.values()
    assert type(poll.schedule) is schedule and poll.schedule.run_every == datetime.timedelta(seconds=2.5)
    # Django's scheduler has a different name for this.
    assert poll.options == {"queue": "slow", "expire_seconds" if scheduler == "django" else "expires": 2.0}
    assert monthly.schedule == crontab("30", "3", day_of_month="1", month_of_year="*/2", day_of_week="mon")
    assert (monthly.args, monthly.kwargs, monthly.options) == ([1, "é", None], {}, {})
    assert (named.args, named.kwargs) == ([], {"on": True, "deep": {"a": [1]}})
    # An entry with its own queue waits for its confirm like any other.
    route = app.amqp.router.route(dict(poll.options), poll.task)
    assert (route["queue"].name, "confirm_timeout" in route) == ("slow", True)


def test_each_scheduler_has_its_store(scheduled, monkeypatch):
    settings = {}
    for name, rendered in scheduled.items():
        ((_, path),) = rendered.files("beatconfig.py")
        settings[name] = load_beat_settings(path, monkeypatch)[1].conf
    assert settings["file"].beat_scheduler == "celery.beat:PersistentScheduler"
    assert settings["file"].beat_schedule_filename == "/var/lib/celery/beat/schedule"
    assert settings["django"].beat_scheduler == "django_celery_beat.schedulers:DatabaseScheduler"
    assert settings["redbeat"].beat_scheduler == "beatlock:Scheduler"
    locks = next(
        instance
        for instance in scheduled["redbeat"].inputs["mon1"]["redis_instances"]
        if instance["eviction_policy"] == "noeviction"
    )
    assert re.match(
        rf"rediss?://schedule-[0-9a-f]{{4}}:\w+@[\d.]+:{locks['port']}/0(\?ssl|$)",
        settings["redbeat"].redbeat_redis_url,
    )
    # Standbys must take over within 30 s: the lock ends, they ask again, and the schedule is looked at.
    lock, loop = settings["redbeat"].redbeat_lock_timeout, settings["redbeat"].beat_max_loop_interval
    assert 2 * loop < lock and lock + 2 * loop <= 30


def test_celery_takes_the_command_line_of_the_scheduler(scheduled):
    for rendered in scheduled.values():
        ((host, path),) = rendered.files("celery-beat.conf")
        parsed = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
        parsed.read_string(path.read_text())
        assert parsed.sections() == ["program:beat"]
        section, inputs = parsed["program:beat"], rendered.inputs[host]
        words = shlex.split(section["command"])
        assert words[:5] == [
            *[inputs["celery_beat_program_run"], "celery", "-A"],
            *[inputs["celery_beat_app_module"], "beat"],
        ]
        context = CLIContext(app=Celery("test", set_as_current=False), no_color=True, workdir=None)
        assert beat.make_context("celery beat", words[5:], obj=context).args == []
        # Its settings, and those of all programs, are of folders that no other deployment changes.
        settings = f"{inputs['celery_beat_settings_dir']}/settings"
        assert inputs["celery_beat_program_run"] == f"{settings}/{inputs['celery_beat_fingerprint']}/run"
        own = re.fullmatch(
            r'CELERY_CONFIG_MODULE="beatconfig",CELERY_EXTRA_SETTINGS="(.+)/(\w+)",WARREN_FINGERPRINT="(\w+)"',
            section["environment"],
        )
        assert own[1] == settings
        assert own[2] == own[3] != inputs["celery_beat_fingerprint"]


def test_supervisord_outlives_its_programs(rendered):
    """systemd kills supervisord, and leaves its programs, when it stops waiting first."""
    files = rendered.files("stop-grace.conf")
    assert files
    for host, path in files:
        unit = configparser.RawConfigParser()
        unit.optionxform = str
        unit.read_string(path.read_text())
        waits = unit.getint("Service", "TimeoutStopSec")
        assert waits > rendered.inputs[host]["celery_app_stop_grace_seconds"]
        assert waits > rendered.inputs[host].get("celery_worker_stop_grace_seconds", 0)


def test_every_host_resolves_every_other(rendered):
    for host, path in rendered.files("hosts"):
        lines = [line.split() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        names = {}
        for address, *of_address in lines:
            for name in of_address:
                names.setdefault(name, []).append(address)
        # Debian's own lines are outside the block.
        assert "localhost" not in names
        assert {name: names[name] for name in rendered.inputs} == {
            name: [rendered.inputs[host]["host_addresses"][name]] for name in rendered.inputs
        }, host


def test_systemds_own_limit_is_the_input(rendered):
    """Read with configparser: systemd has no checker of system.conf."""
    for host, path in rendered.files("limits.conf"):
        system = configparser.RawConfigParser()
        system.optionxform = str
        system.read_string(path.read_text())
        limit = rendered.inputs[host]["host_open_files_limit"]
        assert {section: dict(system[section]) for section in system.sections()} == {
            "Manager": {"DefaultLimitNOFILE": str(limit), "DefaultTasksMax": "16384"}
        }


def test_the_journal_has_a_size(rendered):
    for _, path in rendered.files("warren-journal.conf"):
        journal = configparser.RawConfigParser()
        journal.optionxform = str
        journal.read_string(path.read_text())
        assert {section: dict(journal[section]) for section in journal.sections()} == {
            "Journal": {"Storage": "persistent", "SystemMaxUse": "500M"}
        }


def test_a_host_sets_what_its_kernel_has(rendered):
    """No connection is tracked in what render.yml says of the kernel."""
    for _, path in rendered.files("60-warren.conf"):
        lines = [line.split(" = ") for line in path.read_text().splitlines() if not line.startswith("#")]
        assert dict(lines) == {"net.core.somaxconn": "4096", "vm.swappiness": "10"}


@pytest.fixture(scope="session")
def bad(tmp_path_factory):
    """What the validators say of mistakes: some that an operator can make in the inputs, and some in our templates."""
    single = Rendered(
        tmp_path_factory.mktemp("bad-single"),
        INVENTORIES["lab-single"],
        postgresql_extra_config={"shared_bufers": "64MB"},
        postgresql_client_addresses=["192.0.2.1/33"],
    )
    ((_, path),) = single.files("web.conf")
    path.write_text(path.read_text() + "stopwaitsec=1\n")
    mistaken = Rendered(
        tmp_path_factory.mktemp("bad"),
        INVENTORIES["lab"],
        *["--limit", "mq1,lb1,w1,mon1"],
        rabbitmq_extra_config={"vm_memory_high_watermark.relativ": 0.5},
        haproxy_extra_global=["maxcon 5"],
        rabbitmq_plugins=["rabbitmq_promtheus"],
        redis_extra_config={"timeuot": 5},
        prometheus_extra_jobs=[{"job_name": "site", "metric_path": "/metrics"}],
        cluster_alertmanager_config={"route": {"receiver": "nobody"}, "receivers": [{"name": "page"}]},
    )
    for host, name, line in [
        ("lb1", "keepalived.conf", "vrrp_instanc entry {"),
        ("mq1", "rabbitmq-watchdog.service", "Restat=always"),
        ("mq1", "rabbitmq-watchdog.timer", "[Timr]"),
        ("mq1", "started-config.conf", "TimeoutStopSecs=3"),
        ("mq1", "inter_node_tls.config", "[{client, [{verify, verify_pear}]}]."),
        ("mq1", "rabbitmq-env.conf", 'NODENAME="rabbit@mq1'),
        ("w1", "celery-workers.conf", "killasgruop=true"),
        ("w1", "celery-beat.conf", "autorestrat=true"),
        ("w1", "run", "if true"),
        ("mon1", "flower.conf", "stopasgruop=true"),
    ]:
        ((_, path),) = [found for found in mistaken.files(name) if found[0] == host]
        path.write_text(path.read_text() + f"{line}\n")
    of_lab, of_single = complaints(mistaken.folder, single.folder)
    return of_lab | of_single


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("lb1/haproxy/haproxy.cfg", "unknown keyword 'maxcon'"),
        ("lb1/keepalived/keepalived.conf", "vrrp_instanc"),
        ("mq1/rabbitmq/rabbitmq.conf", "vm_memory_high_watermark.relativ"),
        ("mq1/rabbitmq/enabled_plugins", "no such plugins: [rabbitmq_promtheus]"),
        ("mq1/rabbitmq/rabbitmq-watchdog.service", "Restat"),
        ("mq1/rabbitmq/rabbitmq-watchdog.timer", "Timr"),
        ("mq1/rabbitmq/rabbitmq-server.service.d/started-config.conf", "TimeoutStopSecs"),
        ("mq1/rabbitmq/inter_node_tls.config", "verify_pear"),
        ("mq1/rabbitmq/rabbitmq-env.conf", "Unterminated quoted string"),
        ("w1/celery_worker/celery-workers.conf", "killasgruop"),
        ("w1/celery_beat/celery-beat.conf", "autorestrat"),
        ("w1/celery_app/run", "Syntax error"),
        ("mon1/redis/redis.conf", "timeuot"),
        ("mon1/flower/flower.conf", "stopasgruop"),
        ("mon1/prometheus/prometheus.yml", "metric_path not found"),
        ("mon1/prometheus/alertmanager.yml", 'undefined receiver "nobody"'),
        ("all1/postgresql/warren.conf", "shared_bufers"),
        ("all1/postgresql/pg_hba.conf", "192.0.2.1/33"),
        ("all1/web/web.conf", "stopwaitsec"),
    ],
)
def test_the_validators_bite(bad, file, words):
    assert words in bad[file]


def test_each_group_may_log_in_from_each_client_and_from_nowhere_else(rendered):
    """Read as words: what PostgreSQL makes of them is the validator's to say."""
    for host, path in rendered.files("pg_hba.conf"):
        inputs = rendered.inputs[host]
        words = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
        addresses = {inputs["postgresql_listen_address"], *inputs["postgresql_client_addresses"]}
        assert words[0] == ["local", "all", "all", "peer"]
        connections = "hostssl" if inputs["postgresql_tls"] else "host"
        assert sorted(words[1:]) == sorted(
            [connections, f'"{name}"', f'+"{owner}",+"{group}"', f"{address}/32", "scram-sha-256"]
            for database in inputs["postgresql_databases"]
            for name, owner, group in [(database["name"], database["owner"], database["data_group"])]
            for address in addresses
        )


USERS = ["celery_app_user", "celery_worker_user", "celery_beat_user", "flower_user"]


def test_the_site_has_a_user_of_its_own_and_all_other_programs_have_one(rendered):
    """Files that one of these may read and write, another could not."""
    for inputs in rendered.inputs.values():
        users = {inputs[name] for name in USERS if name in inputs}
        assert len(users) <= 1
        if "web_user" in inputs:
            assert [{inputs["web_user"]}, {inputs["web_group"]}] == [{f"{next(iter(users))}-web"}, users]


@pytest.mark.parametrize("name", ["cluster_app_user", "celery_app_user"])
def test_whichever_input_names_the_user_all_programs_follow(tmp_path, name):
    roles = [*(user.removesuffix("_user") for user in USERS), "web"]
    inputs = Rendered(tmp_path, INVENTORIES["lab-single"], roles=roles, **{name: "operator"}).inputs["all1"]
    assert {inputs[name] for name in [*USERS, "web_group"]} == {"operator"}


def test_the_site_may_have_the_projects_user(tmp_path):
    rendered = Rendered(tmp_path, INVENTORIES["lab-single"], roles=["celery_app", "web"], cluster_web_user="shop")
    inputs = rendered.inputs["all1"]
    assert {inputs[name] for name in ("celery_app_user", "web_user", "web_group")} == {"shop"}
