"""A secret of any printable character arrives at whoever reads it, in every place where it is written.

The kit's own inventory renders the lab with such secrets, and real daemons and clients read what it wrote.
"""

import json
import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode

import kit
import pytest
import yaml
from celery import Celery
from celery_once.backends.redis import parse_url as once_parse_url
from credentials import user_of_purpose
from exporter_files import exporter_files
from kit import INVENTORIES, PROJECT
from kombu import Connection
from rabbitmq import free_port, running_rabbitmq
from rabbitmq_objects import rabbitmq_objects_to_import
from redis.connection import parse_url
from test_templates import Rendered, load_settings
from urls import broker_urls
from warren.secrets import secret_problems

pytestmark = pytest.mark.lengthy

# Every printable character of ASCII except the space, after what begins an expression of Ansible's.
EVERY = "{{{%{#" + "".join(chr(code) for code in range(33, 127))
NAMES = [name for name in kit.kit_variables("secrets") if name.startswith("secret_")]
SECRETS = {name: f"{number}{EVERY}" for number, name in enumerate(NAMES)} | {"secret_keepalived": "a#b'$!{}"}


class Unsafe(str):
    """A text that YAML has as `!unsafe`."""


yaml.SafeDumper.add_representer(Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", text, style="'"))


def render(folder, inventory, **variables):
    path = folder / "secrets.yml"
    path.write_text(yaml.safe_dump({name: Unsafe(text) for name, text in SECRETS.items()}, width=1000))
    return Rendered(folder, INVENTORIES[inventory], "-e", f"@{path}", **variables)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    # Without TLS, whose files are not there.
    return render(tmp_path_factory.mktemp("lab"), "lab", cluster_tls=False)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return render(tmp_path_factory.mktemp("single"), "lab-single")


def test_the_rules_take_these_secrets():
    assert secret_problems(SECRETS) == []


@pytest.fixture(scope="module")
def logged_in(lab):
    """What the daemons of the validators' image say to whoever logs in."""
    inputs = lab.inputs["mon1"]
    (exporter,) = [entry for entry in inputs["exporter_instances"] if entry["name"] == "redis-results"]
    given = {
        "addresses": list(inputs["host_addresses"].values()),
        "page": SECRETS["secret_haproxy_stats"],
        "prometheus": SECRETS["secret_prometheus"],
        "redis": SECRETS["secret_redis"],
        "monitor": SECRETS["secret_redis_monitor"],
        "results": redis_login("results"),
        "files": {file["path"]: file["content"] for file in exporter_files([exporter], {}) if "content" in file},
        "exporter": [f"--web.listen-address={exporter['address']}", *exporter["arguments"]],
    }
    (lab.folder / "log_in.json").write_text(json.dumps(given))
    done = kit.run_in_the_validators_image(
        *["python3", "-B", "/validators/log_in.py", "/rendered", "/roles"],
        volumes=[
            f"{lab.folder}:/rendered:ro",
            f"{PROJECT}/roles:/roles:ro",
            f"{PROJECT}/tests/validators:/validators:ro",
        ],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_haproxy_shows_its_page_for_the_whole_password_only(logged_in):
    assert logged_in["haproxy"] == [200, 401]


def test_prometheus_shows_its_page_for_the_password_only(logged_in):
    assert logged_in["prometheus"] == [200, 401, 401]


def test_keepalived_sends_the_whole_password(logged_in):
    assert logged_in["keepalived"] == SECRETS["secret_keepalived"]


def test_redis_takes_whole_passwords_only(logged_in):
    assert logged_in["redis"] == ["+OK"] * 3 + ["-WRONGPASS"] * 3


def test_redis_ask_and_the_exporter_find_their_passwords(logged_in):
    assert logged_in["ask"] == "PONG\n"
    assert logged_in["exporter"] == ["redis_up 1"]


def login(parameters):
    """The user and the password that a client of Redis has found."""
    return parameters["username"], parameters["password"]


def redis_login(purpose):
    """Those that it must find."""
    secret = SECRETS[f"secret_redis_{purpose}"]
    return user_of_purpose(purpose, secret), secret


def test_celery_finds_all_passwords(lab):
    files = lab.files("celeryconfig.py")
    assert files
    for _, path in files:
        _, app = load_settings(path)
        for url in app.conf.broker_url:
            with Connection(url) as connection:
                purpose = connection.userid.partition("-")[0]
                password = SECRETS[f"secret_rabbitmq_{purpose}"]
                assert connection.userid == user_of_purpose(purpose, password)
                assert connection.password == password
                assert password not in connection.as_uri()
        backend = Celery(backend=lab.inputs["w1"]["celery_app_result_redis_url"], set_as_current=False).backend
        assert login(backend.connparams) == redis_login("results")
        once = app.conf.ONCE["settings"]["url"]
        assert login(once_parse_url(once)) == login(parse_url(once)) == redis_login("locks")
    redbeat = lab.inputs["w1"]["celery_beat_redis_url"]
    assert login(parse_url(redbeat)) == redis_login("schedule")


def test_no_host_of_the_project_has_the_administrators_password_of_redis(lab):
    """Only the one on which Redis runs."""
    inputs = {host: json.dumps(found) for host, found in lab.inputs.items()}
    quoted = json.dumps(SECRETS["secret_redis"])[1:-1]
    assert [host for host in inputs if quoted in inputs[host]] == ["mon1"]
    written = [path for path in lab.folder.rglob("*") if path.is_file() and SECRETS["secret_redis"] in path.read_text()]
    assert written == []


def test_a_program_of_the_project_gets_them_in_its_environment(single):
    ((_, path),) = single.files("run")
    # Whoever tests may be root, and the user of the programs need not be there.
    switch = '[ "$(id -u)" != 0 ] || exec '
    assert path.read_text().count(switch) == 1
    path.write_text(path.read_text().replace(switch, ": "))
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    done = subprocess.run(["sh", path, sys.executable, "-c", show], capture_output=True, text=True, check=True)
    shown = json.loads(done.stdout)
    wanted = {"PGPASSWORD": SECRETS["secret_database"], "DJANGO_SECRET_KEY": SECRETS["secret_django_key"]}
    assert shown | wanted == shown


def test_flower_shows_its_page_for_the_whole_password_only(lab, tmp_path):
    ((_, path),) = lab.files("flowerconfig.py")
    place, config = f"127.0.0.1:{free_port()}", tmp_path / "flowerconfig.py"
    own = {"address": "127.0.0.1", "port": int(place.rpartition(":")[2]), "db": str(tmp_path / "flower")}
    config.write_text(path.read_text() + "".join(f"{name} = {value!r}\n" for name, value in own.items()))
    command = [sys.executable, "-m", "celery", "--broker=memory://", "flower", f"--conf={config}"]

    def state(password):
        login = b64encode(f"warren:{password}".encode()).decode()
        request = urllib.request.Request(f"http://{place}/workers", headers={"Authorization": f"Basic {login}"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as flower:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    states = [state(SECRETS["secret_flower"]), state(SECRETS["secret_flower"][:-1])]
                    break
                except OSError:
                    assert time.monotonic() < deadline and flower.poll() is None, shlex.join(command)
                    time.sleep(0.5)
        finally:
            flower.terminate()
    assert states == [200, 401]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A RabbitMQ whose Erlang cookie is such a secret."""
    folder = tmp_path_factory.mktemp("rabbitmq")
    cookie = folder / ".erlang.cookie"
    cookie.write_text(SECRETS["secret_erlang_cookie"])
    cookie.chmod(0o400)
    with running_rabbitmq(folder, free_port()) as broker:
        assert cookie.read_text() == SECRETS["secret_erlang_cookie"]
        yield broker


def test_erlang_takes_the_cookie(broker):
    said = broker.ctl("eval", "io:put_chars(atom_to_list(erlang:get_cookie())).")
    assert said.startswith(SECRETS["secret_erlang_cookie"])
    # It asks with a client of its own.
    status = broker.run(PROJECT / "roles/rabbitmq/files/rabbitmq-status")
    assert status.returncode == 0, status.stderr


def test_a_running_node_takes_a_new_cookie(broker, tmp_path):
    """The caller writes the file afterwards; if it is killed before, it runs the command again."""
    stub = tmp_path / "systemctl"
    stub.write_text("#!/bin/sh\nexit 0\n")
    stub.chmod(0o755)
    file = broker.folder / ".erlang.cookie"
    before, wanted = file.read_text(), SECRETS["secret_erlang_cookie"][::-1]

    def write(cookie):
        file.chmod(0o600)
        file.write_text(cookie)
        file.chmod(0o400)

    def give(cookie):
        command = ["sh", PROJECT / "roles/rabbitmq/files/rabbitmq-set-cookie"]
        done = broker.run("env", f"PATH={tmp_path}:{os.environ['PATH']}", *command, text=cookie)
        return done.returncode, done.stderr

    def opens():
        return broker.run("rabbitmqctl", "--quiet", "eval", "ok.").returncode == 0

    try:
        assert give(wanted) == (0, "")
        # Only the new one opens it.
        assert file.read_text() == before and not opens()
        assert give(wanted) == (0, "")
        code, said = give("another")
        assert code == 69 and said.startswith("test@localhost takes no new cookie: ")
        write(wanted)
        assert opens()
        assert give(before) == (0, "")
    finally:
        write(before)
    assert opens()


def test_rabbitmq_takes_the_password(broker, lab):
    """As the role gives it, in definitions."""
    users, vhost = lab.inputs["mq1"]["rabbitmq_users"], lab.inputs["mq1"]["rabbitmq_vhost"]
    name, password = users[0]["name"], users[0]["password"]
    assert password == SECRETS["secret_rabbitmq_worker"]
    none = dict.fromkeys(
        ("users", "vhosts", "permissions", "policies", "parameters", "bindings", "queues", "exchanges"), ()
    )
    definitions = rabbitmq_objects_to_import(none, vhost, users, [])
    done = broker.run("rabbitmqctl", "--quiet", "import_definitions", text=json.dumps(definitions))
    assert done.returncode == 0, done.stderr
    (url,) = broker_urls(["127.0.0.1"], broker.port, name, password, vhost)
    with Connection(url) as connection:
        connection.connect()
