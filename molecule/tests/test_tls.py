"""TLS between the hosts: whom they trust, and whom they do not."""

import concurrent.futures
import json
import subprocess
import uuid
from pathlib import Path

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.disruptive]

# With extensions of an authority, which openssl adds by default.
SELF_SIGNED = [
    "openssl",
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "9",
]
SELF_SIGNED += ["-subj", "/CN=another authority"]
SCRIPTS = Path(__file__).parent / "host_scripts"


@pytest.fixture(scope="module", autouse=True)
def with_tls(brokers):
    """The lab of one host has none."""
    if not brokers[0].expect("rabbitmq_tls"):
        pytest.skip("without TLS")


def test_the_authority_is_the_clusters_own(all_members):
    """Its certificate is on all hosts, and its key on none."""
    text = Path(all_members[0].expect("certificate_authority")).read_text()
    assert {member.run("cat /etc/ssl/warren/ca.crt") for member in all_members} == {text.strip()}
    key = Path(all_members[0].expect("certificate_authority_key"))
    assert key.stat().st_mode & 0o777 == 0o600
    body = key.read_text().splitlines()[1]
    for member in all_members:
        assert member.host.run("grep -rlF %s /etc/ssl/warren", body).stdout == ""


def test_nobody_but_the_hosts_services_reads_its_key(member):
    assert member.run("stat --format=%A/%U/%G /etc/ssl/warren/host.key") == "-rw-r-----/root/warren-tls"
    assert "nobody" not in member.run("getent group warren-tls")
    assert member.host.run("runuser -u nobody -- cat /etc/ssl/warren/host.key").rc != 0


def test_brokers_are_only_trusted_by_their_name_and_authority(publisher):
    """By py-amqp with the project's settings. A host of the project that is broken into cannot pretend to be one."""
    run = f"/opt/celery/{publisher.expect('celery_app_name')}/run"
    name = publisher.expect("celery_app_broker_tls")["name"]
    script = (SCRIPTS / "try_tls.py").read_text()
    said = json.loads(publisher.run("python3 -c %s %s %s", script, run, name, seconds=120))
    assert said.pop("the brokers") == "connected, and the peer is verified"
    assert "Hostname mismatch" in said.pop("another name")
    assert "CERTIFICATE_VERIFY_FAILED" in said.pop("another authority")
    assert "connected" not in said.pop("the brokers without TLS")
    assert said == {}


def test_each_host_has_a_certificate_for_its_names(member):
    """A broker's also has the one that clients ask for."""
    said = member.run("openssl x509 -in /etc/ssl/warren/host.crt -noout -ext subjectAltName")
    names = {name.partition(":")[2] for name in said.splitlines()[1].strip().split(", ")}
    assert names == set(member.expect("certificate_names"))


def test_old_versions_of_tls_are_refused(publisher, broker):
    port = broker.expect("rabbitmq_amqps_port")
    for version in ("-tls1", "-tls1_1"):
        said = publisher.host.run(
            f"sh -c 'timeout 10 openssl s_client {version} -connect {broker.address}:{port} </dev/null'"
        )
        assert said.rc != 0
        assert "BEGIN CERTIFICATE" not in said.stdout


@pytest.fixture
def changed_certificate(worker, playbook):
    """Deploys the certificate of a worker host with other inputs, and as it was at the end."""
    only = ("playbooks/site.yml", "--limit", worker.name, "--tags", "certificate")

    def deploy(**inputs):
        playbook(*only, "-e", json.dumps(inputs))
        return worker.run("cat /etc/ssl/warren/host.crt"), worker.run("cat /etc/ssl/warren/ca.crt")

    yield deploy
    playbook(*only)


@pytest.mark.lengthy
def test_a_certificate_is_renewed_before_its_end(worker, changed_certificate):
    before = worker.run("cat /etc/ssl/warren/host.crt")
    same, _ = changed_certificate(certificate_renewed_days=300)
    assert same == before
    renewed, _ = changed_certificate(certificate_valid_days=500, certificate_renewed_days=400)
    assert renewed != before


@pytest.mark.lengthy
def test_hosts_can_trust_another_authority_as_well(worker, changed_certificate, tmp_path):
    _, own = changed_certificate()
    other = tmp_path / "other.crt"
    subprocess.run([*SELF_SIGNED, "-keyout", tmp_path / "other.key", "-out", other], check=True)
    _, both = changed_certificate(cluster_tls_extra_authorities=[str(other)])
    assert both.strip() == f"{own.strip()}\n{other.read_text().strip()}"


@pytest.mark.lengthy
def test_a_certificate_of_ones_own_is_taken(worker, changed_certificate, tmp_path):
    """One from the cluster's authority, made elsewhere."""
    names = ",".join(f"{'IP' if name[0].isdigit() else 'DNS'}:{name}" for name in worker.expect("certificate_names"))
    files = {"-keyout": tmp_path / "own.key", "-out": tmp_path / "own.csr"}
    ask = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=own",
    ]
    subprocess.run([*ask, *(str(word) for pair in files.items() for word in pair)], check=True)
    (tmp_path / "extensions").write_text(f"subjectAltName={names}\n")
    authority = worker.expect("certificate_authority"), worker.expect("certificate_authority_key")
    sign = ["openssl", "x509", "-req", "-CA", authority[0], "-CAkey", authority[1], "-days", "9", "-set_serial", "7"]
    sign += [
        "-in",
        str(tmp_path / "own.csr"),
        "-extfile",
        str(tmp_path / "extensions"),
        "-out",
        str(tmp_path / "own.crt"),
    ]
    subprocess.run(sign, check=True)
    own, _ = changed_certificate(
        cluster_tls_certificate=str(tmp_path / "own.crt"), cluster_tls_certificate_key=str(tmp_path / "own.key")
    )
    assert own.strip() == (tmp_path / "own.crt").read_text().strip()


@pytest.mark.lengthy
def test_another_authority_takes_over_without_a_lost_task(all_members, brokers, playbook, count_tasks):
    """Under load; afterwards nobody trusts the former one, and clients still reach everything."""

    def issuers():
        return {
            member.run("openssl x509 -in /etc/ssl/warren/host.crt -noout -ext authorityKeyIdentifier")
            for member in all_members
        }

    (before,) = issuers()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        counting = pool.submit(count_tasks, f"authority-{uuid.uuid4()}", 2000, "--rate", "20")
        playbook("playbooks/renew_certificates.yml", "-e", "authority=new")
        counting.result()
    (after,) = issuers()
    assert after != before
    text = Path(all_members[0].expect("certificate_authority")).read_text()
    assert {member.run("cat /etc/ssl/warren/ca.crt") for member in all_members} == {text.strip()}
    # What the running broker shows, and not what is in the file.
    for broker in brokers:
        place = f"{broker.address}:{broker.expect('rabbitmq_amqps_port')}"
        shown = broker.run(
            "sh -c %s", f"openssl s_client -connect {place} -CAfile /etc/ssl/warren/ca.crt </dev/null 2>&1"
        )
        assert "Verify return code: 0 (ok)" in shown
    _, recap = playbook("playbooks/site.yml", "--tags", "certificate")
    assert {name: host["changed"] for name, host in recap.items() if host["changed"]} == {}


def links(brokers):
    """Whether each broker speaks TLS with the others."""
    return [json.loads(broker.run("rabbitmq-status"))["tls_between_nodes"] for broker in brokers]


@pytest.mark.cluster
def test_brokers_alone_are_nodes(brokers):
    """Who has the cookie needs a certificate of a broker, too."""
    assert set(links(brokers)) == {True}
    one, other = brokers[:2]
    script = (SCRIPTS / "try_links.sh").read_text()
    said = one.run("sh -c %s - %s", script, f"rabbit@{other.expect('rabbitmq_node_host')}", seconds=120).splitlines()
    assert said == ["a broker: pong", "without TLS: pang", "without a certificate: pang", "another authority's: pang"]


@pytest.mark.cluster
@pytest.mark.disruptive
@pytest.mark.lengthy
@pytest.mark.lifecycle
def test_all_brokers_change_how_they_speak_with_each_other(brokers, playbook, load):
    """They must stop together, which is done only when somebody says so, and costs no accepted task."""
    off, stop = ("-e", '{"cluster_tls_between_brokers":false}'), ("-e", '{"cluster_brokers_may_stop":true}')
    end = load()
    output, _ = playbook("playbooks/site.yml", *off, expect_success=False)
    assert "speak with other brokers with TLS, and shall speak without it." in " ".join(output.split())
    assert set(links(brokers)) == {True}
    playbook("playbooks/site.yml", *off, *stop)
    assert set(links(brokers)) == {False}
    playbook("playbooks/site.yml", *stop)
    assert set(links(brokers)) == {True}
    end()
