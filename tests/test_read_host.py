"""The module read_host reads what a host has that the kit could collide with."""

import hashlib
import importlib.util
import os
import pwd
import socket

import kit
import pytest
from kit import PROJECT

MODULE = PROJECT / "plugins/modules/read_host.py"
SPEC = importlib.util.spec_from_file_location("read_host", MODULE)
read_host = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(read_host)

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B39CB0A:238C 00000000:0000 0A 00000000:00000000 00:00000000 00000000   107        0 111 1 0 100 0 0 10 0
   1: 0B39CB0A:0016 0139CB0A:B6F2 01 00000000:00000000 02:000A 00000000     0        0 222 2 0 20 4 30 10 -1
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr
   0: 00000000000000000000000000000000:1628 00000000000000000000000000000000:0000 0A 0:0 00:0 0   105        0 333 1
   1: 0000000000000000FFFF00000B39CB0A:1F40 00000000000000000000000000000000:0000 0A 0:0 00:0 0   105        0 444 1
   2: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0   105        0 555 1
"""


def read(**given):
    """Run the module as Ansible does."""
    return kit.run_module(MODULE, **given)


def test_sockets_that_take_connections_are_read_and_no_others():
    assert read_host.listeners(TCP) == {"111": {"address": "10.203.57.11", "port": 9100}}
    assert read_host.listeners(TCP6) == {
        "333": {"address": "::", "port": 5672},
        "444": {"address": "10.203.57.11", "port": 8000},
        "555": {"address": "::1", "port": 8080},
    }


def processes(folder, **about):
    """What the module reads in a folder such as /proc; of each process are given its group, its name, its sockets."""
    for number, (group, name, *sockets) in about.items():
        process = folder / number.removeprefix("pid")
        (process / "fd").mkdir(parents=True)
        (process / "cgroup").write_text(group)
        (process / "comm").write_text(f"{name}\n")
        for place, inode in enumerate(["null", *sockets]):
            (process / "fd" / str(place)).symlink_to(f"socket:[{inode}]" if inode != "null" else "/dev/null")
    (folder / "meminfo").touch()
    return read_host.processes(folder, {"1", "2"})


@pytest.mark.parametrize(
    ("top", "line"),
    [("", "0::{}\n"), ("/docker/8a9b", "0::{}\n"), ("", "9:name=systemd:{}\n8:pids:/\n1:cpu:/\n0::/\n")],
)
def test_a_socket_belongs_to_programs_and_their_services(tmp_path, top, line):
    def group(path):
        return line.format(top + path)

    services, holders = processes(
        tmp_path,
        pid1=(group("/init.scope"), "systemd", "1"),
        pid7=(group("/system.slice/epmd.service"), "epmd", "1", "9"),
        pid8=(group("/system.slice/system-redis\\x2dserver.slice/redis-server@locks.service"), "redis-server", "2"),
        pid9=(group("/user.slice/user-0.slice/session-3.scope"), "nc", "2"),
        pid10=(group("/machine.slice/libpod-1.scope/system.slice/haproxy.service"), "haproxy"),
        pid11=(group("/system.slice/docker.service/inner"), "dockerd"),
    )
    # A service of a container is none of the host's.
    assert services == {"epmd.service", "redis-server@locks.service", "docker.service"}
    assert holders == {
        "1": {"systemd", "epmd", "epmd.service"},
        "2": {"redis-server", "redis-server@locks.service", "nc"},
    }


def test_a_neighbour_answers_where_the_kernel_knows_its_card():
    table = (
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "10.203.57.20     0x1         0x2         ee:0b:fe:38:2a:0d     *        eth0\n"
        "10.203.57.99     0x1         0x0         00:00:00:00:00:00     *        eth0\n"
    )
    asked = ("10.203.57.20", "10.203.57.99", "10.203.57.2")
    assert [read_host.has_answered(address, table) for address in asked] == [True, False, False]


@pytest.mark.parametrize(
    ("client", "found"),
    [("192.0.2.9 41000 10.0.0.5 2222", "192.0.2.9"), ("2001:db8::9 41000 2001:db8::5 2222", "2001:db8::9")],
)
def test_the_way_in_is_that_of_a_process_above(tmp_path, client, found):
    """sudo has emptied the module's own environment. A process's name may look like anything."""
    for pid, parent, environment in ((1, 0, ""), (20, 1, f"SSH_CONNECTION={client}"), (30, 20, ""), (40, 30, "")):
        process = tmp_path / str(pid)
        process.mkdir()
        (process / "environ").write_bytes(f"HOME=/root\0{environment}\0".encode())
        (process / "stat").write_text(f"{pid} (a) S 1 (b) S {parent} 1 1")
    assert read_host.way_in(tmp_path, 40) == {"address": found, "port": 2222}
    (tmp_path / "20/environ").write_bytes(b"")
    assert read_host.way_in(tmp_path, 40) == read_host.way_in(tmp_path, 77) == {}


def test_local_facts_are_read(tmp_path):
    """Roles look there for what is installed. Without them, each run would call apt everywhere."""
    (tmp_path / "packages.fact").write_text('["haproxy"]\n')
    found = read(facts=["local"], fact_path=str(tmp_path))
    assert found["ansible_facts"]["ansible_local"] == {"packages": ["haproxy"]}


def test_this_machine_is_read(tmp_path):
    """As far as a test knows it."""
    (tmp_path / "ours").write_text("# Ansible managed\n")
    (tmp_path / "theirs").write_text("# Mine\n")
    me = pwd.getpwuid(os.geteuid())
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = read(
            users=[me.pw_name, "nobody-of-this-name"],
            files=[f"{tmp_path}/o*", f"{tmp_path}/theirs", f"{tmp_path}/nothing", str(tmp_path)],
            digests=[f"{tmp_path}/ours", f"{tmp_path}/nothing"],
            neighbour="127.0.0.1",
            fresh=[str(tmp_path)],
        )
        port = server.getsockname()[1]
    (mine,) = [one for one in found["listening"] if one["port"] == port]
    assert mine["address"] == "127.0.0.1" and mine["programs"]
    assert "127.0.0.1" in [one["address"] for one in found["addresses"]]
    assert found["users"] == {me.pw_name: {"home": me.pw_dir, "shell": me.pw_shell}}
    assert found["files"] == {
        str(tmp_path): {"owner": me.pw_name},
        f"{tmp_path}/ours": {"owner": me.pw_name},
        f"{tmp_path}/theirs": {"owner": me.pw_name},
    }
    assert found["digests"] == {f"{tmp_path}/ours": hashlib.sha256(b"# Ansible managed\n").hexdigest()}
    assert found["memory_bytes"] > 10**8
    assert (found["answered"], found["changed"]) == (False, False)
