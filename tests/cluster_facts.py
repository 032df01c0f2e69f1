"""What a small cluster answers to playbooks/status/ask.yml, for the tests of status.yml's and verify.yml's scripts."""

import copy
import json

import kit

# What every command of the lab begins with.
COMMAND = "ansible-playbook -i inventory/kit -i inventory/lab.yml"
QUEUE = {
    "type": "classic",
    "answers": True,
    "ready": 3,
    "unacknowledged": 1,
    "consumers": 2,
    "in_per_second": 10.0,
    "out_per_second": 9.96,
    "oldest_message_time": None,
    "ttl_milliseconds": None,
    "max_length": None,
    "expires_milliseconds": None,
    "mirrors": ["mq2"],
    "synchronised": ["mq2"],
}
POLICY = {"name": "ha", "pattern": "^default$", "priority": 10, "definition": {"ha-mode": "all"}}
EVENTS = QUEUE | {
    "name": "celeryev.1",
    "ready": 0,
    "mirrors": [],
    "synchronised": [],
    "ttl_milliseconds": 5000,
    "max_length": 10000,
    "expires_milliseconds": 60000,
}
BROKER = {
    "state": "running",
    "version": "3.10.8",
    "uptime_seconds": 3725,
    "members": ["rabbit@mq1", "rabbit@mq2"],
    "running": ["rabbit@mq1", "rabbit@mq2"],
    "partitions": [],
    "alarms": [],
    "memory_bytes": 136 * 1024**2,
    "memory_limit_bytes": 512 * 1024**2,
    "disk_free_bytes": 2 * 1024**3,
    "disk_limit_bytes": 512 * 1024**2,
    "connections": 4,
    "waiting_connections": 0,
    "consumer_timeout_milliseconds": 1800000,
    "file_handles": 20,
    "file_handles_limit": 1000,
    "plugins": ["rabbitmq_prometheus"],
    "policies": [POLICY | {"vhost": "warren", "apply-to": "queues"}],
    "permissions": [{"user": "celery", "configure": "c", "write": "w", "read": "r"}],
    "users": [{"user": "celery", "tags": []}],
    "leads": [],
}
SERVER = {
    "backend": "amqp",
    "name": "mq1",
    "status": "UP",
    "check": "L7OK",
    "sessions": 5,
    "bytes_in": 2048,
    "bytes_out": 10,
    "since_seconds": 61,
}
PROGRAM = {
    "state": "RUNNING",
    "pid": 7,
    "uptime_seconds": 60,
    "exits": 0,
    "answering": True,
    "idle": None,
    "error": None,
    "pool": "prefork",
    "concurrency": 2,
    "prefetch": 2,
    "active": 1,
    "reserved": 0,
    "done": 5,
    "memory_bytes": 1024**2,
    "zombies": 0,
    "largest_child_bytes": 1024**2,
    "arguments": ["celery", "worker", "--without-gossip"],
}
HOST = {
    "time": 1795660000.5,
    "inodes_used": [0.04, "/"],
    "conntrack_used": 0.1,
    "kernel_wrong": [],
    "firewall": "as deployed",
    "unconfined": [],
    "unresolved": [],
}
UP = {"metric": {"__name__": "up", "job": "node", "instance": "w1"}, "value": [1795660000, "1"]}
BEAT = {
    "state": "RUNNING",
    "error": None,
    "locked": False,
    "looks_at": None,
    "last_task_sent_at": None,
    "last_task": None,
}
ACTIVE = {"locked": True, "looks_at": 1795660003.0, "last_task_sent_at": "2026-11-26 03:00:00", "last_task": "nightly"}
REDIS = {
    "port": 6380,
    "error": None,
    "version": "7.0.15",
    "memory_bytes": 1024**2,
    "memory_limit_bytes": 4 * 1024**2,
    "eviction_policy": "noeviction",
    "clients": 2,
    "uptime_seconds": 61,
    "databases": {"0": {"keys": 3, "expire": 0}, "1": {"keys": 1, "expire": 1}},
}
USERS = ["migrations-0123", "programs-4567"]
DATABASE = {"name": "warren", "version": "15.14", "connections": 3, "size_bytes": 8 * 1024**2}


def said(text, rc=0):
    return {"rc": rc, "stdout": text, "stderr": ""}


def broker(*leads, **more):
    return said(json.dumps(BROKER | {"leads": list(leads)} | more))


def without(answer, field):
    """The answer of an older script, which prints no such field."""

    def older(value):
        if isinstance(value, dict):
            return {key: older(item) for key, item in value.items() if key != field}
        return [older(item) for item in value] if isinstance(value, list) else value

    return answer | {"stdout": json.dumps(older(json.JSONDecoder().raw_decode(answer["stdout"])[0]))}


def worker(**more):
    return said(json.dumps({"default": PROGRAM | more}))


def host(**more):
    return said(json.dumps(HOST | more))


def beat(**more):
    return said(json.dumps(BEAT | more))


def certificates(**more):
    return said(json.dumps({"host": 396.2, "authority": 3649.1, "fits": True} | more))


def keepalived(state="active", holds=True):
    return said(json.dumps({"state": state, "holds_address": holds}))


def redis(**more):
    """What a host says of the instance of the locks."""
    return said(json.dumps({"locks": REDIS | more}))


def databases(*found, superusers=(), users=USERS):
    # With a line for each, as json_agg writes them.
    listed = "[" + ", \n ".join(map(json.dumps, found)) + "]"
    return said(f'{{"databases" : {listed}, "superusers" : {json.dumps(superusers)}, "users" : {json.dumps(users)}}}\n')


def project(release="1", **programs):
    """What a host of the project says; `programs` are pairs of what is wanted and what runs."""
    found = {name: {"wanted": wanted, "running": running} for name, (wanted, running) in programs.items()}
    return said(json.dumps({"release": release, "programs": found}))


def cluster_facts():
    """The facts of a cluster in which all is well."""
    return copy.deepcopy(
        {
            "environment": "lab",
            "scheduler": "redbeat",
            "shared_address": "192.0.2.20",
            "time": 1795660000.0,
            "task_queues": ["default"],
            "groups": {
                "rabbitmq": ["mq1", "mq2"],
                "celery": ["w1", "w2"],
                "haproxy": ["lb1"],
                "celery_workers": ["w1"],
                "celery_beat": ["w1", "w2"],
                "redis": ["mon1"],
                "monitoring": ["mon1"],
                "postgresql": ["mon1"],
                "web": ["mon1"],
            },
            "programs": {"w1": [{"name": "default", "queues": ["default"]}]},
            "vhost": "warren",
            "asked": {name: (1795660000.0, 1795660001.0) for name in ("mq1", "mq2", "lb1", "w1", "w2", "mon1")},
            "expected": {
                "policies": [POLICY],
                "users": [{"name": "celery", "configure": "c", "write": "w", "read": "r"}],
                "page_user": "look",
                "longest_task_seconds": 300,
                "longest_countdown_seconds": 0,
                "prefetch_multiplier": 1,
                "child_memory_kib": 262144,
                "arguments": ["--without-gossip"],
                "databases": ["warren"],
                "database_users": USERS,
                "scraped": {"node": ["w1"]},
            },
            "thresholds": kit.THRESHOLDS,
            "commands": {
                "verify": f"{COMMAND} playbooks/verify.yml",
                "deploy": f"{COMMAND} playbooks/site.yml --tags",
                "parked": f"{COMMAND} playbooks/parked.yml",
                "heal": f"{COMMAND} playbooks/drills/heal.yml",
                "page_off": f"{COMMAND} playbooks/management.yml -e state=off",
            },
            "answers": {
                "mq1": {
                    "host": host(),
                    "certificate": certificates(),
                    "rabbitmq": broker(QUEUE | {"name": "default"}, EVENTS),
                },
                "mq2": {"host": host(), "rabbitmq": broker()},
                "lb1": {
                    "host": host(),
                    "keepalived": keepalived(),
                    "haproxy": {"servers": [SERVER, SERVER | {"name": "mq2"}]},
                },
                "w1": {
                    "host": host(),
                    "celery_worker": worker(),
                    "celery_beat": beat(),
                    "celery_app": project(default=("a", "a"), beat=("b", "b")),
                },
                "w2": {"host": host(), "celery_beat": beat(**ACTIVE), "celery_app": project(beat=("b", "b"))},
                "mon1": {
                    "host": host(),
                    "redis": redis(),
                    "flower": {"status": 200, "json": {"default@w1": True}},
                    "prometheus": {"status": 200, "json": {"data": {"result": [UP]}}},
                    "postgresql": databases(DATABASE),
                    "web": {"status": 200},
                },
            },
        }
    )
