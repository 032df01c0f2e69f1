"""Log in to the daemons whose rendered configuration holds secrets. Runs in the image that `build` makes.

Usage: log_in.py FOLDER ROLES      (FOLDER holds HOST/ROLE/TEMPLATE, ROLES is the repository's roles folder)

FOLDER/log_in.json says with what:

    addresses -- those of the hosts; all daemons run here
    page, redis, monitor -- the passwords of HAProxy's page, and of Redis' users `default` and `monitor`
    results -- the name and the password of Redis' user for results
    prometheus -- the password of Prometheus' page and of Alertmanager's
    files -- the text of each file of the exporter's, by its path
    exporter -- the exporter's arguments

Prints a JSON object:

    haproxy -- the states of the page with its password, and with all of it except the last character
    keepalived -- the password in its adverts
    prometheus -- the states of its page with its password, with all of it but the first character, and without one
    redis -- Redis' answers to the three passwords, and to each without its last character
    ask -- what redis-ask prints of its PING
    exporter -- the line in which the exporter says whether it has logged in
"""

import base64
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SECONDS = 30
# In an IPv4 packet.
VRRP, PROTOCOL, ADDRESSES, AUTHENTICATION = 112, 9, 3, 8
# The rendered line stands in a configuration that needs no other host and no broker.
KEEPALIVED = """
vrrp_instance entry {{
    state MASTER
    interface eth0
    virtual_router_id 5
    priority 200
    advert_int 1
    authentication {{
        auth_type PASS
        {line}
    }}
    virtual_ipaddress {{
        192.0.2.9/32
    }}
}}
"""


@contextlib.contextmanager
def running(*command):
    """A daemon in the foreground."""
    with subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def eventually(attempt):
    """What `attempt` returns, as soon as it raises no OSError."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return attempt()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def page(url, user="", password=""):
    """The state and the text of a page."""
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"} if user else {})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def haproxy(file, password):
    Path("/run/haproxy").mkdir()
    (place,) = re.findall(r"frontend stats\n *bind (\S+)", file.read_text())
    with running("haproxy", "-f", file):
        return [
            eventually(lambda given=given: page(f"http://{place}/;csv", "warren", given)[0])
            for given in (password, password[:-1])
        ]


def prometheus(file, password):
    """Only the first 72 characters of the password count."""
    Path("/etc/prometheus/prometheus.yml").write_text("{}")
    place = "127.0.0.1:9090"
    with running(
        "prometheus", f"--web.config.file={file}", f"--web.listen-address={place}", "--storage.tsdb.path=/tmp/tsdb"
    ):
        url = f"http://{place}/api/v1/status/buildinfo"
        return [
            eventually(lambda login=login: page(url, *login)[0])
            for login in (("warren", password), ("warren", password[1:]), ())
        ]


def keepalived(file):
    (line,) = re.findall(r"^ *(auth_pass .*)$", file.read_text(), re.MULTILINE)
    Path("/tmp/keepalived.conf").write_text(KEEPALIVED.format(line=line))
    for words in (
        ["link", "add", "eth0", "type", "veth", "peer", "name", "peer0"],
        ["address", "add", "192.0.2.1/24", "dev", "eth0"],
        ["link", "set", "eth0", "up"],
        ["link", "set", "peer0", "up"],
    ):
        subprocess.run(["ip", *words], check=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as peer:
        peer.bind(("peer0", 0x0800))
        peer.settimeout(SECONDS)
        with running("keepalived", "--dont-fork", "--use-file=/tmp/keepalived.conf"):
            packet = b""
            while packet[PROTOCOL : PROTOCOL + 1] != bytes([VRRP]):
                packet = peer.recv(2000)
    advert = packet[4 * (packet[0] & 15) :]
    return advert[AUTHENTICATION + 4 * advert[ADDRESSES] :][:8].rstrip(b"\0").decode()


def log_in(place, *login):
    """Redis' answer to AUTH."""
    words = [word.encode() for word in ("AUTH", *login)]
    with socket.create_connection(place, SECONDS) as client:
        client.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return client.recv(1000).decode().split()[0]


def redis(file, roles, given):
    config = Path("/etc/redis/redis-tested.conf")
    shutil.copy(file, config)
    (users,) = re.findall(r"(?m)^include (\S+)$", file.read_text())
    shutil.copy(file.with_name("users.conf"), users)
    Path("/etc/redis/password-tested").write_text(given["redis"])
    place = re.search(r"(?m)^bind (\S+)\nport (\d+)$", file.read_text()).groups()
    listens = given["exporter"][0].partition("=")[2]
    for path, text in given["files"].items():
        Path(path).write_text(text)
    with running("redis-server", config), running("prometheus-redis-exporter", *given["exporter"]):
        passwords = [(given["redis"],), ("monitor", given["monitor"]), tuple(given["results"])]
        passwords += [(*login[:-1], login[-1][:-1]) for login in passwords]
        return {
            "redis": [eventually(lambda login=login: log_in(place, *login)) for login in passwords],
            "ask": subprocess.run(
                ["sh", roles / "redis/files/redis-ask", "tested", "PING"], capture_output=True, text=True, check=False
            ).stdout,
            "exporter": re.findall("(?m)^redis_up .*$", eventually(lambda: page(f"http://{listens}/metrics")[1])),
        }


def main():
    folder, roles = map(Path, sys.argv[1:])
    given = json.loads((folder / "log_in.json").read_text())
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in given["addresses"]:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    said = {
        "haproxy": haproxy(folder / "lb1/haproxy/haproxy.cfg", given["page"]),
        "prometheus": prometheus(folder / "mon1/prometheus/web.yml", given["prometheus"]),
        "keepalived": keepalived(folder / "lb1/keepalived/keepalived.conf"),
        **redis(folder / "mon1/redis/redis.conf", roles, given),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
