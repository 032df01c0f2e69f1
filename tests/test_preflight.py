"""Each wrong input stops preflight before anything is changed, with a sentence that says what to type.

The hosts are this machine under other names. All cases run at the start, a few at a time; each test looks at one.
"""

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import kit
import pytest
import yaml
from kit import PROJECT

pytestmark = pytest.mark.lengthy

# A worker program for both queues, of a fixed size and of a changing one.
PROGRAM = {"name": "all", "queues": ["default", "slow"], "concurrency": 1}
SCALED = {"name": "all", "queues": ["default", "slow"], "autoscale": {"min": 1, "max": 2}}
# The wanted words, in their order, and what the case changes: groups (host to variables), group_vars, or -e.
CASES = {
    "no brokers": (
        ["has no brokers", "add at least one host under `rabbitmq:`"],
        {"groups": {"rabbitmq": {}}},
    ),
    "no load balancers": (
        ["has no load balancers", "add at least one host under `haproxy:`"],
        {"groups": {"haproxy": {}, "rabbitmq": {"mq1": {}, "mq2": {}, "mq3": {}}}},
    ),
    "a shared address and one load balancer": (
        ["`cluster_vip` is 192.0.2.9", "two hosts or more under `haproxy:`"],
        {"variables": {"cluster_vip": "192.0.2.9"}},
    ),
    "a shared address that is a host's": (
        ["`cluster_vip` is 192.0.2.1, and lb1, lb2 would hold it", "no host's own"],
        {
            "groups": {"haproxy": {"lb1": {}, "lb2": {"ansible_host": "192.0.2.2"}}},
            "variables": {"cluster_vip": "192.0.2.1"},
        },
    ),
    "a shared address by name": (
        ["`cluster_vip` is entry.example.com", "IPv4 address"],
        {
            "groups": {"haproxy": {"lb1": {}, "lb2": {"ansible_host": "192.0.2.2"}}},
            "variables": {"cluster_vip": "entry.example.com"},
        },
    ),
    "a VRRP group without a number": (
        ["number from 1 to 255 (`cluster_vip_router_id`, which is 300)"],
        {
            "groups": {"haproxy": {"lb1": {}, "lb2": {"ansible_host": "192.0.2.2"}}},
            "variables": {"cluster_vip": "192.0.2.9", "cluster_vip_router_id": 300},
        },
    ),
    "a password with which VRRP's configuration would break": (
        ["at most eight characters, none of them a space or a double quote (`secret_keepalived`)"],
        {
            "groups": {"haproxy": {"lb1": {}, "lb2": {"ansible_host": "192.0.2.2"}}},
            "variables": {"cluster_vip": "192.0.2.9", "keepalived_password": 'a"b'},
        },
    ),
    "a worker without a HAProxy of its own": (
        ["Each HAProxy serves its own host alone", "w2 has none", "under `haproxy:` too"],
        {"groups": {"haproxy": {"w1": {}}, "celery_workers": {"w1": {}, "w2": {}}}},
    ),
    "a HAProxy on a broker": (
        ["both listen on port 5672 of mq1", "take it out of `haproxy:`"],
        {"groups": {"haproxy": {"mq1": {}}}},
    ),
    "a share in per cent": (
        ["`cluster_threshold_inodes_share` is 80; give it a number above 0, and 1 at most.", "in your group_vars"],
        {"variables": {"cluster_threshold_inodes_share": 80}},
    ),
    "a threshold of nothing": (
        ["`cluster_threshold_unread_events` is 0; give it a number above 0. Correct it"],
        {"variables": {"cluster_threshold_unread_events": 0}},
    ),
    "a threshold below nothing": (
        ["`cluster_threshold_clock_seconds` is -1; give it a number above 0. Correct it"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"cluster_threshold_clock_seconds": -1}},
    ),
    "a threshold in words": (
        ["`cluster_threshold_broker_disk_times_limit` is 'twice'; give it a number above 0. Correct it"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"cluster_threshold_broker_disk_times_limit": "twice"}},
    ),
    "two database servers": (
        ["databases of db1, db2", "leave one host under `postgresql:`"],
        {"groups": {"postgresql": {"db1": {}, "db2": {}}}},
    ),
    "no workers": (
        ["has no workers", "add at least one host under `celery_workers:`"],
        {"groups": {"celery_workers": {}}},
    ),
    "an even number of brokers": (
        ["2 brokers (mq1, mq2)", "add one host under `rabbitmq:`", "take one out", "number is odd"],
        {"groups": {"rabbitmq": {"mq1": {}, "mq2": {}}}},
    ),
    "an unknown queue": (
        ["program typo on w1", "unknown queue defualt", "add it to `cluster_queues`", "choose from default, slow"],
        {"variables": {"cluster_worker_programs": [{"name": "typo", "queues": ["defualt"], "concurrency": 1}]}},
    ),
    "two programs of the same name": (
        ["each program of `cluster_worker_programs` on w1", "different name"],
        {"variables": {"cluster_worker_programs": [{"name": "p", "queues": ["default"], "concurrency": 1}] * 2}},
    ),
    "a worker program whose name supervisord would split": (
        ["each program of `cluster_worker_programs` on w1", "letters, digits", "not mail:out"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"name": "mail:out"}]}},
    ),
    "a worker program with the name of the scheduler": (
        ["Rename the worker program beat on w1"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"name": "beat"}]}},
    ),
    "a queue that nobody consumes": (
        ["No worker program consumes the queue slow", "`queues:` of a program in `cluster_worker_programs`"],
        {"variables": {"cluster_worker_programs": [{"name": "p", "queues": ["default"], "concurrency": 1}]}},
    ),
    "an unknown pool": (
        ["Correct these inputs of w1", "pool", "preforked", "gevent"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"pool": "preforked"}]}},
    ),
    "a pool without a size": (
        ["program all on w1 either `concurrency: NUMBER` or `autoscale"],
        {"variables": {"cluster_worker_programs": [{"name": "all", "queues": ["default", "slow"]}]}},
    ),
    "a pool with two sizes": (
        ["program all on w1 either `concurrency: NUMBER` or `autoscale"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"autoscale": {"min": 1, "max": 2}}]}},
    ),
    "threads that grow": (
        ["`autoscale` of the worker program all on w1 needs the pool prefork"],
        {"variables": {"cluster_worker_programs": [SCALED | {"pool": "threads"}]}},
    ),
    "a quorum queue with autoscale": (
        ["program all on w1 has `autoscale`, but slow is a quorum queue", "give `concurrency` instead"],
        {"variables": {"cluster_worker_programs": [SCALED], "celery_worker_quorum_queues": ["slow"]}},
    ),
    "threads that are recycled": (
        ["Only the pool prefork replaces its processes", "program all on w1"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"pool": "threads", "max_tasks_per_child": 5}]}},
    ),
    "a worker program with the name of all": (
        ["w1 cannot run this in celery-workers.conf", "named all", "Correct", "names in `cluster_worker_programs`"],
        {"variables": {"cluster_worker_programs": [PROGRAM]}},
    ),
    "an argument with a line break": (
        [
            "w1 cannot run this in celery-workers.conf: the program both",
            "user=root' has a line break",
            "Correct `extra_arguments`",
        ],
        {
            "variables": {
                "cluster_worker_programs": [PROGRAM | {"name": "both", "extra_arguments": ["--logfile=a\nuser=root"]}]
            }
        },
    ),
    "two arguments in one": (
        ["Each entry of `extra_arguments` is one argument", "split '-O fair' of the worker program both on w1 in two"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"name": "both", "extra_arguments": ["-E", "-O fair"]}]}},
    ),
    "a worker's module with a line break": (
        ["w1 cannot run this in celery-workers.conf", "has a line break", "`cluster_app_module`"],
        {"groups": {"celery_workers": {"w1": {"celery_worker_app_module": "shop\nuser=root"}}}},
    ),
    "a scheduler's module with a line break": (
        ["c1 cannot run this in celery-beat.conf: the program beat", "`cluster_app_module`"],
        {"groups": {"celery_beat": {"c1": {"celery_beat_app_module": "shop\nuser=root"}}}},
    ),
    "a Flower's module with a line break": (
        ["w1 cannot run this in flower.conf: the program flower", "`cluster_app_module`"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"flower_app_module": "shop\nuser=root"}},
    ),
    "a web server's command in two lines": (
        ["w1 cannot run this in web.conf: the program web", "has a line break", "Correct `cluster_web_command`"],
        {"groups": {"web": {"w1": {}}}, "variables": {"cluster_web_command": "gunicorn shop.wsgi\nuser=root"}},
    ),
    "a web server's command with an open quote": (
        ["w1 cannot run this in web.conf: the program web", "No closing quotation", "`cluster_web_command`"],
        {"groups": {"web": {"w1": {}}}, "variables": {"cluster_web_command": "gunicorn 'shop.wsgi"}},
    ),
    "a mistyped input of supervisord's programs": (
        ["`supervisor_program_log_backups` of all hosts (is it"],
        {"variables": {"supervisor_program_log_backups": 9}},
    ),
    "an unknown serializer": (
        ["Correct these inputs of w1", "celery_app_serializer", "msgpack"],
        {"variables": {"celery_app_serializer": "xml"}},
    ),
    "an unknown compression": (
        ["Correct these inputs of w1", "celery_app_compression", "zstd"],
        {"variables": {"celery_app_compression": "rar"}},
    ),
    "an unknown result backend": (
        ["Correct these inputs of w1", "celery_app_result_backend", "django-db"],
        {"variables": {"cluster_result_backend": "memcached"}},
    ),
    "the result backend redis without a Redis": (
        ["add a host under `redis:`", "`cluster_result_backend: disabled`"],
        {"variables": {"cluster_result_backend": "redis"}},
    ),
    "pickle by accident": (
        ["pickle lets anyone", "run code on every worker", "`celery_app_accept_pickle: true`"],
        {"variables": {"celery_app_accept_content": ["pickle"]}},
    ),
    "a setting that could lose tasks": (
        ["`task_acks_late` in `celery_app_extra_config` cannot be False", "a worker that dies would lose its tasks"],
        {"variables": {"celery_app_extra_config": {"task_acks_late": False}}},
    ),
    "a priority above the queue's": (
        ["shop.pay", "number from 0 to the queue's `max_priority`, 5"],
        {
            "variables": {
                "cluster_queues": [
                    {"name": "default", "max_priority": 5, "routes": [{"task": "shop.pay", "priority": 9}, "*"]},
                    {"name": "slow"},
                ]
            }
        },
    ),
    "a queue with a bound that is none": (
        ["`max_length` of a queue in `cluster_queues` is a number of messages", "not many, 0"],
        {
            "variables": {
                "cluster_queues": [
                    {"name": "default", "max_length": "many", "routes": ["*"]},
                    {"name": "slow", "max_length": 0},
                ]
            }
        },
    ),
    "two limits of memory": (
        ["`rabbitmq_memory_high_watermark`", "has absolute, relative", "{relative: 0.4}", "{absolute: 512MB}"],
        {"variables": {"rabbitmq_memory_high_watermark": {"relative": 0.41, "absolute": "513MB"}}},
    ),
    "no limit of memory": (
        ["`rabbitmq_memory_high_watermark`", "has nothing"],
        {"variables": {"rabbitmq_memory_high_watermark": {}}},
    ),
    "the user root": (
        ["cannot run as 'root' on w1", "set `cluster_app_user`", "such as celery", "must not be root"],
        {"variables": {"cluster_app_user": "root"}},
    ),
    "no user": (["cannot run as '' on w1", "set `cluster_app_user`"], {"variables": {"cluster_app_user": ""}}),
    "a user that Debian does not take": (
        ["cannot run as 'The Shop' on w1", "lower-case letters"],
        {"variables": {"cluster_app_user": "The Shop"}},
    ),
    "another daemon's user": (
        ["cannot run as 'rabbitmq' on w1", "another program's user"],
        {"variables": {"celery_app_user": "rabbitmq"}},
    ),
    "the user that Ansible logs in as": (
        ["cannot run as 'operator' on w1", "the user that Ansible logs in as"],
        {"variables": {"ansible_user": "operator", "cluster_app_user": "operator"}},
    ),
    "another user than the files'": (
        ["would run as shop on w1", "could not write /, which belongs to root", "`cluster_app_user`", "chown"],
        {"variables": {"cluster_app_user": "shop"}, "extra": {"preflight_project_home": "/"}},
    ),
    "a queue for no other task": (
        ["exactly one queue of `cluster_queues` the route '*'"],
        {"variables": {"cluster_queues": [{"name": "default"}, {"name": "slow"}]}},
    ),
    "a mistyped name": (
        ["`celery_worker_logg_level` of all hosts (is it `celery_worker_log_level`?)", "`cluster_foreign_variables`"],
        {"variables": {"celery_worker_logg_level": "info"}},
    ),
    "a mistyped name after -e": (
        ["`cluster_vipp` of all hosts (is it `cluster_vip`?)", "after -e"],
        {"extra": {"cluster_vipp": "192.0.2.9"}},
    ),
    "a mistyped name of one host": (
        ["`rabbitmq_disk_free_limits` of mq1 (is it `rabbitmq_disk_free_limit`?)"],
        {"groups": {"rabbitmq": {"mq1": {"rabbitmq_disk_free_limits": "1GB"}}}},
    ),
    "a wrong type": (
        ["Correct these inputs of w1", "celery_app_broker_heartbeat_seconds", "soon", "int"],
        {"variables": {"celery_app_broker_heartbeat_seconds": "soon"}},
    ),
    "a log format that does not exist": (
        ["Correct these inputs of w1", "celery_app_log_format", "text, json", "xml"],
        {"variables": {"celery_app_log_format": "xml"}},
    ),
    "no source": (
        ["no Python project in /nowhere", "set `cluster_app_source`", "pyproject.toml"],
        {"variables": {"cluster_app_source": "/nowhere"}},
    ),
    "a second project on the same hosts": (
        [
            "w1 runs the project other, and reference would take its place",
            "hosts of its own",
            "rm -r /opt/celery/other",
        ],
        {"extra": {"preflight_found_projects": ["other", "reference"]}},
    ),
    "a Python that the hosts do not have": (
        ["The project wants Python >=99, and w1 has 3.", "correct that in the project", "`celery_app_python`"],
        {"project": '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=99"\n'},
    ),
    "a Python that Poetry asks for and the hosts do not have": (
        ["The project wants Python ^99, and w1 has 3.", "correct that in the project"],
        {"project": '[tool.poetry.dependencies]\npython = "^99"\n'},
    ),
    "no lock file": (
        ["nothing.txt does not exist", "set `cluster_app_requirements`", "or to ''"],
        {"variables": {"cluster_app_requirements": "nothing.txt"}},
    ),
    "a broker URL without its transport": (
        ["Write each broker URL as pyamqp://"],
        {"variables": {"celery_app_broker_urls": ["amqp://celery@192.0.2.21:5672/warren"]}},
    ),
    "a publisher in C that should confirm": (
        [
            "w1 would publish through librabbitmq",
            "silently be lost",
            "`celery_app_confirm_publish: false`",
            "`cluster_c_publisher: false`",
        ],
        {"groups": {"celery_workers": {"w1": {"cluster_c_publisher": True}}}},
    ),
    "a publisher in C that should encrypt": (
        ["w1 would publish through librabbitmq", "silently lose their encryption", "`cluster_c_publisher: false`"],
        {
            "groups": {"celery_workers": {"w1": {"cluster_c_publisher": True, "celery_app_confirm_publish": False}}},
            "variables": {"celery_app_broker_urls": ["amqps://celery@192.0.2.21:5671/warren"]},
        },
    ),
    "a publisher in C without its package": (
        ["no package provides it", "add librabbitmq-fork to `celery_app_extra_requirements`"],
        {
            "groups": {"celery_workers": {"w1": {"cluster_c_publisher": True, "celery_app_confirm_publish": False}}},
            "variables": {"celery_app_extra_requirements": []},
        },
    ),
    "more mirrors than brokers": (
        ["more copies than there are brokers, 1", "lower `cluster_queue_mirrors`"],
        {"variables": {"cluster_queue_mirrors": 2}},
    ),
    "a broker with a long name": (
        ["takes mq1.example.com for long names", "name the host mq1 in the inventory"],
        {"groups": {"rabbitmq": {"mq1.example.com": {}}}},
    ),
    "two schedulers without a lock": (
        [
            "Two hosts for a scheduler without a lock (file)",
            "keep one under `celery_beat:`",
            "`cluster_beat_scheduler: redbeat`",
        ],
        {"groups": {"celery_beat": {"w1": {}, "w2": {}}}},
    ),
    "a lock without Redis": (
        [
            "RedBeat keeps the schedule and its lock in Redis",
            "add a host under `redis:`",
            "`cluster_beat_scheduler: file`",
        ],
        {"groups": {"celery_beat": {"w1": {}}}, "variables": {"cluster_beat_scheduler": "redbeat"}},
    ),
    "a lock that ends between two loops": (
        ["renews its lock every 5 s", "lose one of 6 s", "set `celery_beat_lock_timeout_seconds` to 15"],
        {"groups": {"celery_beat": {"w1": {}}}, "variables": {"celery_beat_lock_timeout_seconds": 6}},
    ),
    "crontabs that Celery cannot read": (
        [
            "Correct `cluster_schedule`",
            "entry a",
            "'61 3 * * *'",
            "61 > 59",
            "type minute, hour",
            "entry b",
            "4 fields",
        ],
        {
            "groups": {"celery_beat": {"w1": {}}},
            "variables": {
                "cluster_schedule": [
                    {"name": "a", "task": "t", "crontab": "61 3 * * *"},
                    {"name": "b", "task": "t", "crontab": "3 * * *"},
                ]
            },
        },
    ),
    "entries without one time that is to come": (
        ["a has both every_seconds and crontab", "give it one", "b has neither", "c has every_seconds: 0", "above 0"],
        {
            "groups": {"celery_beat": {"w1": {}}},
            "variables": {
                "cluster_schedule": [
                    {"name": "a", "task": "t", "crontab": "0 3 * * *", "every_seconds": 5},
                    {"name": "b", "task": "t"},
                    {"name": "c", "task": "t", "every_seconds": 0},
                ]
            },
        },
    ),
    "two entries of one name, in a time zone that is none": (
        ["no time zone Moon/Crater: type UTC", "2 entries are named nightly: give each a name of its own"],
        {
            "groups": {"celery_beat": {"w1": {}}},
            "variables": {
                "celery_beat_timezone": "Moon/Crater",
                "cluster_schedule": [{"name": "nightly", "task": "t", "every_seconds": 5}] * 2,
            },
        },
    ),
    "two instances of Redis on one port": (
        ["Two instances of Redis on r1", "same name or port", "`cluster_redis_locks_port`"],
        {"groups": {"redis": {"r1": {}}}, "variables": {"cluster_redis_locks_port": 6379}},
    ),
    "a publisher in C on another architecture": (
        ["librabbitmq-fork exists for no other than mips", "`cluster_c_publisher: false` for every host"],
        {
            "groups": {"celery_workers": {"w1": {"cluster_c_publisher": True, "celery_app_confirm_publish": False}}},
            "extra": {"preflight_c_publisher_architectures": ["mips"]},
        },
    ),
    "a Flower for everybody": (
        ["Give `flower_users` at least one entry", "`flower_users: {admin:", "anybody could run tasks"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"flower_users": {}}},
    ),
    "questions that overlap": (
        ["cannot be asked every 3 s", "set `flower_presence_seconds` to at least 4"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"flower_presence_seconds": 3}},
    ),
    "an Alertmanager by its URL": (
        ["`cluster_alertmanagers` takes addresses with ports", "and not http://192.0.2.7:9093."],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"cluster_alertmanagers": ["http://192.0.2.7:9093"]}},
    ),
    "a file of rules that is not there": (
        ["There is no file /nowhere/shop.yml", "`prometheus_extra_rule_files`"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"prometheus_extra_rule_files": ["/nowhere/shop.yml"]}},
    ),
    "an unsupported release": (
        ["Debian 12 (bookworm)", "install Debian 12 on it", "take it out of the inventory"],
        {"extra": {"preflight_supported_releases": []}},
    ),
    "a host that cannot be reached": (
        ["w1 cannot be reached", "`ssh operator@127.0.0.1`", "`--limit 'all:!w1'`"],
        {
            "groups": {
                "celery_workers": {
                    "w1": {
                        "ansible_host": "127.0.0.1",
                        "ansible_connection": "ssh",
                        "ansible_port": 1,
                        "ansible_user": "operator",
                    }
                }
            }
        },
    ),
}
GOOD = {
    "good": {},
    "good with all that is optional": {
        "groups": {"celery_beat": {"w1": {}, "w2": {}}, "redis": {"r1": {}}},
        "variables": {
            "cluster_beat_scheduler": "redbeat",
            "cluster_schedule": [
                {"name": "nightly", "task": "t", "crontab": "30 3 * * mon"},
                {"name": "often", "task": "t", "every_seconds": 0.5, "queue": "slow", "expires_seconds": 5},
            ],
        },
    },
    "values that mean something to supervisord": {
        "groups": {"web": {"w1": {}}, "monitoring": {"w1": {}}},
        "variables": {
            "cluster_worker_programs": [
                PROGRAM
                | {
                    "name": "both",
                    "extra_arguments": ["--statedb=/var/lib/celery/home/%n.state", "%(here)s ; # ' \"", ""],
                }
            ],
            "cluster_web_command": 'sh -c \'exec gunicorn "shop.wsgi" --log-format "%(h)s ; #"\'\n',
        },
    },
    "a shared address": {
        "groups": {"haproxy": {"lb1": {}, "lb2": {"ansible_host": "192.0.2.2"}}},
        "variables": {"cluster_vip": "192.0.2.9"},
    },
    "thresholds of its own": {
        "groups": {"monitoring": {"w1": {}}},
        "variables": {"cluster_threshold_clock_seconds": 0.5, "cluster_threshold_inodes_share": 1},
    },
    "a HAProxy beside each program": {"groups": {"haproxy": {"w1": {}}}},
    "variables of somebody else": {
        "variables": {"shop_vip": 1, "redis_version": 7, "cluster_foreign_variables": ["redis_version"]},
    },
    # Every host that runs a program of the project has it, by the kit's groups.
    "a scheduler, a site and a Flower on hosts of their own": {
        "groups": {"celery_beat": {"c1": {}}, "web": {"web1": {}}, "monitoring": {"mon1": {}}}
    },
    # No load balancer in front of the one broker.
    "everything on one host": {
        "groups": {
            group: {} if group == "haproxy" else {"all1": {}}
            for group in ("rabbitmq", "haproxy", "celery_workers", "celery_beat", "monitoring", "postgresql", "web")
        }
    },
}


def preflight(folder, groups=None, variables=None, extra=None, project=None):
    """Run preflight.yml on a small good inventory with what the case changes."""
    if project:
        (folder / "shop").mkdir(parents=True)
        (folder / "shop/pyproject.toml").write_text(project)
        source = {"cluster_app_source": str(folder / "shop"), "cluster_app_requirements": ""}
        variables = (variables or {}) | source
    hosts = {"rabbitmq": {"mq1": {}}, "haproxy": {"lb1": {}}, "celery_workers": {"w1": {}}} | (groups or {})
    children = {group: {"hosts": of_group} for group, of_group in hosts.items()}
    of_all = {
        "ansible_connection": "local",
        "ansible_host": "192.0.2.1",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "cluster_app_source": str(PROJECT / "app/reference"),
    } | (variables or {})
    (folder / "group_vars").mkdir(parents=True)
    (folder / "group_vars/test.yml").write_text(yaml.safe_dump(of_all))
    (folder / "inventory.yml").write_text(yaml.safe_dump({"test": {"children": children}}))
    return run_preflight([kit.KIT_INVENTORY, folder / "inventory.yml"], folder, **(extra or {}))


def run_preflight(inventory_files, folder, **variables):
    """Run preflight.yml on an inventory of hosts that are this machine."""
    given = {"preflight_supported_releases": [kit.THIS_RELEASE], "secrets_dir": folder / "secrets"} | variables
    return kit.run(
        *["ansible-playbook", *kit.inventory_arguments(inventory_files), "playbooks/preflight.yml"],
        *kit.extra_vars(**given),
        # Messages in one piece: YAML's are folded.
        ANSIBLE_CALLBACK_RESULT_FORMAT="json",
        ANSIBLE_CALLBACKS_ENABLED=kit.CALLBACKS,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Every case's run, by its name."""
    top = tmp_path_factory.mktemp("preflight")
    cases = {name: changes for name, (_, changes) in CASES.items()} | GOOD
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = {
            name: pool.submit(preflight, top / str(number), **changes)
            for number, (name, changes) in enumerate(cases.items())
        }
    return {name: future.result() for name, future in started.items()}


def recap(run):
    """The line of each host after PLAY RECAP."""
    return run.stdout.partition("PLAY RECAP")[2].splitlines()[1:]


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_input_stops_the_run_with_what_to_type(runs, case):
    words, _ = CASES[case]
    run = runs[case]
    assert run.returncode != 0
    said = " ".join((run.stdout + run.stderr).split())
    assert re.search(".*".join(map(re.escape, words)), said), run.stdout + run.stderr
    assert recap(run)
    assert not re.search(r"changed=[1-9]", run.stdout)
    assert kit.warnings_in(run.stdout + run.stderr) == []


@pytest.mark.parametrize("case", GOOD)
def test_a_good_inventory_passes(runs, case):
    run = runs[case]
    assert run.returncode == 0, run.stdout + run.stderr
    lines = [line for line in recap(run) if line.strip()]
    assert any(" ok=" in line for line in lines)
    assert not re.search(r"(changed|unreachable|failed|rescued|ignored)=[1-9]", "\n".join(lines))
    assert kit.warnings_in(run.stdout + run.stderr) == []


@pytest.mark.parametrize("name", kit.INVENTORIES)
def test_every_inventory_of_the_kit_passes(tmp_path, name):
    here = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    run = run_preflight(kit.INVENTORIES[name], tmp_path, **here)
    assert run.returncode == 0, run.stdout + run.stderr
    assert kit.warnings_in(run.stdout + run.stderr) == []
