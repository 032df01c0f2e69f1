"""The load balancers, as their stats page and their clients see them."""

import concurrent.futures
import urllib.error

import pytest
from haproxystats import HAProxyServer

pytestmark = pytest.mark.cluster

# Opens a connection, says so, waits for the word that HAProxy was reloaded, and uses the same channel again.
HOLD_A_CONNECTION = """
import pathlib, sys, time
from celery.app.utils import find_app
module, queue, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
with find_app(module).connection_for_write() as connection:
    channel = connection.channel()
    (folder / "opened").touch()
    for _ in range(300):
        if (folder / "reloaded").exists():
            break
        time.sleep(0.1)
    channel.queue_declare(queue=queue, passive=True)
"""


def stats(balancer):
    found = HAProxyServer(
        balancer.expect("haproxy_stats_bind"),
        user=balancer.expect("haproxy_stats_user"),
        password=balancer.expect("haproxy_stats_password"),
        verify_ssl=balancer.expect("certificate_authority"),
        https=balancer.scheme == "https",
    )
    assert not found.failed
    return found


def test_each_server_is_up(balancer, brokers):
    backends = {backend.name: backend for backend in stats(balancer).backends}
    for listener in balancer.expect("haproxy_listeners"):
        servers = {server.name: server for server in backends[listener["name"]].listeners}
        assert set(servers) == set(listener["servers"])
        assert {server.status for server in servers.values()} == {"UP"}
        # The handshake was checked, not only the connection (L4OK), through TLS where there is any.
        assert {server.check_status for server in servers.values()} == {"L7OK"}


def amqp(balancer):
    """The listeners of AMQP, with TLS or without."""
    return [backend for backend in stats(balancer).backends if backend.name in ("amqp", "amqps")]


def test_a_connection_goes_to_the_server_with_the_fewest(balancer):
    (backend,) = amqp(balancer)
    assert backend.algo == "leastconn"


def test_bytes_are_counted_while_connections_live(balancers):
    """Of two with a shared address one may have no connection."""
    backends = [backend for balancer in balancers for backend in amqp(balancer)]
    busy = [server for backend in backends for server in backend.listeners if server.scur]
    assert busy
    assert all(server.bout > 0 for server in busy)


def test_the_stats_page_needs_its_password(balancer):
    with pytest.raises(urllib.error.HTTPError) as refused:
        balancer.page(balancer.expect("haproxy_stats_bind"))
    assert refused.value.code == 401


def test_metrics_are_served(balancer):
    assert "haproxy_server_status" in balancer.page(f"{balancer.expect('haproxy_stats_bind')}/metrics")


def test_whoever_asks_is_told_that_clients_may_come(balancer):
    assert "200 OK" in balancer.page(f"{balancer.expect('haproxy_stats_bind')}/healthz")


@pytest.mark.disruptive
def test_a_reload_keeps_connections(balancer, publisher, worker):
    folder = publisher.run("mktemp --directory --tmpdir=/var/lib/celery/home")
    publisher.run(f"chown {publisher.expect('celery_app_user')} {folder}")
    main_pid = balancer.run("systemctl show --property=MainPID --value haproxy")
    arguments = [publisher.expect("celery_app_module"), worker.expect("celery_worker_known_queues")[0], folder]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        holder = pool.submit(publisher.app, "python", "-c", HOLD_A_CONNECTION, *arguments)
        publisher.run(f"sh -c 'until [ -e {folder}/opened ]; do sleep 0.1; done'", seconds=30)
        balancer.run("systemctl reload haproxy")
        publisher.run(f"touch {folder}/reloaded")
        assert holder.result().rc == 0, holder.result().stderr
    assert balancer.run("systemctl show --property=MainPID --value haproxy") == main_pid
    publisher.run(f"rm -r {folder}")
