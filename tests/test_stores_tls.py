"""Redis and PostgreSQL with `cluster_tls`: what the roles write, and real clients of a real Redis.

Each client must know the server: by the authority of its certificate, and by the address in it.
"""

import contextlib
import datetime
import ipaddress
import socket
import subprocess
import time
from urllib.parse import urlsplit

import celery_once.backends.redis as celery_once
import pytest
import urls
from celery import Celery
from celery_once.tasks import AlreadyQueued
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kit import INVENTORIES, PROJECT
from rabbitmq import free_port
from redis import Redis
from redis.exceptions import ConnectionError as NoConnection
from redis_users import redis_user_lines
from test_templates import Rendered, load_beat_settings

# Celery calls a function of redis-py that has another name by now.
pytestmark = [pytest.mark.lengthy, pytest.mark.filterwarnings("ignore:Call to deprecated setex")]

CA = "/etc/ssl/warren/ca.crt"
PASSWORD = 'p@ss/ é%"'
USERS = [
    {"instance": "tested", "purpose": purpose, "name": purpose, "password": PASSWORD}
    for purpose in ("results", "locks", "schedule")
]


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """The lab's stores and their clients, with TLS."""
    return Rendered(
        tmp_path_factory.mktemp("encrypted"),
        INVENTORIES["lab"],
        *["--limit", "w1,mon1"],
        roles=["redis", "exporter", "celery_app", "celery_beat"],
        cluster_tls=True,
        cluster_beat_scheduler="redbeat",
    )


def database(folder, **variables):
    """The lines of pg_hba.conf that let owners in, and the inputs of the only host."""
    rendered = Rendered(folder, INVENTORIES["lab-single"], roles=["postgresql", "celery_app"], **variables)
    ((host, path),) = rendered.files("pg_hba.conf")
    return [line.split()[0] for line in path.read_text().splitlines() if "scram" in line], rendered.inputs[host]


def test_urls_name_the_authority(encrypted):
    inputs = encrypted.inputs["w1"]
    names = ["celery_app_result_redis_url", "celery_app_once_redis_url", "celery_beat_redis_url"]
    options = f"ssl_cert_reqs=required&ssl_ca_certs={CA}&ssl_check_hostname=true"
    found = [urlsplit(inputs[name]) for name in names]
    assert [(url.scheme, url.query) for url in found] == [("rediss", options)] * 3


def test_redbeat_takes_no_tls_options_of_the_broker(encrypted, monkeypatch):
    """Those of py-amqp have other names, and RedBeat would end with a TypeError."""
    ((_, path),) = encrypted.files("beatconfig.py")
    assert load_beat_settings(path, monkeypatch)[1].conf.redbeat_redis_use_ssl == {}


def test_each_exporter_finds_its_password_under_the_url_that_it_uses(encrypted):
    exporters = [entry for entry in encrypted.inputs["mon1"]["exporter_instances"] if "passwords" in entry]
    assert len(exporters) == 2
    for exporter in exporters:
        # Debian 13's looks for the second.
        url, with_user = exporter["passwords"]
        assert with_user == url.replace("//", "//monitor@")
        assert url.startswith("rediss://")
        assert {f"--redis.addr={url}", f"--tls-ca-cert-file={CA}"} <= set(exporter["arguments"])


def test_clients_of_postgresql_have_tls_and_verify(tmp_path):
    lines, inputs = database(tmp_path, cluster_tls=True)
    assert set(lines) == {"hostssl"}
    environment = inputs["celery_app_environment"]
    assert (environment["PGSSLMODE"], environment["PGSSLROOTCERT"]) == ("verify-full", CA)


def test_clients_of_postgresql_may_move(tmp_path):
    lines, inputs = database(tmp_path, cluster_tls=True, cluster_tls_moves=True)
    assert set(lines) == {"host"}
    assert inputs["celery_app_environment"]["PGSSLMODE"] == "verify-full"


def test_without_tls_nothing_is_said_of_it(tmp_path):
    lines, inputs = database(tmp_path, cluster_tls=False)
    assert set(lines) == {"host"}
    assert [name for name in inputs["celery_app_environment"] if name.startswith("PGSSL")] == []


def certificate(name, public_key, issuer, issuer_key, *extensions):
    """A certificate that is valid for a day."""
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        public_key,
        x509.random_serial_number(),
        now - datetime.timedelta(hours=1),
        now + datetime.timedelta(days=1),
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@contextlib.contextmanager
def running_redis(folder, template, authority):
    """A Redis with the rendered configuration, but with files of the test, not of the host; its port."""
    port = free_port()
    for name, place in (("ca.crt", authority), ("host.crt", folder), ("host.key", folder)):
        template = template.replace(f"/etc/ssl/warren/{name}", f"{place}/{name}")
    changes = {
        "bind": "127.0.0.1",
        "tls-port": str(port),
        "dir": str(folder),
        "include": str(folder / "users-tested.conf"),
    }
    (folder / "users-tested.conf").write_text("\n".join(redis_user_lines(USERS, "tested", PASSWORD, "")) + "\n")
    (folder / "password-tested").write_text(PASSWORD)
    lines = [line for line in template.splitlines() if line.split(" ")[0] not in changes]
    lines += [f"{name} {value}" for name, value in changes.items()]
    config = folder / "redis-tested.conf"
    config.write_text("\n".join(lines) + "\n")
    with subprocess.Popen(["redis-server", config], stdout=subprocess.DEVNULL) as server:
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                assert server.poll() is None, "Redis has ended"
                time.sleep(0.1)
            yield port
        finally:
            server.terminate()


def redis_ask(folder):
    """What the role's script prints of a PING."""
    script = folder / "redis-ask"
    script.write_text((PROJECT / "roles/redis/files/redis-ask").read_text().replace("/etc/redis/", f"{folder}/"))
    return subprocess.run(["sh", script, "tested", "PING"], capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A folder with `ca.crt`, whom clients trust."""
    return tmp_path_factory.mktemp("authority")


@pytest.fixture(scope="module")
def servers(tmp_path_factory, encrypted, authority):
    """The folder and the port of a Redis with each kind of certificate."""
    ((_, path),) = encrypted.files("redis.conf")
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("authority", "other-authority")}
    is_authority = x509.BasicConstraints(ca=True, path_length=None)
    of_authority = keys["authority"].public_key()
    (authority / "ca.crt").write_bytes(
        certificate("authority", of_authority, "authority", keys["authority"], is_authority)
    )
    found = {}
    with contextlib.ExitStack() as stack:
        for name, issuer, address in (
            ("right", "authority", "127.0.0.1"),
            ("other-address", "authority", "192.0.2.9"),
            ("other-authority", "other-authority", "127.0.0.1"),
        ):
            folder = tmp_path_factory.mktemp(name)
            key = ec.generate_private_key(ec.SECP256R1())
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            (folder / "host.crt").write_bytes(certificate(name, key.public_key(), issuer, keys[issuer], names))
            (folder / "host.key").write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
            found[name] = (folder, stack.enter_context(running_redis(folder, path.read_text(), authority)))
        yield found


def results(url):
    """Celery's results."""
    app = Celery(broker="memory://", backend=url, set_as_current=False)
    app.backend.store_result("a", 5, "SUCCESS")
    assert app.AsyncResult("a").get(timeout=10) == 5


def once(url):
    """celery_once's lock."""
    celery_once.redis = None
    try:
        backend = celery_once.Redis({"url": urls.celery_once_url(url)})
        backend.raise_or_lock("qo_a", 60)
        with pytest.raises(AlreadyQueued):
            backend.raise_or_lock("qo_a", 60)
        backend.clear_lock("qo_a")
    finally:
        celery_once.redis = None


def client(url):
    """redis-py, as RedBeat and the reference project use it."""
    assert Redis.from_url(urls.celery_once_url(url)).ping()


CLIENTS = [(results, "results"), (once, "locks"), (client, "schedule")]


@pytest.mark.parametrize(("use", "user"), CLIENTS)
def test_a_client_takes_the_right_certificate(servers, authority, use, user):
    _, port = servers["right"]
    use(urls.redis_url("127.0.0.1", port, user, PASSWORD, 1, str(authority / "ca.crt")))


@pytest.mark.parametrize("server", ["other-address", "other-authority"])
@pytest.mark.parametrize(("use", "user"), CLIENTS)
def test_a_client_refuses_another_certificate(servers, authority, use, user, server):
    _, port = servers[server]
    with pytest.raises(NoConnection, match="CERTIFICATE_VERIFY_FAILED"):
        use(urls.redis_url("127.0.0.1", port, user, PASSWORD, 1, str(authority / "ca.crt")))


def test_redis_answers_no_plain_client(servers):
    _, port = servers["right"]
    with pytest.raises(NoConnection):
        client(urls.redis_url("127.0.0.1", port, "schedule", PASSWORD, 1))


def test_redis_ask_checks_the_authority(servers):
    """redis-cli compares no names."""
    said = {name: redis_ask(folder) for name, (folder, _) in servers.items()}
    assert said == {"right": "PONG\n", "other-address": "PONG\n", "other-authority": ""}
