"""What must be refused is refused, to foreign clients, and said where an operator looks: more than 40 attempts."""

import hashlib
import json
import shlex
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.disruptive]

SCRIPTS = Path(__file__).parent / "host_scripts"
# Debian's clients, which the kit does not use.
CLIENTS = "python3-pika redis-tools curl"


@pytest.fixture(scope="module")
def intruder(workers):
    """A host of the project, which the firewalls let in to HAProxy and Redis, with foreign clients."""
    host = workers[0]
    has = host.run(
        "sh -c %s", "dpkg-query --show --showformat='${Package} ' python3-pika redis-tools curl 2>/dev/null || true"
    )
    host.run(f"apt-get install -qq --no-install-recommends {CLIENTS}", seconds=200)
    yield host
    host.run(f"apt-get purge -qq --autoremove {' '.join(set(CLIENTS.split()) - set(has.split()))}", seconds=100)


def test_brokers_refuse_strangers_and_foreign_names(intruder, brokers):
    """And their logs say who was refused."""
    since = {broker.name: broker.run("sh -c 'cat /var/log/rabbitmq/rabbit@*.log | wc -l'") for broker in brokers}
    said = json.loads(intruder.app_output("python", "-c", (SCRIPTS / "try_amqp.py").read_text(), seconds=180))
    assert len(said) == 14
    refused = ("ProbableAuthenticationError", "ProbableAccessDeniedError", "ACCESS_REFUSED", "access_refused")
    assert {name: words for name, words in said.items() if not any(word in words for word in refused)} == {}
    logs = "".join(
        broker.run("sh -c %s", f"cat /var/log/rabbitmq/rabbit@*.log | tail -n +{since[broker.name]}")
        for broker in brokers
    )
    for words in ("user 'guest' - invalid credentials", "user 'admin' - invalid credentials", "refused for user"):
        assert words in logs, words


def redis_cli(host, store, instance, *words, user="", before=""):
    """What redis-cli of a host is answered."""
    tls = ["--tls", "--cacert", store.expect("redis_tls")["authority"]] if store.expect("redis_tls") else []
    place = ["-h", store.address, "-p", str(instance["port"])]
    command = shlex.join(["redis-cli", *tls, *place, *(["--user", user] if user else []), *words])
    result = host.host.run("sh -c %s", f"{before}timeout 10 {command} 2>&1")
    return result.stdout.strip()


def test_redis_refuses_whoever_has_no_password_or_may_only_read_figures(intruder, stores):
    store = stores[0]
    for instance in store.expect("redis_instances"):
        for words in (["PING"], ["KEYS", "*"], ["CONFIG", "GET", "requirepass"], ["FLUSHALL"], ["SHUTDOWN"]):
            assert redis_cli(intruder, store, instance, *words).startswith("NOAUTH"), words
        assert "WRONGPASS" in redis_cli(intruder, store, instance, "PING", before="REDISCLI_AUTH=wrong ")
        assert "WRONGPASS" in redis_cli(intruder, store, instance, "PING", user="root", before="REDISCLI_AUTH=wrong ")
        # The exporter's own, from its file: in an argument it would end up in sudo's log.
        file = f"/etc/default/prometheus-redis-{instance['name']}-exporter.json"
        read = "import json, sys; print(next(iter(json.load(open(sys.argv[1])).values())))"
        password = f"export REDISCLI_AUTH=$(python3 -c {shlex.quote(read)} {file}); "
        assert "# Server" in redis_cli(store, store, instance, "INFO", user="monitor", before=password)
        for words in (
            ["GET", "x"],
            ["SET", "x", "y"],
            ["KEYS", "*"],
            ["ACL", "LIST"],
            ["CONFIG", "GET", "*"],
            ["FLUSHALL"],
        ):
            said = redis_cli(store, store, instance, *words, user="monitor", before=password)
            assert "NOPERM" in said, (words, said)
        denied = store.redis_cli(instance, "ACL", "LOG", "20")
        assert "command" in denied and "auth" in denied
        store.redis_cli(instance, "ACL", "LOG", "RESET")


def test_redis_refuses_each_user_what_is_not_of_its_purpose(intruder, stores):
    said = json.loads(intruder.app_output("python", "-c", (SCRIPTS / "try_redis.py").read_text()))
    assert {"results", "locks"} <= said.keys()
    for purpose, answers in said.items():
        assert {words: text for words, text in answers.items() if "NoPermissionError" not in text} == {}, purpose
    for instance in stores[0].expect("redis_instances"):
        stores[0].redis_cli(instance, "ACL", "LOG", "RESET")


def test_no_host_of_the_project_has_the_administrators_password_of_redis(workers, stores):
    """It is looked for by its digest, as sudo logs arguments."""
    digest = hashlib.sha256(stores[0].expect("redis_password").encode()).hexdigest()
    search = """
import hashlib, pathlib, re, sys
for path in pathlib.Path("/etc").rglob("*"):
    if path.is_file() and not path.is_symlink():
        words = re.findall(rb"[A-Za-z0-9]{12,}", path.read_bytes())
        if any(hashlib.sha256(word).hexdigest() == sys.argv[1] for word in words):
            print(path)
"""
    for host in workers:
        assert host.python(search, digest) == ""
    # Where it is, it is found.
    assert "/etc/redis/password-locks" in stores[0].python(search, digest)


def status_of(host, *words):
    """The status that curl of a host gets; 000 is no connection."""
    result = host.host.run(
        f"curl --silent --output /dev/null --max-time 3 --write-out %s {shlex.join(words)}", "%{http_code}"
    )
    return result.stdout.strip()


def test_pages_refuse_whoever_has_no_password(stores, monitors, balancers):
    """On hosts which the firewalls let in."""
    monitor = monitors[0]
    flower = f"{monitor.scheme}://{monitor.expect('flower_bind')}:{monitor.expect('flower_port')}"
    stats = f"{monitor.scheme}://{balancers[0].expect('haproxy_stats_bind')}"
    prometheus = f"{monitor.scheme}://{monitor.expect('prometheus_bind')}:{monitor.expect('prometheus_port')}"
    alerts = f"{monitor.scheme}://{monitor.expect('prometheus_bind')}:{monitor.expect('prometheus_alertmanager_port')}"
    fetch = (
        "import sys, urllib.request, urllib.error\n"
        "url, data, login = sys.argv[1:]\n"
        "request = urllib.request.Request(url, data=data.encode() if data else None)\n"
        "if login: request.add_header('Authorization', 'Basic ' + login)\n"
        "try: print(urllib.request.urlopen(request, timeout=10).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
    )
    # wrong:wrong
    wrong = "d3Jvbmc6d3Jvbmc="
    silence = '{"matchers": [], "createdBy": "x", "comment": "x"}'
    for status, url, data, login in (
        ("401", f"{flower}/", "", ""),
        ("401", f"{flower}/api/workers", "", ""),
        ("401", f"{flower}/api/workers", "", wrong),
        ("401", f"{flower}/api/task/async-apply/warren_app.tasks.count_words", '{"args": ["x"]}', ""),
        ("401", f"{flower}/api/worker/shutdown/default@w1", "x=y", wrong),
        ("401", f"{stats}/", "", ""),
        ("401", f"{stats}/;csv", "", wrong),
        ("401", f"{stats}/", "s=mq1&action=disable&b=amqps", ""),
        ("401", f"{prometheus}/api/v1/query?query=up", "", ""),
        ("401", f"{prometheus}/api/v1/query?query=up", "", wrong),
        ("401", f"{prometheus}/classic/alerts", "", ""),
        ("401", f"{prometheus}/-/quit", "x=y", ""),
        ("401", f"{prometheus}/-/reload", "x=y", wrong),
        ("401", f"{alerts}/api/v2/alerts", "", ""),
        ("401", f"{alerts}/api/v2/silences", silence, wrong),
    ):
        assert monitor.python(fetch, url, data, login) == status, (url, data, login)


# The status that a page answers: none for no answer, unknown for a certificate of nobody that the host knows.
ASK = """
import http.client, ssl, sys, urllib.error, urllib.request
trust = ssl._create_unverified_context() if "any" in sys.argv else ssl.create_default_context()
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=10, context=trust).status)
except urllib.error.HTTPError as error:
    print(error.code)
except urllib.error.URLError as error:
    print("unknown" if isinstance(error.reason, ssl.SSLCertVerificationError) else "none")
except (OSError, http.client.HTTPException):
    print("none")
"""


def test_prometheus_lets_nobody_end_it(monitors):
    """Whoever has the password neither."""
    monitor = monitors[0]
    place = f"{monitor.expect('prometheus_bind')}:{monitor.expect('prometheus_port')}"
    login = f"{monitor.expect('prometheus_user')}:{monitor.expect('prometheus_password')}"
    for path in ("/-/quit", "/-/reload"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            monitor.page(f"{place}{path}", login, "x=y")
        assert refused.value.code == 403, path


def test_pages_and_metrics_are_shown_with_tls_only(brokers, stores, monitors, balancers, all_members):
    """On a host which the firewalls let in: nothing is answered in plain text, except that it should be encrypted."""
    monitor = monitors[0]
    if monitor.scheme == "http":
        pytest.skip("this cluster has no TLS")
    places = [
        balancers[0].expect("haproxy_stats_bind"),
        *(entry["address"] for member in (all_members[0], stores[0]) for entry in member.expect("exporter_instances")),
        f"{brokers[0].address}:{brokers[0].expect('rabbitmq_prometheus_port')}",
        f"{monitor.expect('flower_bind')}:{monitor.expect('flower_port')}",
        f"{monitor.expect('prometheus_bind')}:{monitor.expect('prometheus_port')}",
        f"{monitor.expect('prometheus_bind')}:{monitor.expect('prometheus_alertmanager_port')}",
    ]
    for place in places:
        # Programs in Go answer 400; others end the connection.
        assert monitor.run("python3 -c %s %s", ASK, f"http://{place}/metrics") in {"none", "400"}, place
        # It listens, and shows a certificate that nobody knows without the authority's.
        assert monitor.run("python3 -c %s %s", ASK, f"https://{place}/metrics") == "unknown", place
        assert monitor.run("python3 -c %s %s any", ASK, f"https://{place}/metrics") in {"200", "401"}, place


def test_firewalls_refuse_whoever_has_no_business_there(intruder, brokers, balancers, stores, monitors):
    """A worker host at the ports of others; each of these is open to somebody."""
    places = [
        *((broker.address, port) for broker in brokers for port in (5671, 5672, 15692, 4369, 25672, 15672, 9100)),
        *((balancer.address, port) for balancer in balancers for port in (8404, 9100)),
        *((stores[0].address, port) for port in (9121, 9122, 9100)),
        *((monitors[0].address, port) for port in (5555, 9090, 9093)),
    ]
    with ThreadPoolExecutor(8) as pool:
        scheme = monitors[0].scheme
        urls = ["{}://{}:{}/".format(scheme, *place) for place in places]
        found = list(pool.map(lambda url: status_of(intruder, "--insecure", url), urls))
    assert len(places) > 25
    assert {place for place, status in zip(places, found, strict=True) if status != "000"} == set()
