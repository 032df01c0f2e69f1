"""Each user of Redis can do what its purpose needs, and nothing else: real clients of a real Redis."""

import contextlib
import hashlib
import json
import subprocess
import sys
import time

import kit
import pytest
import urls
from celery import Celery
from credentials import user_of_purpose
from kit import PROJECT
from rabbitmq import free_port
from redbeat import schedulers
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError
from redis.lock import Lock
from redis.retry import Retry
from redis_users import redis_user_lines
from test_stores_tls import once

# A client that gives up at once.
ONCE = Retry(NoBackoff(), 0)
ADMINISTRATOR, MONITOR = "administr@tor's é", "figures' 7"
PASSWORDS = {"results": "re%sults /", "locks": 'lo"cks\\', "schedule": "sche@dule"}
# Of every instance, whatever else the user may do.
NOBODYS = [
    ["FLUSHALL"],
    ["FLUSHDB"],
    ["CONFIG", "GET", "*"],
    ["CONFIG", "SET", "dir", "/tmp"],
    ["ACL", "LIST"],
    ["ACL", "SETUSER", "me", "on"],
    ["KEYS", "*"],
    ["SCAN", "0"],
    ["MONITOR"],
    ["SHUTDOWN"],
    ["SAVE"],
    ["REPLICAOF", "192.0.2.1", "6379"],
    ["MODULE", "LIST"],
    ["CLIENT", "LIST"],
    ["INFO"],
    ["EVAL", "return 1", "0"],
    ["SCRIPT", "FLUSH"],
    ["FUNCTION", "LIST"],
    ["RANDOMKEY"],
    ["SWAPDB", "0", "1"],
    ["GET", "somebody's"],
    ["SET", "somebody's", "1"],
    ["DEL", "somebody's"],
    ["SUBSCRIBE", "*"],
    ["PUBLISH", "somebody's", "1"],
]


def users(**passwords):
    """The input of the role, for one instance."""
    return [
        {
            "instance": "tested",
            "purpose": purpose,
            "name": user_of_purpose(purpose, password),
            "password": password,
        }
        for purpose, password in passwords.items()
    ]


def digest(password):
    return "#" + hashlib.sha256(password.encode()).hexdigest()


class Store:
    """An instance of Redis with a users' file in `folder`, which stands for /etc/redis, and root's commands."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        for name in ("redis-ask", "redis-set-users"):
            text = (PROJECT / f"roles/redis/files/{name}").read_text().replace("/etc/redis/", f"{folder}/")
            script = folder / name
            script.write_text(text)
            script.chmod(0o755)
        self.set_password(ADMINISTRATOR)
        self.write(users(**PASSWORDS))
        config = self.folder / "redis-tested.conf"
        config.write_text(f'bind 127.0.0.1\nport {self.port}\nsave ""\ninclude {folder}/users-tested.conf\n')
        self.process = subprocess.Popen(["redis-server", config], cwd=folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while self.ask("PING").stdout != "PONG\n":
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.1)

    @property
    def file(self):
        return self.folder / "users-tested.conf"

    def set_password(self, password):
        (self.folder / "password-tested").write_text(password)

    def write(self, wanted, password=ADMINISTRATOR, *, keep=False):
        """Write the file of users; with `keep`, those that are there stay."""
        there = self.file.read_text() if keep else ""
        self.file.write_text("\n".join(redis_user_lines(wanted, "tested", password, MONITOR, there)) + "\n")

    def run(self, *command):
        path = f"{self.folder}:/usr/bin:/bin"
        return subprocess.run(
            command, env={"PATH": path}, capture_output=True, text=True, timeout=30, check=False, cwd=self.folder
        )

    def ask(self, *words):
        return self.run("redis-ask", "tested", *words)

    def load(self):
        """Give the instance the users of the file; what the command says."""
        done = self.run("redis-set-users", "tested")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def url(self, purpose, password=None, database=0):
        password = password or PASSWORDS[purpose]
        return urls.redis_url("127.0.0.1", self.port, user_of_purpose(purpose, password), password, database)

    def client(self, user, password):
        return Redis(port=self.port, username=user, password=password, retry=ONCE)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    yield store
    store.process.terminate()
    store.process.wait(10)


def denied(store):
    """What the instance has refused."""
    return store.ask("ACL", "LOG").stdout.strip()


@pytest.mark.parametrize(
    "options",
    [{}, {"global_keyprefix": "shop"}, {"result_chord_ordered": False}],
    ids=lambda options: next(iter(options), "plain"),
)
def test_results_are_kept_and_groups_and_chords_work(store, options):
    done = kit.run(sys.executable, "tests/redis_results.py", store.url("results"), json.dumps(options))
    assert done.returncode == 0, done.stdout + done.stderr
    assert denied(store) == ""


def test_once_only_tasks_are_locked(store):
    url = store.url("locks", database=1)
    once(url)
    # The reference project's.
    lock = Lock(Redis.from_url(urls.celery_once_url(url)), "qo_shop.ship", timeout=60)
    assert lock.acquire(blocking=False) and lock.owned() and lock.locked()
    lock.extend(30)
    lock.reacquire()
    lock.release()
    assert denied(store) == ""


def test_redbeat_keeps_its_schedule_and_its_lock(store, monkeypatch):
    monkeypatch.syspath_prepend(PROJECT / "roles/celery_beat/files")
    import beatlock

    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(
        redbeat_redis_url=store.url("schedule"),
        redbeat_redis_options={"socket_timeout": 5},
        redbeat_key_prefix="redbeat:",
        redbeat_lock_timeout=20,
        beat_schedule={"a": {"task": "a", "schedule": 0.1}, "b": {"task": "b", "schedule": 60}},
    )
    app.task(name="a", shared=False)(denied)

    def begin():
        scheduler = beatlock.Scheduler(app, max_interval=1)
        sender = type("Sender", (), {"scheduler": scheduler})
        schedulers.acquire_distributed_beat_lock(sender)
        return scheduler

    scheduler = begin()
    time.sleep(0.3)
    scheduler.tick()
    assert schedulers.RedBeatSchedulerEntry.from_key("redbeat:a", app=app).last_run_at
    assert [entry.rank for entry in scheduler.schedule.values()]
    # As the health check asks.
    assert schedulers.get_redis(app).pttl("redbeat::lock") > 0
    scheduler.close()
    del app.conf.beat_schedule["b"]
    begin().close()
    assert schedulers.get_redis(app).smembers("redbeat::statics") == {"a"}
    schedulers.RedBeatSchedulerEntry.from_key("redbeat:a", app=app).delete()
    assert denied(store) == ""


def test_the_exporters_user_reads_figures(store):
    client = store.client("monitor", MONITOR)
    assert client.info()["redis_version"] and client.slowlog_len() == 0
    for words in (
        ["GET", "x"],
        ["SET", "x", "y"],
        ["SLOWLOG", "GET"],
        ["CONFIG", "GET", "*"],
        ["ACL", "LIST"],
        ["KEYS", "*"],
    ):
        with pytest.raises(NoPermissionError):
            client.execute_command(*words)


@pytest.mark.parametrize(
    ("purpose", "own", "others"),
    [
        ("results", "celery-task-meta-1", ["qo_shop.pay", "redbeat::lock", "redbeat:a"]),
        ("locks", "qo_shop.pay", ["celery-task-meta-1", "redbeat::lock", "redbeat:a"]),
        ("schedule", "redbeat:a", ["celery-task-meta-1", "qo_shop.pay"]),
    ],
)
def test_a_user_may_do_nothing_else(store, purpose, own, others):
    client = Redis.from_url(store.url(purpose))
    assert client.set(own, "1")
    attempts = NOBODYS + [words for key in others for words in (["GET", key], ["SET", key, "1"], ["DEL", key])]
    allowed = []
    for words in attempts:
        with contextlib.suppress(NoPermissionError):
            allowed.append((words, client.execute_command(*words)))
    assert allowed == []
    # Nor in a script, which says what keys it takes.
    script = client.register_script("return redis.call('GET', 'somebody' .. ARGV[1])")
    with pytest.raises(Exception, match=r"(?i)permission|key"):
        script(args=["'s"])


def test_a_stranger_may_do_nothing(store):
    for login in ({}, {"password": "wrong"}, {"username": "results", "password": PASSWORDS["results"]}):
        with pytest.raises(AuthenticationError):
            Redis(port=store.port, retry=ONCE, **login).ping()


def test_a_file_of_users_has_no_password(store):
    text = store.file.read_text()
    assert [word for word in [ADMINISTRATOR, MONITOR, *PASSWORDS.values()] if word in text] == []
    assert text.count("#") == 5


def test_the_same_users_are_no_change(store):
    assert store.load() == ""
    store.write(users(**PASSWORDS), keep=True)
    assert store.load() == ""


def test_former_and_new_passwords_are_good_until_the_former_users_are_removed(store):
    """Nobody is disconnected whose user stays, and a restart in between changes nothing."""
    new = PASSWORDS | {"results": "another one"}
    locks, former = (Redis.from_url(store.url(purpose), retry=ONCE) for purpose in ("locks", "results"))
    subscribed = former.pubsub()
    subscribed.subscribe("celery-task-meta-b")
    ids = [locks.execute_command("CLIENT", "SETNAME", "x"), former.set("celery-task-meta-a", "5")]
    assert all(ids)
    connected = store.ask("CLIENT", "LIST").stdout.count("\n")

    store.write(users(**new), keep=True)
    assert store.load() == "changed\n"
    assert store.load() == ""
    assert store.ask("CLIENT", "LIST").stdout.count("\n") == connected
    later = Redis.from_url(store.url("results", "another one"), retry=ONCE)
    for each in (former, later):
        assert each.get("celery-task-meta-a") == b"5"
    subscribed.get_message(timeout=5)
    later.publish("celery-task-meta-b", "6")
    assert subscribed.get_message(timeout=5)["channel"] == b"celery-task-meta-b"

    # A second change before the first former user has gone.
    newest = PASSWORDS | {"results": "one more"}
    store.write(users(**newest), keep=True)
    assert store.load() == "changed\n"
    for password in (PASSWORDS["results"], "another one", "one more"):
        assert Redis.from_url(store.url("results", password)).ping()

    store.write(users(**newest))
    assert store.load() == "changed\n"
    assert store.load() == ""
    assert locks.execute_command("CLIENT", "SETNAME", "y")
    for password in (PASSWORDS["results"], "another one"):
        with pytest.raises(AuthenticationError):
            Redis.from_url(store.url("results", password), retry=ONCE).ping()
    with pytest.raises(AuthenticationError):
        former.ping()
    assert Redis.from_url(store.url("results", "one more")).get("celery-task-meta-a")


def test_the_administrators_password_changes_without_a_restart(store):
    store.write(users(**PASSWORDS), "a new one", keep=True)
    assert store.load() == "changed\n"
    assert store.ask("PING").stdout == "PONG\n"
    store.set_password("a new one")
    assert store.ask("PING").stdout == "PONG\n"
    store.write(users(**PASSWORDS), "a new one")
    assert store.load() == "changed\n"
    assert store.ask("PING").stdout == "PONG\n"
    with pytest.raises(AuthenticationError):
        store.client("default", ADMINISTRATOR).ping()


def test_what_redis_refuses_is_said(store):
    before = store.ask("ACL", "LIST").stdout
    store.file.write_text(store.file.read_text() + f"user odd reset on {digest('x')} resetchannels +no_such_command\n")
    done = store.run("redis-set-users", "tested")
    assert done.returncode == 1
    assert "no_such_command" in done.stderr
    store.set_password("wrong")
    done = store.run("redis-set-users", "tested")
    assert (done.returncode, done.stdout) == (1, "")
    assert "NOAUTH" in done.stderr
    store.set_password(ADMINISTRATOR)
    assert store.ask("ACL", "LIST").stdout == before


def test_each_instance_has_its_own_users():
    wanted = users(**PASSWORDS)
    wanted[1]["instance"] = wanted[2]["instance"] = "other"
    names = [line.split()[1] for line in redis_user_lines(wanted, "tested", "a", "")]
    assert names == ["default", wanted[0]["name"]]
    names = [line.split()[1] for line in redis_user_lines(wanted, "other", "a", "b")]
    assert names == ["default", "monitor", wanted[1]["name"], wanted[2]["name"]]
