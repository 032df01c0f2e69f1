"""Inventories that are wrong, each with the words that the operator reads, and some that are right.

A case changes a small good inventory of one broker, one HAProxy and one worker host: `groups` (host to variables),
`variables` of all hosts, `extra`, which are given after -e, or `project`, the text of a pyproject.toml.
"""

import datetime
from typing import Any

import kit

# A worker program for both queues, of a fixed size and of a changing one.
PROGRAM = {"name": "both", "queues": ["default", "slow"], "concurrency": 1}
SCALED = {"name": "both", "queues": ["default", "slow"], "autoscale": {"min": 1, "max": 2}}
# An entry of a schedule, and load balancers that can share an address.
ENTRY = {"name": "nightly", "task": "shop.pay", "crontab": "0 3 * * *"}
TWO_HAPROXIES = {"haproxy": {"lb1": {}, "lb2": {"ansible_host": "192.0.2.2"}}}
# What a role may have for TLS, without most of it.
HALF = {"authority": "/etc/ssl/ca.crt"}

# The wanted words, in their order, of the one sentence that preflight says, and what the case changes.
CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "no brokers": (
        ["has no brokers", "add at least one host under `rabbitmq:`"],
        {"groups": {"rabbitmq": {}}},
    ),
    "a network of administrators that is none": (
        ["in `cluster_admin_addresses` is '198.51.100.7/24'; give it an IPv4 or IPv6 address, or a network such as"],
        {"variables": {"cluster_admin_addresses": ["198.51.100.7/24"]}},
    ),
    "an open port without a number": (
        ["`port` of entry 1 in `host_firewall_extra_ports` is 0", "a number from 1 to 65535"],
        {"variables": {"host_firewall_extra_ports": [{"what": "agent", "port": 0, "clients": ["192.0.2.0/24"]}]}},
    ),
    "an open port without clients": (
        ["`clients` of entry 1 in `host_firewall_extra_ports` is missing; give it a list"],
        {"variables": {"host_firewall_extra_ports": [{"what": "agent", "port": 10050}]}},
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
        ["`cluster_vip` is 192.0.2.2, and lb1, lb2 would hold it", "address of lb2", "no host's own"],
        {
            "groups": TWO_HAPROXIES,
            "variables": {"cluster_vip": "192.0.2.2"},
        },
    ),
    "a shared address by name": (
        ["`cluster_vip` is 'entry.example.com', not an address but a name; give it an IPv4 address"],
        {
            "groups": TWO_HAPROXIES,
            "variables": {"cluster_vip": "entry.example.com"},
        },
    ),
    "a VRRP group without a number": (
        ["`cluster_vip_router_id` is 300; give it a number from 1 to 255."],
        {
            "groups": TWO_HAPROXIES,
            "variables": {"cluster_vip": "192.0.2.9", "cluster_vip_router_id": 300},
        },
    ),
    "a password with which VRRP's configuration would break": (
        [
            "at most eight characters of ASCII, none of them a space, a double quote or a backslash",
            "correct `secret_keepalived`",
        ],
        {
            "groups": TWO_HAPROXIES,
            "variables": {"cluster_vip": "192.0.2.9", "keepalived_password": 'a"b'},
        },
    ),
    "a worker without a HAProxy of its own": (
        ["Each HAProxy serves its own host alone", "w2 has none", "under `haproxy:` too"],
        {"groups": {"haproxy": {"w1": {}}, "celery_workers": {"w1": {}, "w2": {}}}},
    ),
    "a HAProxy on a broker": (
        ["both listen on port 5672 of mq1", "take it out of `rabbitmq:` or of `haproxy:`"],
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
        {"variables": {"cluster_worker_programs": [PROGRAM] * 2}},
    ),
    "a worker program whose name supervisord would split": (
        ["`name` of entry 1 in `cluster_worker_programs` is 'mail:out'; give it a name of letters, digits"],
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
        ["`pool` of both in `cluster_worker_programs` is 'preforked'; give it one of prefork, threads, gevent"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"pool": "preforked"}]}},
    ),
    "a pool without a size": (
        ["program both on w1 either `concurrency: NUMBER` or `autoscale"],
        {"variables": {"cluster_worker_programs": [{"name": "both", "queues": ["default", "slow"]}]}},
    ),
    "a pool with two sizes": (
        ["program both on w1 either `concurrency: NUMBER` or `autoscale"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"autoscale": {"min": 1, "max": 2}}]}},
    ),
    "threads that grow": (
        ["`autoscale` of the worker program both on w1 needs the pool prefork"],
        {"variables": {"cluster_worker_programs": [SCALED | {"pool": "threads"}]}},
    ),
    "a quorum queue with autoscale": (
        ["program both on w1 has `autoscale`, but slow is a quorum queue", "give `concurrency` instead"],
        {"variables": {"cluster_worker_programs": [SCALED], "celery_worker_quorum_queues": ["slow"]}},
    ),
    "quorum queues with autoscale": (
        ["program both on w1 has `autoscale`, but default, slow is a quorum queue"],
        {"variables": {"cluster_worker_programs": [SCALED], "cluster_queue_type": "quorum"}},
    ),
    "quorum queues with priorities": (
        ["no `max_priority` for quorum queues: leave it out of default in `cluster_queues`", "a program of their own"],
        {
            "variables": {
                "cluster_queues": [{"name": "default", "routes": ["*"], "max_priority": 5}, {"name": "slow"}],
                "cluster_queue_type": "quorum",
            }
        },
    ),
    "quorum queues with a number of mirrors": (
        ["`cluster_queue_mirrors` is 3, but quorum queues have no mirrors", "leave it out"],
        {"variables": {"cluster_queue_mirrors": 3, "cluster_queue_type": "quorum"}},
    ),
    "a type of queue that is none": (
        ["`cluster_queue_type` is 'classic'; give it one of mirrored, quorum"],
        {"variables": {"cluster_queue_type": "classic"}},
    ),
    "threads that are recycled": (
        ["Only the pool prefork replaces its processes", "program both on w1"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"pool": "threads", "max_tasks_per_child": 5}]}},
    ),
    "a worker program with the name of all": (
        ["`name` of entry 1 in `cluster_worker_programs` is 'all', what supervisorctl calls every program"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"name": "all"}]}},
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
        ["`celery_worker_app_module` of w1 is 'shop\\nuser=root'; give it what `celery -A` takes"],
        {"groups": {"celery_workers": {"w1": {"celery_worker_app_module": "shop\nuser=root"}}}},
    ),
    "a scheduler's module with a line break": (
        ["`celery_beat_app_module` of c1 is 'shop\\nuser=root'; give it what `celery -A` takes"],
        {"groups": {"celery_beat": {"c1": {"celery_beat_app_module": "shop\nuser=root"}}}},
    ),
    "a Flower's module with a line break": (
        ["`flower_app_module` of w1 is 'shop\\nuser=root'; give it what `celery -A` takes"],
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
        ["`supervisor_program_log_backups` of all hosts"],
        {"variables": {"supervisor_program_log_backups": 9}},
    ),
    "an unknown serializer": (
        ["`celery_app_serializer` of w1 is 'xml'; give it one of json, msgpack, yaml, pickle."],
        {"variables": {"celery_app_serializer": "xml"}},
    ),
    "an unknown compression": (
        ["`celery_app_compression` of w1 is 'rar'; give it one of none, zlib, bzip2, zstd."],
        {"variables": {"celery_app_compression": "rar"}},
    ),
    "an unknown result backend": (
        ["`cluster_result_backend` is 'memcached'; give it one of disabled, redis, rpc, django-db."],
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
        ["`max_length` of default in `cluster_queues` is 'many'; give it a whole number."],
        {
            "variables": {
                "cluster_queues": [
                    {"name": "default", "max_length": "many", "routes": ["*"]},
                    {"name": "slow"},
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
    "the site's user is root": (
        ["The site cannot run as 'root' on w1", "set `cluster_web_user`", "such as celery-web", "must not be root"],
        {"groups": {"web": {"w1": {}}}, "variables": {"cluster_web_user": "root"}},
    ),
    "the site's user is the front server's": (
        ["The site cannot run as 'www-data' on w1", "another program's user"],
        {"groups": {"web": {"w1": {}}}, "variables": {"cluster_web_user": "www-data"}},
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
        ["`celery_app_broker_heartbeat_seconds` of w1 is 'soon'; give it a whole number."],
        {"variables": {"celery_app_broker_heartbeat_seconds": "soon"}},
    ),
    "a log format that does not exist": (
        ["`celery_app_log_format` of w1 is 'xml'; give it one of text, json."],
        {"variables": {"celery_app_log_format": "xml"}},
    ),
    "no source": (
        ["no Python project in /nowhere", "set `cluster_app_source`", "pyproject.toml"],
        {"variables": {"cluster_app_source": "/nowhere"}},
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
    "a publisher in C in a cluster with TLS": (
        ["w1 would publish through librabbitmq", "silently lose their encryption", "`cluster_c_publisher: false`"],
        {
            "groups": {"celery_workers": {"w1": {"cluster_c_publisher": True, "celery_app_confirm_publish": False}}},
            "variables": {"cluster_tls": True},
        },
    ),
    "a publisher in C that should encrypt by a setting of Celery's": (
        ["w1 would publish through librabbitmq", "silently lose their encryption", "`cluster_c_publisher: false`"],
        {
            "groups": {"celery_workers": {"w1": {"cluster_c_publisher": True, "celery_app_confirm_publish": False}}},
            "variables": {"celery_app_extra_config": {"broker_use_ssl": True}},
        },
    ),
    "an authority that is not there": (
        ["/nowhere/ca.crt does not exist: give a file with a certificate in PEM.", "`cluster_tls_authority`"],
        {
            "variables": {
                "cluster_tls": True,
                "cluster_tls_authority": "/nowhere/ca.crt",
                "cluster_tls_authority_key": "/nowhere/ca.key",
            }
        },
    ),
    "an authority without its key": (
        ["Nobody can sign certificates: set `cluster_tls_authority_key`", "as `cluster_tls_certificate`"],
        {"variables": {"cluster_tls": True, "cluster_tls_authority": "/srv/ca.crt"}},
    ),
    "a certificate without its key": (
        ["A certificate needs its key: set both, `cluster_tls_certificate` and `cluster_tls_certificate_key` of w1"],
        {
            "groups": {"celery_workers": {"w1": {"cluster_tls_certificate": "/srv/w1.crt"}}},
            "variables": {"cluster_tls": True},
        },
    ),
    "another authority that is not there": (
        ["/nowhere/old.crt does not exist", "one of `cluster_tls_extra_authorities`"],
        {"variables": {"cluster_tls": True, "cluster_tls_extra_authorities": ["/nowhere/old.crt"]}},
    ),
    "a name of brokers that is none": (
        ["`cluster_tls_broker_name` is 'rabbit mq'", "give it a host's name, such as broker.example.com"],
        {"variables": {"cluster_tls": True, "cluster_tls_broker_name": "rabbit mq"}},
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
    "two entries of one name": (
        ["2 entries are named nightly: give each a name of its own"],
        {
            "groups": {"celery_beat": {"w1": {}}},
            "variables": {
                "cluster_schedule": [{"name": "nightly", "task": "t", "every_seconds": 5}] * 2,
            },
        },
    ),
    "a schedule in a time zone that is none": (
        ["`celery_beat_timezone` of w1 is 'Moon/Crater'; give it a time zone such as Europe/Berlin"],
        {"groups": {"celery_beat": {"w1": {}}}, "variables": {"celery_beat_timezone": "Moon/Crater"}},
    ),
    "two instances of Redis on one port": (
        ["Two would listen on port 6379 of r1: results (redis), and locks (redis)", "`cluster_redis_locks_port`"],
        {"groups": {"redis": {"r1": {}}}, "variables": {"cluster_redis_locks_port": 6379}},
    ),
    "a Flower for everybody": (
        ["Give `flower_users` at least one entry", "`flower_users: {admin:", "anybody could stop workers"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"flower_users": {}}},
    ),
    "questions that overlap": (
        ["cannot be asked every 3 s", "set `flower_presence_seconds` to at least 4"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"flower_presence_seconds": 3}},
    ),
    "an Alertmanager by its URL": (
        ["entry 1 in `cluster_alertmanagers` is 'http://192.0.2.7:9093'; give it an address with a port"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"cluster_alertmanagers": ["http://192.0.2.7:9093"]}},
    ),
    "a file of rules that is not there": (
        ["There is no file /nowhere/shop.yml", "`prometheus_extra_rule_files`"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"prometheus_extra_rule_files": ["/nowhere/shop.yml"]}},
    ),
    # Addresses.
    "a host without an address": (
        ["`ansible_host` of w1.example.com is 'w1.example.com', not an address but a name", "`cluster_address`"],
        {"groups": {"celery_workers": {"w1.example.com": {"ansible_host": None}}}},
    ),
    "a name for an address": (
        ["`ansible_host` of w1 is 'mq3.lab.internal', not an address but a name; give it an IPv4 address"],
        {"groups": {"celery_workers": {"w1": {"ansible_host": "mq3.lab.internal"}}}},
    ),
    "an address with a port": (
        ["`ansible_host` of w1 is '192.0.2.31:22', an address with a port"],
        {"groups": {"celery_workers": {"w1": {"ansible_host": "192.0.2.31:22"}}}},
    ),
    "an address with a prefix": (
        ["`cluster_address` of w1 is '192.0.2.31/24', an address with a prefix"],
        {"groups": {"celery_workers": {"w1": {"cluster_address": "192.0.2.31/24"}}}},
    ),
    "an address of IPv6": (
        ["`ansible_host` of w1 is '2001:db8::31', an IPv6 address, which the kit does not support"],
        {"groups": {"celery_workers": {"w1": {"ansible_host": "2001:db8::31"}}}},
    ),
    "an address that is none": (
        ["`ansible_host` of w1 is '192.0.2.300', not an address; give it"],
        {"groups": {"celery_workers": {"w1": {"ansible_host": "192.0.2.300"}}}},
    ),
    "an address of all addresses": (
        ["`ansible_host` of mq1 is '0.0.0.0', no address that one host can have"],
        {"groups": {"rabbitmq": {"mq1": {"ansible_host": "0.0.0.0"}}}},
    ),
    "an address that is a number": (
        ["`cluster_address` of w1 is 31, a number; give it an IPv4 address"],
        {"groups": {"celery_workers": {"w1": {"cluster_address": 31}}}},
    ),
    "a loopback among several hosts": (
        ["`127.0.0.2` of w1 is reached by itself alone", "`cluster_address`"],
        {"groups": {"celery_workers": {"w1": {"ansible_host": "127.0.0.2"}}}},
    ),
    "two hosts with one address": (
        ["mq1, w1 have the same address, 192.0.2.31", "`cluster_address`"],
        {
            "groups": {
                "rabbitmq": {"mq1": {"ansible_host": "192.0.2.31"}},
                "celery_workers": {"w1": {"ansible_host": "192.0.2.31"}},
            }
        },
    ),
    "a shared address with a prefix": (
        ["`cluster_vip` is '192.0.2.9/24', an address with a prefix"],
        {"groups": TWO_HAPROXIES, "variables": {"cluster_vip": "192.0.2.9/24"}},
    ),
    "a shared address of IPv6": (
        ["`cluster_vip` is '2001:db8::9', an IPv6 address"],
        {"groups": TWO_HAPROXIES, "variables": {"cluster_vip": "2001:db8::9"}},
    ),
    "a shared address that is a broker's": (
        ["`cluster_vip` is 192.0.2.11, and lb1, lb2 would hold it, but it is the address of mq1"],
        {
            "groups": TWO_HAPROXIES | {"rabbitmq": {"mq1": {"ansible_host": "192.0.2.11"}}},
            "variables": {"cluster_vip": "192.0.2.11"},
        },
    ),
    "a shared address that no HAProxy would hold": (
        ["`cluster_vip` is 192.0.2.9, and no HAProxy would hold it", "leave it empty"],
        {"groups": {"haproxy": {"w1": {}}}, "variables": {"cluster_vip": "192.0.2.9"}},
    ),
    "a name of a host with a space": (
        ["The host 'w 1' cannot have this name", "`ansible_host`"],
        {"groups": {"celery_workers": {"w 1": {}}}},
    ),
    "two hosts whose names differ only in capitals": (
        ["W1, w1 are one name to resolvers"],
        {"groups": {"celery_workers": {"w1": {}, "W1": {}}}},
    ),
    "a host called localhost": (
        ["The host localhost would call itself that", "another name", "`ansible_connection: local`"],
        {"groups": {"celery_workers": {"localhost": {"ansible_host": "192.0.2.31"}}}},
    ),
    # Groups.
    "a group by almost its name": (
        ["no group `celery_worker:`, which has w2: is it `celery_workers:`?"],
        {"groups": {"celery_worker": {"w2": {}}}},
    ),
    "a group with a hyphen": (
        ["no group `celery-beat:`, which has c1: is it `celery_beat:`?"],
        {"groups": {"celery-beat": {"c1": {}}}},
    ),
    "a host in no group of the kit": (
        ["bastion is in none of the kit's groups", "take it out of the inventory"],
        {"groups": {"jumphosts": {"bastion": {}}}},
    ),
    "two hosts for Redis": (
        ["Everything would use the Redis of r1, and nothing that of r2: leave one host under `redis:`"],
        {"groups": {"redis": {"r1": {}, "r2": {}}}},
    ),
    # Ports.
    "a port that is none": (
        ["`cluster_amqp_port` is 70000; give it a port, a number from 1 to 65535"],
        {"variables": {"cluster_amqp_port": 70000}},
    ),
    "the port zero": (["`cluster_flower_port` is 0; give it a port"], {"variables": {"cluster_flower_port": 0}}),
    "a port as a text": (
        [
            "`cluster_amqp_port` is '5672', a text; give it a whole number: 5672 without quotes",
            """-e '{"cluster_amqp_port": 5672}'""",
        ],
        {"variables": {"cluster_amqp_port": "5672"}},
    ),
    "a port with a fraction": (
        ["`cluster_web_port` is 80.5, a number; give it a whole number"],
        {"variables": {"cluster_web_port": 80.5}},
    ),
    "a port that is true": (
        ["`cluster_prometheus_port` is True, true or false; give it a whole number"],
        {"variables": {"cluster_prometheus_port": True}},
    ),
    "Flower on Prometheus' port": (
        ["Two would listen on port 9090 of w1: Flower's page", "Prometheus' page", "`cluster_flower_port` or"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"cluster_flower_port": 9090}},
    ),
    "HAProxy's page on the port of AMQP": (
        ["Two would listen on port 5672 of lb1: AMQP, without `cluster_tls` (haproxy)", "`cluster_haproxy_stats_port`"],
        {"variables": {"cluster_haproxy_stats_port": 5672}},
    ),
    "Flower on the port of SSH": (
        ["Two would listen on port 22 of w1: logins by SSH (host), and Flower's page", "Change `cluster_flower_port`"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"cluster_flower_port": 22}},
    ),
    "AMQP on Erlang's port": (
        ["Two would listen on port 25672 of mq1: AMQP", ", and Erlang's distribution", "`cluster_amqp_port`"],
        {"variables": {"cluster_amqp_port": 25672}},
    ),
    "figures on epmd's port": (
        ["Two would listen on port 4369 of mq1: figures of the broker", "`cluster_broker_metrics_port`"],
        {"variables": {"cluster_broker_metrics_port": 4369}},
    ),
    "AMQP where RabbitMQ's commands listen": (
        ["Port 35675 of mq1 (AMQP", "is one of those that RabbitMQ's own commands use, 35672 to 35682"],
        {"variables": {"cluster_amqp_port": 35675}},
    ),
    "the site on a port of the exporter": (
        ["Two would listen on port 9100 of w1", "`cluster_node_exporter_port` or `cluster_web_port`"],
        {"groups": {"monitoring": {"w1": {}}, "web": {"w1": {}}}, "variables": {"cluster_web_port": 9100}},
    ),
    # Secrets.
    "a secret that is known": (
        ["`secret_redis` is too short and is known to everybody who guesses", "`openssl rand -base64 24`"],
        {"variables": {"secret_redis": "changeme"}},
    ),
    "a secret of a user of Redis that is too short": (
        ["`secret_redis_results` is too short"],
        {"variables": {"secret_redis_results": "kV7+q"}},
    ),
    "a secret that is a number": (
        ["`secret_flower` is a number: write it in single quotes"],
        {"variables": {"secret_flower": 123456789012}},
    ),
    "a secret that is empty": (["`secret_database` is empty"], {"variables": {"secret_database": ""}}),
    "a secret that is too short": (
        ["`secret_haproxy_stats` is too short", "12 to 255 characters"],
        {"variables": {"secret_haproxy_stats": "kV7+q"}},
    ),
    "a secret for two purposes": (
        ["`secret_flower` and `secret_redis` are the same"],
        {"variables": {"secret_flower": "Zt4-kqW9_pLm2", "secret_redis": "Zt4-kqW9_pLm2"}},
    ),
    "a secret with a space": (
        ["`secret_redis` has white space"],
        {"variables": {"secret_redis": "correct horse battery"}},
    ),
    "a secret with an umlaut": (
        ["`secret_rabbitmq_worker` has a letter or sign beyond ASCII"],
        {"variables": {"secret_rabbitmq_worker": "Löwenzahn-im-Garten7"}},
    ),
    # Names.
    "a queue with a comma": (
        ["`name` of entry 1 in `cluster_queues` is 'mail,sms', two queues to Celery; give it a name of letters"],
        {"variables": {"cluster_queues": [{"name": "mail,sms", "routes": ["*"]}]}},
    ),
    "a queue with a space": (
        ["`name` of entry 1 in `cluster_queues` is 'slow jobs'; give it a name of letters"],
        {"variables": {"cluster_queues": [{"name": "slow jobs", "routes": ["*"]}]}},
    ),
    "a queue of RabbitMQ's own": (
        ["is 'amq.tasks', a name that is taken"],
        {"variables": {"cluster_queues": [{"name": "amq.tasks", "routes": ["*"]}]}},
    ),
    "a queue of Celery's own": (
        ["is 'celeryev.mine', a name that is taken"],
        {"variables": {"cluster_queues": [{"name": "celeryev.mine", "routes": ["*"]}]}},
    ),
    "the queue of parked tasks": (
        ["is 'warren-parked', a name that is taken"],
        {"variables": {"cluster_queues": [{"name": "warren-parked", "routes": ["*"]}]}},
    ),
    "a queue that is a number": (
        ["`name` of entry 1 in `cluster_queues` is 2024, a number; give it a name", "in quotes"],
        {"variables": {"cluster_queues": [{"name": 2024, "routes": ["*"]}]}},
    ),
    "a queue without a name": (
        ["`name` of entry 1 in `cluster_queues` is '', empty"],
        {"variables": {"cluster_queues": [{"name": "", "routes": ["*"]}]}},
    ),
    "a queue with a quote": (
        ["""is "it's"; give it a name of letters"""],
        {"variables": {"cluster_queues": [{"name": "it's", "routes": ["*"]}]}},
    ),
    "no queues": (
        ["`cluster_queues` is empty, so no task could be sent"],
        {"variables": {"cluster_queues": []}},
    ),
    "a command that is a list": (
        ["`cluster_web_command` is not what it should be, a list; give it a command"],
        {"groups": {"web": {"w1": {}}}, "variables": {"cluster_web_command": ["gunicorn", "shop.wsgi"]}},
    ),
    "a password of a role that is a number": (
        ["`redis_password` of r1 is not what it should be, a number; give it a text, in quotes"],
        {"groups": {"redis": {"r1": {}}}, "variables": {"redis_password": 123456789012}},
    ),
    "a queue that is listed twice": (
        ["`cluster_queues` has 2 entries with the name slow"],
        {"variables": {"cluster_queues": [{"name": "default", "routes": ["*"]}, {"name": "slow"}, {"name": "slow"}]}},
    ),
    "queues that are a text": (
        ["`cluster_queues` is 'default', a text; give it a list"],
        {"variables": {"cluster_queues": "default"}},
    ),
    "queues that are a mapping": (
        ["`cluster_queues` is", "a mapping; give it a list"],
        {"variables": {"cluster_queues": {"default": {"routes": ["*"]}}}},
    ),
    "queues that are names": (
        ["entry 1 in `cluster_queues` is 'default', a text; give it a mapping"],
        {"variables": {"cluster_queues": ["default"]}},
    ),
    "queues that are nothing": (
        ["`cluster_queues` is None, nothing; give it a list"],
        {"variables": {"cluster_queues": None}},
    ),
    "a queue with an option that does not exist": (
        ["`max_len` of default in `cluster_queues` is no option: is it `max_length`? There are name, routes"],
        {"variables": {"cluster_queues": [{"name": "default", "routes": ["*"], "max_len": 5}, {"name": "slow"}]}},
    ),
    "a program whose queues are a text": (
        ["`queues` of both in `cluster_worker_programs` is 'default', a text; give it a list"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"queues": "default"}]}},
    ),
    "one task in two routes": (
        ["The route shop.pay stands 2 times in `cluster_queues` (default, slow)", "leave one"],
        {
            "variables": {
                "cluster_queues": [
                    {"name": "default", "routes": ["shop.pay", "*"]},
                    {"name": "slow", "routes": ["shop.pay"]},
                ]
            }
        },
    ),
    "a project with a path for a name": (
        ["`cluster_app_name` is '../../srv/shop'; give it a name of letters"],
        {"variables": {"cluster_app_name": "../../srv/shop"}},
    ),
    "a project without a name": (["`cluster_app_name` is '', empty"], {"variables": {"cluster_app_name": ""}}),
    "a vhost with a quote": (
        ["""`cluster_vhost` is 'my"vhost'; give it a name of letters"""],
        {"variables": {"cluster_vhost": 'my"vhost'}},
    ),
    "a vhost without a name": (["`cluster_vhost` is '', empty"], {"variables": {"cluster_vhost": ""}}),
    "an environment with a slash": (
        ["`cluster_environment` is 'prod/eu'; give it a name of letters"],
        {"extra": {"cluster_environment": "prod/eu"}},
    ),
    "an environment that leads out of the folder": (
        ["`cluster_environment` is '../shop'; give it a name"],
        {"extra": {"cluster_environment": "../shop"}},
    ),
    "an environment variable with a hyphen": (
        ["a name in `cluster_app_environment` is 'SHOP-KEY'; give it a name of letters, digits and `_`"],
        {"variables": {"cluster_app_environment": {"SHOP-KEY": "x"}}},
    ),
    "an environment variable that is a list": (
        ["`SHOP_KEY` of `cluster_app_environment`", "a list; give it a text or a number"],
        {"variables": {"cluster_app_environment": {"SHOP_KEY": ["one"]}}},
    ),
    "an environment variable that is true": (
        ["`SHOP_DEBUG` of `cluster_app_environment`", "give it a text or a number", "in quotes"],
        {"variables": {"cluster_app_environment": {"SHOP_DEBUG": True}}},
    ),
    "another broker by the environment": (
        [
            "`cluster_app_environment` cannot have this.",
            "`CELERY_BROKER_URL`: leave it out, as tasks would go to another broker",
        ],
        {"variables": {"cluster_app_environment": {"CELERY_BROKER_URL": "redis://"}}},
    ),
    "release commands with another broker": (
        [
            "`cluster_app_release_environment` cannot have this.",
            "`CELERY_BROKER_URL`: leave it out, as tasks would go to another broker",
        ],
        {"variables": {"cluster_app_release_environment": {"CELERY_BROKER_URL": "redis://"}}},
    ),
    "other settings by the environment": (
        ["`cluster_app_environment` cannot have this.", "`CELERY_CONFIG_MODULE`"],
        {"variables": {"cluster_app_environment": {"CELERY_CONFIG_MODULE": "shop"}}},
    ),
    "PostgreSQL's own database": (
        ["`cluster_database_name` is 'postgres', PostgreSQL's own"],
        {"variables": {"cluster_database_name": "postgres"}},
    ),
    "a database with a quote": (
        ["`cluster_database_name` is 'my\"shop'; give it a name of lower-case letters"],
        {"variables": {"cluster_database_name": 'my"shop'}},
    ),
    "a module by its file": (
        ["`cluster_app_module` is 'shop/celery.py', a file; give it what `celery -A` takes"],
        {"variables": {"cluster_app_module": "shop/celery.py"}},
    ),
    "a task with a space": (
        ["`task` of nightly in `cluster_schedule` is 'shop pay'; give it a task's name"],
        {"groups": {"celery_beat": {"w1": {}}}, "variables": {"cluster_schedule": [ENTRY | {"task": "shop pay"}]}},
    ),
    "a Debian package that is two": (
        ["entry 1 in `celery_app_debian_packages` of w1 is 'libpq5 gcc'; give it the name of a Debian package"],
        {"variables": {"celery_app_debian_packages": ["libpq5 gcc"]}},
    ),
    "a requirement that is an option": (
        ["entry 1 in `cluster_app_extra_requirements` is '-r more.txt'; give it a requirement"],
        {"variables": {"cluster_app_extra_requirements": ["-r more.txt"]}},
    ),
    "an interpreter with an option": (
        ["`celery_app_python` of w1 is 'python3 -I'; give it a command"],
        {"variables": {"celery_app_python": "python3 -I"}},
    ),
    "a network interface with a command": (
        ["`keepalived_interface`", "is 'eth0; reboot'; give it the name of a network interface"],
        {"groups": TWO_HAPROXIES, "variables": {"cluster_vip": "192.0.2.9", "keepalived_interface": "eth0; reboot"}},
    ),
    "a path without a slash": (
        ["`cluster_web_health_path` is 'healthz'; give it a path that begins with a slash"],
        {"variables": {"cluster_web_health_path": "healthz"}},
    ),
    "a prefix with a slash": (
        ["`cluster_flower_url_prefix` is '/flower'; give it a path", "without a slash at either end"],
        {"variables": {"cluster_flower_url_prefix": "/flower"}},
    ),
    "a time zone that does not exist": (
        ["`host_timezone` is 'Europe/Berln'; give it a time zone"],
        {"variables": {"host_timezone": "Europe/Berln"}},
    ),
    "a calendar that is a command": (
        ["`celery_worker_restart_calendar` of w1 is 'daily; reboot'; give it a time"],
        {"variables": {"celery_worker_restart_calendar": "daily; reboot"}},
    ),
    "a plugin with a comma": (
        ["entry 1 in `rabbitmq_plugins` of mq1 is 'rabbitmq_prometheus,rabbitmq_top'; give it the name of a plugin"],
        {"variables": {"rabbitmq_plugins": ["rabbitmq_prometheus,rabbitmq_top"]}},
    ),
    # Numbers.
    "a priority above what RabbitMQ has": (
        ["`max_priority` of default in `cluster_queues` is 1000; give it a number from 0 to 255"],
        {
            "variables": {
                "cluster_queues": [{"name": "default", "max_priority": 1000, "routes": ["*"]}, {"name": "slow"}]
            }
        },
    ),
    "a priority below nothing": (
        ["`max_priority` of default in `cluster_queues` is -1; give it a number from 0 to 255"],
        {"variables": {"cluster_queues": [{"name": "default", "max_priority": -1, "routes": ["*"]}, {"name": "slow"}]}},
    ),
    "fewer processes than none": (
        ["`concurrency` of both in `cluster_worker_programs` is -4; give it a number from 1 to"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"name": "both", "concurrency": -4}]}},
    ),
    "no processes": (
        ["`concurrency` of both in `cluster_worker_programs` is 0; give it a number from 1"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"name": "both", "concurrency": 0}]}},
    ),
    "a number of processes in quotes": (
        ["`concurrency` of both in `cluster_worker_programs` is '4', a text; give it a whole number: 4 without quotes"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"name": "both", "concurrency": "4"}]}},
    ),
    "a program's boolean in quotes": (
        [
            "`watchdog` of both in `cluster_worker_programs` is 'no', a text; give it true or false: false "
            "without quotes"
        ],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"name": "both", "watchdog": "no"}]}},
    ),
    "a pool that begins with nothing": (
        ["`min` of `autoscale` of all2 in `cluster_worker_programs` is 0; give it a number from 1"],
        {"variables": {"cluster_worker_programs": [SCALED | {"name": "all2", "autoscale": {"min": 0, "max": 2}}]}},
    ),
    "memory in per cent": (
        ["`relative` of `rabbitmq_memory_high_watermark` of mq1 is 40; give it a number from 0.05 to 0.9"],
        {"variables": {"rabbitmq_memory_high_watermark": {"relative": 40}}},
    ),
    "memory without a unit": (
        [
            "`absolute` of `rabbitmq_memory_high_watermark` of mq1 is '512', a number of bytes; give it a size "
            "with its unit"
        ],
        {"variables": {"rabbitmq_memory_high_watermark": {"absolute": "512"}}},
    ),
    "a disk limit in words": (
        ["`rabbitmq_disk_free_limit` of mq1 is '2 gigabytes'; give it a size with its unit"],
        {"variables": {"rabbitmq_disk_free_limit": "2 gigabytes"}},
    ),
    "64 bytes for Redis": (
        ["`cluster_redis_locks_max_memory` is 64, a number; give it a size of 1mb or more with its unit"],
        {"variables": {"cluster_redis_locks_max_memory": 64}},
    ),
    "64 bytes for Redis in quotes": (
        ["`cluster_redis_results_max_memory` is '64', a number of bytes; give it a size"],
        {"variables": {"cluster_redis_results_max_memory": "64"}},
    ),
    "one mirror": (
        ["`cluster_queue_mirrors` is 1, no second copy; give it `all`, or a number of copies, 2 or more"],
        {"variables": {"cluster_queue_mirrors": 1}},
    ),
    "mirrors in words": (
        ["`cluster_queue_mirrors` is 'both'; give it `all`"],
        {"variables": {"cluster_queue_mirrors": "both"}},
    ),
    "a loop of no time": (
        ["`celery_beat_max_loop_interval_seconds` of w1 is 0; give it a number from 1"],
        {"groups": {"celery_beat": {"w1": {}}}, "variables": {"celery_beat_max_loop_interval_seconds": 0}},
    ),
    "no retries of a publish": (
        ["`celery_app_publish_retry_max_retries` of w1 is 0; give it a number from 1"],
        {"variables": {"celery_app_publish_retry_max_retries": 0}},
    ),
    "all tasks ahead": (
        ["`celery_app_prefetch_multiplier` of w1 is 0; give it a number from 1"],
        {"variables": {"celery_app_prefetch_multiplier": 0}},
    ),
    "a confirm that may take no time": (
        ["`celery_app_confirm_timeout_seconds` of w1 is 0; give it a number from 1"],
        {"variables": {"celery_app_confirm_timeout_seconds": 0}},
    ),
    "a grace of no time": (
        ["`cluster_stop_grace_seconds` is 0; give it a number from 1 to 86,400"],
        {"variables": {"cluster_stop_grace_seconds": 0}},
    ),
    "a grace with its unit": (
        ["`cluster_stop_grace_seconds` is '5m'; give it a whole number"],
        {"variables": {"cluster_stop_grace_seconds": "5m"}},
    ),
    "a countdown before now": (
        ["`cluster_longest_countdown_seconds` is -1; give it a number from 0 to 2,592,000"],
        {"variables": {"cluster_longest_countdown_seconds": -1}},
    ),
    "a countdown of a year": (
        ["`cluster_longest_countdown_seconds` is 31536000; give it a number from 0 to 2,592,000"],
        {"variables": {"cluster_longest_countdown_seconds": 31536000}},
    ),
    "a number after -e": (
        [
            "`rabbitmq_consumer_timeout_seconds`",
            "is '3600', a text; give it a whole number: 3600 without quotes",
            """-e '{"rabbitmq_consumer_timeout_seconds": 3600}'""",
        ],
        {"extra": {"rabbitmq_consumer_timeout_seconds": "3600"}},
    ),
    "a boolean after -e": (
        [
            "`host_unattended_upgrades` is 'false', a text; give it true or false: false without quotes",
            """-e '{"host_unattended_upgrades": false}'""",
        ],
        {"extra": {"host_unattended_upgrades": "false"}},
    ),
    "a list after -e": (
        ["`celery_app_debian_packages`", "is 'libpq5', a text; give it a list"],
        {"extra": {"celery_app_debian_packages": "libpq5"}},
    ),
    "a mapping that is a list": (
        ["`cluster_app_environment` is not what it should be, a list; give it a mapping"],
        {"variables": {"cluster_app_environment": ["KEY=value"]}},
    ),
    "no connections": (
        ["`haproxy_max_connections` of lb1 is 0; give it a number from 16"],
        {"variables": {"haproxy_max_connections": 0}},
    ),
    "a log for no days": (
        ["`rabbitmq_log_days` of mq1 is 0; give it a number from 1"],
        {"variables": {"rabbitmq_log_days": 0}},
    ),
    "a boot in no time": (
        ["`rabbitmq_boot_timeout_seconds` of mq1 is 1; give it a number from 30"],
        {"variables": {"rabbitmq_boot_timeout_seconds": 1}},
    ),
    "a check in no time": (
        ["`haproxy_check_interval_milliseconds` of lb1 is 1; give it a number from 100"],
        {"variables": {"haproxy_check_interval_milliseconds": 1}},
    ),
    "a number of processes with a fraction": (
        ["`concurrency` of both in `cluster_worker_programs` is 4.0, a number; give it a whole number"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"concurrency": 4.0}]}},
    ),
    "mirrors as a text": (
        ["`cluster_queue_mirrors` is '2', a text; give it `all`, or a number of copies, 2 or more, without quotes"],
        {"extra": {"cluster_queue_mirrors": "2"}},
    ),
    "a command that is true": (
        ["`cluster_web_command` is not what it should be, true or false; give it a command"],
        {"groups": {"web": {"w1": {}}}, "variables": {"cluster_web_command": True}},
    ),
    "a requirement with a password": (
        ["entry 1 in `cluster_app_extra_requirements` is '--index-url https://…@pypi.example.com'; give it a"],
        {"variables": {"cluster_app_extra_requirements": ["--index-url https://u:hidden@pypi.example.com"]}},
    ),
    "an interval in text": (
        ["`prometheus_interval_seconds` of w1 is '15s'; give it a whole number"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"prometheus_interval_seconds": "15s"}},
    ),
    # What does not fit together.
    "a schedule without a scheduler": (
        ["Nothing would send the entries of `cluster_schedule`", "add one under `celery_beat:`"],
        {"variables": {"cluster_schedule": [ENTRY]}},
    ),
    "an entry for a queue that does not exist": (
        [
            "The entry nightly of `cluster_schedule` is for the queue quick, which does not exist: choose from "
            "default, slow"
        ],
        {"groups": {"celery_beat": {"w1": {}}}, "variables": {"cluster_schedule": [ENTRY | {"queue": "quick"}]}},
    ),
    "queues that are not the same for all": (
        [
            "`cluster_queues` is a fact about the whole cluster, but mq1 has another value than other hosts",
            "group_vars/all,",
        ],
        {"groups": {"rabbitmq": {"mq1": {"cluster_queues": [{"name": "default", "routes": ["*"]}]}}}},
    ),
    "brokers that have no certificates for TLS": (
        ["Brokers have no certificates to speak TLS with each other: set `cluster_tls: true`"],
        {"variables": {"cluster_tls_between_brokers": True}},
    ),
    "a vhost of one host": (
        ["`cluster_vhost` is a fact about the whole cluster, but w1 has another value"],
        {"groups": {"celery_workers": {"w1": {"cluster_vhost": "other"}}}},
    ),
    "a Flower that is opened": (
        ["`flower_extra_config` of w1 cannot have this.", "`basic_auth`: set `flower_users`"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"flower_extra_config": {"basic_auth": []}}},
    ),
    "a broker for guests": (
        ["`rabbitmq_extra_config` of mq1 cannot have this.", "`loopback_users.guest`: leave it out"],
        {"variables": {"rabbitmq_extra_config": {"loopback_users.guest": False}}},
    ),
    "a broker's setting in two lines": (
        ["`rabbitmq_extra_config` of mq1 cannot have this.", "`heartbeat`: its value has a line break"],
        {"variables": {"rabbitmq_extra_config": {"heartbeat": "60\nloopback_users = none"}}},
    ),
    "a Redis that is opened": (
        [
            "`redis_extra_config` of r1 cannot have this.",
            "`protected-mode`: leave it out",
            "`requirepass`: set `secret_redis`",
        ],
        {
            "groups": {"redis": {"r1": {}}},
            "variables": {"redis_extra_config": {"protected-mode": "no", "requirepass": ""}},
        },
    ),
    "a database with one name for two": (
        ["`postgresql_databases` of db1 has the name of another: shop. Give each its own"],
        {
            "groups": {"postgresql": {"db1": {}}},
            "variables": {
                "postgresql_databases": [
                    {
                        "name": "shop",
                        "owner": "shop",
                        "data_group": "shop-data",
                        "users": [{"name": "shop", "password": "kfR9/2pWq+Zt7w==", "rights": "data"}],
                    }
                ]
            },
        },
    ),
    "a database that forgets": (
        [
            "`postgresql_extra_config` of db1 cannot have this.",
            "`fsync`: leave it out, as a crash would damage the database",
        ],
        {"groups": {"postgresql": {"db1": {}}}, "variables": {"postgresql_extra_config": {"fsync": "off"}}},
    ),
    "a user of a Redis that is not there": (
        ["`redis_users` of r1 needs for each user an `instance` of `redis_instances`", "leave it out"],
        {
            "groups": {"redis": {"r1": {}}},
            "variables": {
                "redis_users": [{"instance": "loks", "purpose": "locks", "name": "shop", "password": "Zt4-kqW9_pLm2"}]
            },
        },
    ),
    "a user of Redis with the administrator's name": (
        ["`redis_users` of r1 needs for each user", "but not default or monitor"],
        {
            "groups": {"redis": {"r1": {}}},
            "variables": {
                "redis_users": [
                    {"instance": "locks", "purpose": "locks", "name": "default", "password": "Zt4-kqW9_pLm2"}
                ]
            },
        },
    ),
    "a Redis with half a certificate": (
        ["`redis_tls` of r1 lacks `certificate`, `key`, `group`; leave it out, and set `cluster_tls`"],
        {"groups": {"redis": {"r1": {}}}, "variables": {"redis_tls": HALF}},
    ),
    "a database with half a certificate": (
        ["`postgresql_tls` of db1 lacks `certificate`, `key`, `group`; leave it out, and set `cluster_tls`"],
        {"groups": {"postgresql": {"db1": {}}}, "variables": {"postgresql_tls": HALF}},
    ),
    "a broker with half a certificate": (
        ["`rabbitmq_tls` of mq1 lacks `certificate`, `key`, `group`; leave it out, and set `cluster_tls`"],
        {"variables": {"rabbitmq_tls": HALF}},
    ),
    "a HAProxy with half a certificate": (
        ["`haproxy_tls` of lb1 lacks `certificate`, `key`; leave it out, and set `cluster_tls`"],
        {"variables": {"haproxy_tls": HALF}},
    ),
    "exporters with half a certificate": (
        ["`exporter_tls` lacks `certificate`, `key`, `group`; leave it out, and set `cluster_tls`"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"exporter_tls": HALF}},
    ),
    "a Flower with half a certificate": (
        ["`flower_tls` of w1 lacks `certificate`, `key`, `group`; leave it out, and set `cluster_tls`"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"flower_tls": HALF}},
    ),
    "a Prometheus with half a certificate": (
        ["`prometheus_tls` of w1 lacks `certificate`, `key`, `group`; leave it out, and set `cluster_tls`"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"prometheus_tls": HALF}},
    ),
    "programs that cannot know their brokers": (
        ["`celery_app_broker_tls` of w1 lacks `name`; leave it out, and set `cluster_tls`, or give it that as well."],
        {"variables": {"celery_app_broker_tls": HALF}},
    ),
    "a HAProxy with root's rights": (
        ["`haproxy_extra_global` of lb1 cannot have this.", "`user`: leave it out"],
        {"variables": {"haproxy_extra_global": ["user root"]}},
    ),
    "a key that HAProxy does not find": (
        ["HAProxy on lb1 looks for the key of /etc/tls/lb1.crt beside it, but `haproxy_tls` says /etc/keys/lb1.key"],
        {
            "variables": {
                "haproxy_tls": {
                    "authority": "/etc/tls/ca.crt",
                    "certificate": "/etc/tls/lb1.crt",
                    "key": "/etc/keys/lb1.key",
                },
                "haproxy_stats_authorities": ["/etc/tls/ca.crt"],
            }
        },
    ),
    "a page whose authority nobody knows": (
        ["`status.yml` could not verify the stats page of lb1", "`haproxy_stats_authorities`"],
        {
            "variables": {
                "haproxy_tls": {
                    "authority": "/etc/tls/ca.crt",
                    "certificate": "/etc/tls/lb1.crt",
                    "key": "/etc/tls/lb1.key",
                }
            }
        },
    ),
    # What cannot be evaluated, and what is misspelt.
    "a fact that cannot be evaluated": (
        [
            "`cluster_vip` cannot be evaluated, as `shop_vip` is not defined: define that, or correct the value of "
            "`cluster_vip`"
        ],
        {"variables": {"cluster_vip": "{{ shop_vip }}"}},
    ),
    "an input that cannot be evaluated": (
        ["`celery_worker_log_level` of w1 cannot be evaluated, as `shop_level` is not defined"],
        {"variables": {"celery_worker_log_level": "{{ shop_level }}"}},
    ),
    "an expression that fails": (
        ["`cluster_web_port` cannot be evaluated: ", "division"],
        {"variables": {"cluster_web_port": "{{ 1 // 0 }}"}},
    ),
    "an expression that is not closed": (
        ["`cluster_vhost` cannot be evaluated: "],
        {"variables": {"cluster_vhost": "{{ 'shop' }"}},
    ),
    "a misspelt fact": (
        ["`cluster_vpi` of all hosts (is it `cluster_vip`?)"],
        {"variables": {"cluster_vpi": "192.0.2.9"}},
    ),
    "a misspelt input of a broker": (
        ["`rabbitmq_memory_watermark` of all hosts (is it `rabbitmq_memory_high_watermark`?)"],
        {"variables": {"rabbitmq_memory_watermark": {"relative": 0.4}}},
    ),
    "a misspelt beginning": (
        ["`clutser_worker_programs` of all hosts (is it `cluster_worker_programs`?)"],
        {"variables": {"clutser_worker_programs": []}},
    ),
    "a misspelt secret": (
        ["`secret_rabitmq_worker` of all hosts (is it `secret_rabbitmq_worker`?)"],
        {"variables": {"secret_rabitmq_worker": "x"}},
    ),
    # What people also type.
    "an address of nobody's": (
        ["`ansible_host` of w1 is '169.254.1.1', no address that one host can have"],
        {"groups": {"celery_workers": {"w1": {"ansible_host": "169.254.1.1"}}}},
    ),
    "an address with a space": (
        ["`ansible_host` of w1 is '192.0.2.31 ', an address with white space around it; give it"],
        {"groups": {"celery_workers": {"w1": {"ansible_host": "192.0.2.31 "}}}},
    ),
    "an address with a leading zero": (
        ["`ansible_host` of w1 is '192.0.2.031', an address with a leading zero"],
        {"groups": {"celery_workers": {"w1": {"ansible_host": "192.0.2.031"}}}},
    ),
    "an address of IPv6 in brackets": (
        ["`ansible_host` of w1 is '[2001:db8::31]', an IPv6 address"],
        {"groups": {"celery_workers": {"w1": {"ansible_host": "[2001:db8::31]"}}}},
    ),
    "an address that is empty": (
        ["`cluster_address` of w1 is '', empty; give it an IPv4 address"],
        {"groups": {"celery_workers": {"w1": {"cluster_address": ""}}}},
    ),
    "a shared address that is nothing": (
        ['`cluster_vip` is None, nothing; give it an IPv4 address of its own, such as 192.0.2.11, or "".'],
        {"variables": {"cluster_vip": None}},
    ),
    "a shared address that is a list": (
        ["`cluster_vip` is ['192.0.2.9'], a list; give it an IPv4 address"],
        {"groups": TWO_HAPROXIES, "variables": {"cluster_vip": ["192.0.2.9"]}},
    ),
    "a shared address that every host has": (
        ["`cluster_vip` is 127.0.0.1, which every host has for itself", "in the network of lb1, lb2"],
        {"groups": TWO_HAPROXIES, "variables": {"cluster_vip": "127.0.0.1"}},
    ),
    "a broker by its address": (
        ["takes 192.0.2.55 for long names", "name the host mq55 in the inventory"],
        {"groups": {"rabbitmq": {"192.0.2.55": {}}}},
    ),
    "a port without an end": (
        ["`cluster_amqp_port` is inf, a number; give it a whole number"],
        {"variables": {"cluster_amqp_port": float("inf")}},
    ),
    "a second port that is none": (
        ["`cluster_redis_exporter_port` is 65535; give it a number from 1 to 65,534"],
        {
            "groups": {"redis": {"r1": {}}, "monitoring": {"w1": {}}},
            "variables": {"cluster_redis_exporter_port": 65535},
        },
    ),
    "a threshold that is no number": (
        ["`cluster_threshold_clock_seconds` is nan; give it a number above 0"],
        {"variables": {"cluster_threshold_clock_seconds": float("nan")}},
    ),
    "a group by the name of a part": (
        ["no group `flower:`, which has w1: is it `monitoring:`?"],
        {"groups": {"flower": {"w1": {}}}},
    ),
    "a group by a shorter name": (
        ["no group `beat:`, which has w1: is it `celery_beat:`?"],
        {"groups": {"beat": {"w1": {}}}},
    ),
    "variables a level too deep": (
        ["`vars` of all hosts would be a variable, and nobody reads `cluster_vip` in it", "begin at the margin"],
        {"variables": {"vars": {"cluster_vip": "192.0.2.9"}}},
    ),
    "hosts below a host": (
        ["`hosts` of w1 would be a variable, and nobody reads `w2` in it", "belongs below a group"],
        {"groups": {"celery_workers": {"w1": {"hosts": {"w2": {}}}}}},
    ),
    "routes that are nothing": (
        ["`routes` of slow in `cluster_queues` is None, nothing; give it a list", "or leave it out"],
        {"variables": {"cluster_queues": [{"name": "default", "routes": ["*"]}, {"name": "slow", "routes": None}]}},
    ),
    "two tasks in one route": (
        ["entry 1 in `routes` of slow in `cluster_queues` is 'shop.pay,shop.mail', two names; give it a task's name"],
        {
            "variables": {
                "cluster_queues": [
                    {"name": "default", "routes": ["*"]},
                    {"name": "slow", "routes": ["shop.pay,shop.mail"]},
                ]
            }
        },
    ),
    "a route with a space": (
        ["entry 1 in `routes` of slow in `cluster_queues` is 'shop.pay '", "without spaces"],
        {
            "variables": {
                "cluster_queues": [{"name": "default", "routes": ["*"]}, {"name": "slow", "routes": ["shop.pay "]}]
            }
        },
    ),
    "a route without a task": (
        ["`task` of entry 1 in `routes` of slow in `cluster_queues` is None, nothing; give it a task's name"],
        {
            "variables": {
                "cluster_queues": [
                    {"name": "default", "routes": ["*"]},
                    {"name": "slow", "routes": [{"task": None, "priority": 1}], "max_priority": 5},
                ]
            }
        },
    ),
    "a glob that Celery takes for a name": (
        ["entry 1 in `routes` of slow in `cluster_queues` is 'shop.pa?'"],
        {
            "variables": {
                "cluster_queues": [{"name": "default", "routes": ["*"]}, {"name": "slow", "routes": ["shop.pa?"]}]
            }
        },
    ),
    "a glob behind a wider one": (
        [
            "The route shop.mail.* of slow",
            "would never count, as shop.* of default stands before it",
            "put slow before",
        ],
        {
            "variables": {
                "cluster_queues": [
                    {"name": "default", "routes": ["shop.*", "*"]},
                    {"name": "slow", "routes": ["shop.mail.*"]},
                ]
            }
        },
    ),
    "a queue whose name is left out": (
        ["`name` of entry 1 in `cluster_queues` is missing; give it a text"],
        {"variables": {"cluster_queues": [{"routes": ["*"]}]}},
    ),
    "a program without queues": (
        ["`queues` of idle in `cluster_worker_programs` is [], empty; give it a list of queues"],
        {"variables": {"cluster_worker_programs": [PROGRAM, {"name": "idle", "queues": [], "concurrency": 1}]}},
    ),
    "a program that lists a queue twice": (
        ["`queues` of both in `cluster_worker_programs`", "a list with slow more than once"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"queues": ["default", "slow", "slow"]}]}},
    ),
    "a pool that is nothing": (
        ["`pool` of both in `cluster_worker_programs` is None, nothing; give it one of prefork", "or leave it out"],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"pool": None}]}},
    ),
    "a pool that grows to a fraction": (
        ["`max` of `autoscale` of both in `cluster_worker_programs` is 2.5, a number; give it a whole number"],
        {"variables": {"cluster_worker_programs": [SCALED | {"autoscale": {"min": 1, "max": 2.5}}]}},
    ),
    "an argument in the place of an input": (
        [
            "`extra_arguments` of the worker program both on w1 cannot have this.",
            "`-c8`: set `concurrency`",
            "`--pool=solo`",
        ],
        {"variables": {"cluster_worker_programs": [PROGRAM | {"extra_arguments": ["-c8", "--pool=solo"]}]}},
    ),
    "a quorum queue that does not exist": (
        ["`celery_worker_quorum_queues` of w1 lists the unknown queue slwo: choose from default, slow"],
        {"variables": {"celery_worker_quorum_queues": ["slwo"]}},
    ),
    "an entry that never comes": (
        ["`every_seconds` of nightly in `cluster_schedule` is inf; give it a number from 0 to"],
        {
            "groups": {"celery_beat": {"w1": {}}},
            "variables": {"cluster_schedule": [{"name": "nightly", "task": "t", "every_seconds": float("inf")}]},
        },
    ),
    "a crontab in two lines": (
        ["The entry nightly has the crontab '0 3 * * *\\n* * * * *', which Celery cannot read"],
        {
            "groups": {"celery_beat": {"w1": {}}},
            "variables": {"cluster_schedule": [ENTRY | {"crontab": "0 3 * * *\n* * * * *"}]},
        },
    ),
    "an argument whose name is a number": (
        ["a name in `kwargs` of nightly in `cluster_schedule` is 1, a number; give it a name", "in quotes"],
        {"groups": {"celery_beat": {"w1": {}}}, "variables": {"cluster_schedule": [ENTRY | {"kwargs": {1: "x"}}]}},
    ),
    "an entry for all tasks": (
        ["`task` of nightly in `cluster_schedule` is 'shop.*', a glob, and one task is sent; give it a task's name"],
        {"groups": {"celery_beat": {"w1": {}}}, "variables": {"cluster_schedule": [ENTRY | {"task": "shop.*"}]}},
    ),
    "an input of a role in the place of a fact": (
        ["`rabbitmq_vhost` of mq1 is 'shop', but other parts read `cluster_vhost`: set that, and take this out."],
        {"variables": {"rabbitmq_vhost": "shop"}},
    ),
    "environment variables that are a list of mappings": (
        ["`cluster_app_environment` is not what it should be, a list; give it a mapping"],
        {"variables": {"cluster_app_environment": [{"name": "KEY", "value": "x"}]}},
    ),
    "Python's folder in the environment": (
        ["`cluster_app_environment` cannot have this.", "`PYTHONHOME`: leave it out"],
        {"variables": {"cluster_app_environment": {"PYTHONHOME": "/usr"}}},
    ),
    "a secret of one host": (
        ["`secret_rabbitmq_worker` of mq1 is not that of other hosts, which need the same: set it once"],
        {"groups": {"rabbitmq": {"mq1": {"secret_rabbitmq_worker": "Zt4-kqW9_pLm2"}}}},
    ),
    "a secret of one host that is known": (
        ["`secret_flower` is known to everybody who guesses"],
        {"groups": {"monitoring": {"w1": {"secret_flower": "changeme1234"}}}},
    ),
    "a name in capitals": (
        ["`CLUSTER_VIP` of all hosts (is it `cluster_vip`?)"],
        {"variables": {"CLUSTER_VIP": "192.0.2.9"}},
    ),
    "the beginning of a name": (
        ["`rabbitmq_memory` of all hosts (is it `rabbitmq_memory_paging_ratio`?)"],
        {"variables": {"rabbitmq_memory": 0.4}},
    ),
    "a foreign name that is a text": (
        ["`cluster_foreign_variables` is 'redis_version', a text; give it a list"],
        {"variables": {"cluster_foreign_variables": "redis_version", "redis_version": 7}},
    ),
    "a broker with users from a file": (
        [
            "`rabbitmq_extra_config` of mq1 cannot have this.",
            "`load_definitions`: leave it out",
            "`vm_memory_high_watermark`: set `rabbitmq_memory_high_watermark`",
        ],
        {"variables": {"rabbitmq_extra_config": {"load_definitions": "/x", "vm_memory_high_watermark": 0.8}}},
    ),
    "a HAProxy with sections of its own": (
        ["`haproxy_extra_global` of lb1 cannot have this.", "`userlist`: leave it out", "`bind`: leave it out"],
        {"variables": {"haproxy_extra_global": ["userlist staff", "bind *:80"]}},
    ),
    "facts that follow from each other": (
        ["`cluster_vhost` follows from itself, perhaps through others. Give it a value of its own"],
        {"variables": {"cluster_vhost": "{{ cluster_app_name }}", "cluster_app_name": "{{ cluster_vhost }}"}},
    ),
    "a setting by its old name": (
        ["a name in `celery_app_extra_config` of w1 is 'CELERY_ACKS_LATE'; give it a setting's name in lower-case"],
        {"variables": {"celery_app_extra_config": {"CELERY_ACKS_LATE": False}}},
    ),
    "annotations that are a text": (
        ["`task_annotations` in `celery_app_extra_config` is no mapping: write it as {TASK: {OPTION: VALUE}}"],
        {"variables": {"celery_app_extra_config": {"task_annotations": "10/s"}}},
    ),
    "another result backend by a setting": (
        ["`result_backend` in `celery_app_extra_config` cannot be there", "set `cluster_result_backend`"],
        {"variables": {"celery_app_extra_config": {"result_backend": "redis://"}}},
    ),
    "a calendar that is a crontab": (
        ["`celery_worker_restart_calendar` of w1 is '0 3 * * *', a crontab; give it a time as systemd's OnCalendar"],
        {"variables": {"celery_worker_restart_calendar": "0 3 * * *"}},
    ),
    "a calendar in words": (
        ["`celery_worker_restart_calendar` of w1 is 'nightly'; give it a time as systemd's OnCalendar"],
        {"variables": {"celery_worker_restart_calendar": "nightly"}},
    ),
    "a calendar after midnight": (
        ["`celery_worker_restart_calendar` of w1 is '25:00'; give it a time as systemd's OnCalendar"],
        {"variables": {"celery_worker_restart_calendar": "25:00"}},
    ),
    "a web server without a command": (
        ["`cluster_web_command` is not what it should be, empty; give it a command"],
        {"groups": {"web": {"w1": {}}}, "variables": {"cluster_web_command": " "}},
    ),
    "alerts that nothing sends": (
        ["Nothing would send alerts to what `cluster_alertmanagers` says", "add one under `monitoring:`"],
        {"variables": {"cluster_alertmanagers": ["192.0.2.7:9093"]}},
    ),
    "alerts for a receiver that does not exist": (
        ["`cluster_alertmanager_config` has no `route:` whose `receiver:` is one of its `receivers:`"],
        {
            "groups": {"monitoring": {"w1": {}}},
            "variables": {"cluster_alertmanager_config": {"route": {"receiver": "me"}, "receivers": [{"name": "us"}]}},
        },
    ),
    "a job of the kit's name": (
        ["Give each entry of `prometheus_extra_jobs` a `job_name` of its own, and none of node, rabbitmq"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"prometheus_extra_jobs": [{"job_name": "node"}]}},
    ),
    "a result backend that is nothing": (
        ["`cluster_result_backend` is None, nothing; give it one of disabled, redis"],
        {"variables": {"cluster_result_backend": None}},
    ),
    "mirrors that are true": (
        [
            "`cluster_queue_mirrors` is True, true or false; give it `all`, or a number of copies, 2 or more, without "
            "quotes."
        ],
        {"variables": {"cluster_queue_mirrors": True}},
    ),
    "a Flower that is opened by an option": (
        ["`flower_extra_config` of w1 cannot have this.", "`basic-auth`: set `flower_users`"],
        {"groups": {"monitoring": {"w1": {}}}, "variables": {"flower_extra_config": {"basic-auth": []}}},
    ),
    "an environment that is a date": (
        ["`cluster_environment` is", "a date; give it a name", "in quotes"],
        {"variables": {"cluster_environment": datetime.date(2026, 1, 1)}},
    ),
    "a user with a line break": (
        ["`cluster_app_user` is 'shop\\n', a text with a line break"],
        {"variables": {"cluster_app_user": "shop\n"}},
    ),
    "a module that is a file": (
        ["`cluster_app_module` is 'shop.py', a file; give it what `celery -A` takes"],
        {"variables": {"cluster_app_module": "shop.py"}},
    ),
    "two requirements in one": (
        ["entry 1 in `cluster_app_extra_requirements` is 'gunicorn django', two requirements"],
        {"variables": {"cluster_app_extra_requirements": ["gunicorn django"]}},
    ),
}


def has(*files: str) -> dict[str, Any]:
    """Return what a host answers that has these files of the project's."""
    return kit.NOTHING_THERE | {"files": {file: {"owner": "celery"} for file in files}}


# What only the hosts, or the project, can tell.
CASES_OF_HOSTS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "another user than the files'": (
        ["would run as shop on w1", "/home, which belongs to celery: set `cluster_app_user`", "chown"],
        {"variables": {"cluster_app_user": "shop"}, "extra": {"preflight_said": has("/var/lib/celery/home")}},
    ),
    "another user of the site than the files'": (
        ["The site would run as celery-web on w1", "which belongs to celery: set `cluster_web_user`", "chown"],
        {"groups": {"web": {"w1": {}}}, "extra": {"preflight_said": has("/var/lib/celery/web/home")}},
    ),
    "a second project on the same hosts": (
        [
            "w1 runs the project other, and reference would take its place",
            "hosts of its own",
            "rm -r /opt/celery/other",
        ],
        {"extra": {"preflight_said": has("/opt/celery/other/check_app.py", "/opt/celery/reference/check_app.py")}},
    ),
    "a Python that the hosts do not have": (
        ["The project wants Python >=99, and w1 has 3.", "correct that in the project", "`celery_app_python`"],
        {"project": '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=99"\n'},
    ),
    "a Python that Poetry asks for and the hosts do not have": (
        ["The project wants Python ^99, and w1 has 3.", "correct that in the project"],
        {"project": '[tool.poetry.dependencies]\npython = "^99"\n'},
    ),
    "a publisher in C on another architecture": (
        ["librabbitmq-fork exists for no other than mips", "`cluster_c_publisher: false` for every host"],
        {
            "groups": {"celery_workers": {"w1": {"cluster_c_publisher": True, "celery_app_confirm_publish": False}}},
            "extra": {"preflight_c_publisher_architectures": ["mips"]},
        },
    ),
    "an unsupported release": (
        ["Debian 12 (bookworm) and 13 (trixie)", "install one of them on it", "take it out of the inventory"],
        {"extra": {"preflight_supported_releases": []}},
    ),
    "a broker on a release whose RabbitMQ mirrors no queues": (
        ["whose RabbitMQ mirrors no queues", "set `cluster_queue_type: quorum`", "install Debian 12 on the host"],
        {"extra": {"preflight_mirroring_releases": []}},
    ),
    "a host that cannot be reached": (
        ["w1 cannot be reached", "`ssh operator@127.0.0.1`", "`--limit 'all:!w1'`"],
        {
            # The hosts answer themselves.
            "extra": {"preflight_said": None},
            "groups": {
                "celery_workers": {
                    "w1": {
                        "ansible_host": "127.0.0.1",
                        "cluster_address": "192.0.2.33",
                        "ansible_connection": "ssh",
                        "ansible_port": 1,
                        "ansible_user": "operator",
                    }
                }
            },
        },
    ),
}
GOOD: dict[str, dict[str, Any]] = {
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
        "groups": TWO_HAPROXIES,
        "variables": {"cluster_vip": "192.0.2.9"},
    },
    "thresholds of its own": {
        "groups": {"monitoring": {"w1": {}}},
        "variables": {"cluster_threshold_clock_seconds": 0.5, "cluster_threshold_inodes_share": 1},
    },
    "facts that are computed": {
        "variables": {
            "shop_place": "eu",
            "cluster_environment": "{{ shop_place }}-production",
            "cluster_stop_grace_seconds": "{{ 60 * 5 }}",
        }
    },
    "lines of HAProxy's that begin like others": {
        "variables": {"haproxy_extra_global": ["server-state-base /var/lib/haproxy/state", "nbthread 4"]},
    },
    "a page of HAProxy's with a certificate of its own": {
        "variables": {
            "haproxy_tls": {
                "authority": "/etc/tls/ca.crt",
                "certificate": "/etc/tls/lb1.crt",
                "key": "/etc/tls/lb1.key",
                "group": "tls",
            },
            "haproxy_stats_authorities": ["/etc/tls/ca.crt"],
        },
    },
    "routes that Celery looks up before globs": {
        "variables": {
            "cluster_queues": [
                {"name": "default", "routes": ["shop.*", "*"]},
                {"name": "slow", "routes": ["shop.pay", "*.slow"]},
            ]
        },
    },
    "groups around those of the kit": {
        "groups": {"workers": {"w1": {}}, "celery_worker": {"w1": {}}},
        "variables": {"rabbitmq_amqp_port": 5672, "flower_port": 6000},
    },
    "calendars and alerts": {
        "groups": {"monitoring": {"w1": {}}},
        "variables": {
            "celery_worker_restart_calendar": "Mon..Fri *-*-* 03:00:00 Europe/Berlin",
            "cluster_alertmanager_config": {"route": {"receiver": "us"}, "receivers": [{"name": "us"}]},
            "prometheus_extra_jobs": [{"job_name": "shop", "static_configs": [{"targets": ["192.0.2.5:80"]}]}],
        },
    },
    "arguments of a worker's own": {
        "variables": {
            "cluster_worker_programs": [PROGRAM | {"extra_arguments": ["-O", "fair", "--time-limit", 300, "-E"]}]
        }
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
