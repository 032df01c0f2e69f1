"""No service's user becomes root by way of a folder in which root works.

A whole deployment, the timers and a rotation of the logs are watched on every host: root opens nothing that lies below
a folder which a service's user may write. Then the traps themselves: what an earlier version of the kit left open is
put right or refused, and nothing outside of it is touched.
"""

import json
import re
import shlex
from pathlib import Path

import pytest

pytestmark = pytest.mark.disruptive

SCRIPTS = Path(__file__).parent / "host_scripts"
# Not postgres: tools of Debian, such as pg_lsclusters, read its folders as root, and systemd starts it by one of them.
SERVICE_USERS = ("rabbitmq", "redis", "prometheus", "haproxy", "keepalived_script")

# systemd-tmpfiles is made for folders such as /tmp: it follows no link in them. The kernel cuts its name.
CLEANER, CLEANED = "systemd-tmpfile", ["/var/lib/celery/tmp", "/var/lib/celery/web/tmp"]


def users_of(member):
    return [member.expect("celery_app_user"), member.expect("web_user"), *SERVICE_USERS]


def run_script(member, name, *arguments):
    script = shlex.quote((SCRIPTS / name).read_text())
    return member.run("sh -c %s", f"printf %s {script} | python3 - {shlex.join(arguments)}", seconds=120)


def below(path, folders):
    """Whether a path lies in one of some folders, at any depth."""
    return any(path.startswith(folder.rstrip("/") + "/") for folder in folders)


@pytest.mark.lengthy
def test_root_opens_nothing_where_a_service_may_write(watched, all_members):
    """And what is opened there on purpose is noticed."""
    found, expected = {}, {}
    for member in all_members:
        writable = json.loads(run_script(member, "writable.py", *users_of(member)))
        folders = [path for paths in writable.values() for path in paths]
        opened = [line.partition("\t")[::2] for line in watched.opened[member.name].splitlines()]
        found[member.name] = sorted(
            f"{path} by {name}"
            for path, name in opened
            if below(path, folders) and not (name == CLEANER and below(path, CLEANED))
        )
        bait = watched.baits.get(member.name)
        expected[member.name] = [f"{bait} by touch"] if bait else []
    assert found == expected
    assert any(expected.values())


# What a service's user tries: {path} is a folder or file in which, or as which, root works.
TRIES = {
    "a link in the place of the folder": "mv {path} {path}.kept && ln -s /root/victim {path}",
    "a link in it": "ln -s /root/victim/file {path}/trap.log",
    "a file of its own": "touch {path}/trap.conf",
    "a program with root's rights": "cp /bin/sh {path}/trap.sh && chmod 4755 {path}/trap.sh",
}
WHERE_ROOT_WORKS = [
    "/etc/celery",
    "/etc/prometheus",
    "/etc/rabbitmq",
    "/etc/redis",
    "/etc/supervisor",
    "/etc/systemd/system",
    "/opt/celery",
    "/usr/local/sbin",
    "/var/lib/celery",
    "/var/lib/celery-build",
    "/var/lib/prometheus",
    "/var/lib/rabbitmq",
    "/var/log/celery",
    "/var/log/redis",
    "/var/log/supervisor",
    "/run",
]


def test_no_service_may_write_where_root_works(member):
    # In a folder that the host lacks, all of them fail.
    tries = [
        f"({command.format(path=path)}) >/dev/null 2>&1 && echo {shlex.quote(f'{what} at {path}')}"
        for path in WHERE_ROOT_WORKS
        for what, command in TRIES.items()
    ]
    # Each user that exists says its name, and what succeeds.
    script = shlex.quote("\n".join(["id --user --name", *tries, "true"]))
    command = f"setpriv --reuid=$user --regid=$user --init-groups -- sh -c {script}"
    users = users_of(member)
    each = f"for user in {shlex.join(users)}; do if id $user >/dev/null 2>&1; then {command}; fi; done"
    said = member.run("sh -c %s", each).splitlines()
    assert said
    assert set(said) <= set(users), said


def test_settings_and_releases_are_roots(worker):
    """A user who may change what a program starts with needs no trap."""
    name = worker.expect("celery_app_name")
    foreign = worker.run(f"find /etc/celery/{name} /opt/celery/{name} ! -user root -o -perm /6022 ! -type l")
    assert foreign == ""


def as_user(member, user, script):
    """What a script prints that runs as a user."""
    return member.run(f"setpriv --reuid={user} --regid={user} --init-groups -- sh -c %s", script)


# What a worker's user tries on the site: {pid} is its process.
TRIES_ON_THE_SITE = {
    "read its settings": "cat {settings}/webconfig.py",
    "list its settings": "ls {settings}",
    "change its settings": "touch {settings}/webconfig.py",
    "change its release": "touch {release}/trap.py",
    "read its files": "ls /var/lib/celery/web/home",
    "write its files": "touch /var/lib/celery/web/home/trap /var/lib/celery/web/trap",
    "write its temporary files": "touch /var/lib/celery/web/tmp/trap",
    "write its static files": "touch {static}/trap",
    "write its log": "echo trap >> /var/log/celery/web.log",
    "stop it": "kill -0 {pid}",
    "read its environment": "cat /proc/{pid}/environ",
    "read its memory": "head -c 1 /proc/{pid}/mem",
    "look at what it has open": "ls /proc/{pid}/fd/",
}


@pytest.mark.django
def test_a_worker_can_neither_change_nor_stop_the_site(site):
    pid = site.pid("web")
    environment = dict(
        word.partition("=")[::2] for word in site.run(f"cat /proc/{pid}/environ").split("\0") if "=" in word
    )
    places = {
        "pid": pid,
        "settings": environment["CELERY_EXTRA_SETTINGS"],
        "release": environment["PATH"].partition(":")[0],
        "static": site.expect("celery_app_environment").get("STATIC_ROOT", "/var/lib/celery/web/home"),
    }
    tries = "\n".join(
        f"({command.format(**places)}) >/dev/null 2>&1 && echo {shlex.quote(what)}"
        for what, command in TRIES_ON_THE_SITE.items()
    )
    worker, own = site.expect("celery_app_user"), site.expect("web_user")
    assert worker != own
    assert as_user(site, worker, f"{tries}\ntrue") == ""
    # The site itself may do most of that, so it is the user that is refused.
    may = set(
        as_user(site, own, f"{tries}\ntrue; rm -f {places['static']}/trap /var/lib/celery/web/*/trap").splitlines()
    )
    assert may >= {"read its settings", "write its static files", "write its temporary files", "stop it"}
    assert not may & {"change its settings", "change its release", "write its log"}


@pytest.mark.django
def test_the_site_can_neither_change_nor_stop_a_worker(site):
    pid = site.pid(site.expect("celery_worker_programs")[0]["name"])
    tries = [
        f"kill -0 {pid}",
        f"cat /proc/{pid}/environ",
        *(f"touch /var/lib/celery/{name}/trap" for name in ("home", "tmp")),
    ]
    script = "\n".join(f"({one}) >/dev/null 2>&1 && echo {shlex.quote(one)}" for one in tries)
    assert as_user(site, site.expect("web_user"), f"{script}\ntrue") == ""


@pytest.mark.django
def test_the_site_has_its_own_user_and_folders(site):
    pid, user = site.pid("web"), site.expect("web_user")
    assert site.run(f"ps -o user:32= -p {pid}").strip() == user
    assert {"HOME=/var/lib/celery/web/home", "TMPDIR=/var/lib/celery/web/tmp"} <= set(
        site.run(f"cat /proc/{pid}/environ").split("\0")
    )
    for name in ("home", "tmp"):
        folder = site.host.file(f"/var/lib/celery/web/{name}")
        assert (folder.user, folder.group, folder.mode) == (user, user, 0o700)


def test_what_root_runs_of_the_project_has_no_terminal_of_roots(worker):
    """In a terminal that `script` makes, as root has one."""
    run = f"/opt/celery/{worker.expect('celery_app_name')}/run"
    # Once in a terminal of its own, once beside a pipe, where there is none.
    lines = f"tty; {run} tty; {run} sh -c ': </dev/tty' 2>&1 | cat"
    shown = worker.run("script --quiet --return --command %s /dev/null", lines)
    terminals = re.findall("/dev/pts/[0-9]+", shown)
    assert len(set(terminals)) == len(terminals) == 2, shown
    assert "cannot open /dev/tty" in shown


@pytest.mark.cluster
@pytest.mark.lengthy
def test_what_an_earlier_version_left_open_is_put_right_or_refused(monitors, workers, playbook):
    """The folders belong to the project's user again, who has laid a link for each in which root would work."""
    monitor, worker = monitors[0], workers[0]
    user = worker.expect("celery_app_user")
    for host in (monitor, worker):
        host.run("mkdir -p /root/victim")
        host.run("sh -c 'echo mine > /root/victim/file'")
        host.run(f"chown {user}: /var/log/celery /var/lib/celery")
    monitor.run("supervisorctl stop flower-presence")
    as_user(
        monitor,
        user,
        "cd /var/log/celery && mv flower-presence.log kept.log && ln -s /root/victim/file flower-presence.log",
    )
    as_user(monitor, user, "mkfifo /var/log/celery/trap.log")
    worker.run("supervisorctl stop beat")
    as_user(
        worker, user, "mv /var/lib/celery/beat /var/lib/celery/beat.kept && ln -s /root/victim /var/lib/celery/beat"
    )
    try:
        output, _ = playbook("playbooks/site.yml", "--tags", "flower,celery_beat", expect_success=False)
        # What could be put right is; a link that may be wanted is not removed.
        assert "/var/lib/celery/beat is a link to /root/victim" in " ".join(output.split())
        assert "`rm /var/lib/celery/beat` on this host" in " ".join(output.split())
        for host in (monitor, worker):
            assert host.run("stat --format=%U:%a /var/log/celery /var/lib/celery").split() == ["root:750", "root:755"]
            assert host.run("stat --format=%U:%a /root/victim /root/victim/file").split() == ["root:755", "root:644"]
            assert host.run("cat /root/victim/file") == "mine"
        assert monitor.run("find /var/log/celery ! -type f").splitlines() == ["/var/log/celery"]
    finally:
        worker.run("sh -c 'rm /var/lib/celery/beat && mv /var/lib/celery/beat.kept /var/lib/celery/beat'")
        # site.yml starts what has changed, and nothing that somebody has stopped.
        monitor.run("supervisorctl start flower-presence")
        worker.run("supervisorctl start beat")
        playbook("playbooks/site.yml", "--tags", "flower,celery_beat")
    assert monitor.run("cat /root/victim/file") == "mine"
    for host in (monitor, worker):
        host.run("rm -r /root/victim")
    playbook("playbooks/health.yml")
