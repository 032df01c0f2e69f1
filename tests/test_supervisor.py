"""What is written into supervisord's configuration is what supervisord reads, and a bad entry never gets there.

The filters are called here; supervisord itself, and the host's `supervisor-entries`, run in the validators' image.
"""

import json
import shlex

import jinja2
import kit
import pytest
import supervisor
from celery_worker import celery_worker_commands

# Each of them means something to supervisord, to its parsers, or to a shell.
NASTY = [
    "--statedb=/var/lib/celery/home/%n.state",
    "%",
    "100%%",
    "%(here)s",
    "%%(here)s",
    "%(program_name)s and %(ENV_HOME)s",
    "a ; b",
    "a;b",
    ";",
    "; ;",
    "#",
    "a # b",
    "a\t;b\t#c",
    "a\u00a0;b",
    " ' ; \" # %(here)s",
    "'",
    '"',
    "it's",
    '"quoted"',
    "''",
    "\\",
    "a\\ b\\",
    "$HOME `id` $(id) * ? ~ ! & | < >",
    "",
    " ",
    " both ends ",
    "[program:x]",
    "user=root",
    "kéÿ=ü→😀",
    "{{ x }}",
]
ENVIRONMENT = {
    "A": "%n %(here) 100%%",
    "B": "it's; a;b a#b",
    "C": 'a "quoted" word, =x',
    "D": "",
    "E": "\\n $HOME é",
    "WARREN_FINGERPRINT": "0123456789ab",
}
# Runs each program of an entry as supervisord would, with Debian's package, and prints what it gets.
READ = """
import json, shlex, sys
from supervisor.options import ServerOptions
options = ServerOptions()
options.realize(["-c", "/etc/supervisor/supervisord.conf"])
print(json.dumps({
    process.name: {
        "words": shlex.split(process.command),
        "environment": process.environment,
        "log": process.stdout_logfile,
        "uid": process.uid,
        "stops": [int(process.stopsignal), process.stopwaitsecs, process.stopasgroup, process.killasgroup],
    }
    for group in options.process_group_configs
    for process in group.process_configs
}))
"""


def entry(programs, environment=None, **inputs):
    """An entry as the role's template makes it; `environment` is the whole of it."""
    loader = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)
    loader.filters |= supervisor.FilterModule().filters()
    text = (kit.PROJECT / "roles/supervisor_program/templates/program.conf.j2").read_text()
    defaults = {
        "supervisor_program_user": "celery",
        "supervisor_program_start_retries": 3,
        "supervisor_program_stop_wait_seconds": 40,
        "supervisor_program_log_dir": "/var/log/celery",
        "supervisor_program_log_max_megabytes": 50,
        "supervisor_program_log_backups": 5,
        "ansible_managed": "Ansible managed",
    }
    return loader.from_string(text).render(
        **(defaults | inputs),
        supervisor_program_programs=programs,
        __supervisor_program_environment=environment or {"WARREN_FINGERPRINT": "0123456789ab"},
    )


def in_the_image(folder, script, *arguments):
    """Run a shell script where supervisord is installed; `folder` is /test, the role's files are /role."""
    done = kit.run_in_the_validators_image(
        *["sh", "-euc", script, "sh", *arguments],
        volumes=[f"{folder}:/test", f"{kit.PROJECT}/roles/supervisor_program/files:/role:ro"],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_supervisord_reads_what_was_written(tmp_path):
    """Every nasty word alone and all together, as words and as a text; and the environment."""
    commands = {f"p{number}": ["/bin/true", word, "end"] for number, word in enumerate(NASTY)}
    commands["all-words"] = ["/bin/true", *NASTY]
    texts = {"as-text": shlex.join(["/bin/true", *NASTY]), "folded": " /bin/true  'a b'\\; ' #c' \n"}
    programs = [{"name": name, "command": command} for name, command in (commands | texts).items()]
    (tmp_path / "test.conf").write_text(entry(programs, ENVIRONMENT))
    (tmp_path / "read.py").write_text(READ)
    said = json.loads(
        in_the_image(tmp_path, "cp /test/test.conf /etc/supervisor/conf.d; /usr/bin/python3 /test/read.py")
    )
    assert {name: read["words"] for name, read in said.items()} == commands | {
        name: shlex.split(text) for name, text in texts.items()
    }
    for name, read in said.items():
        assert read["environment"] == ENVIRONMENT
        assert read["log"] == f"/var/log/celery/{name}.log"
        assert read["uid"] > 0
        assert read["stops"] == [15, 40, False, True]


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x0b", "\x1b", "\x85", "\u2028"])
def test_what_no_line_can_hold_is_refused(character):
    bad = f"a{character}b"
    for write, value in [
        (supervisor.supervisor_command, ["/bin/true", bad]),
        (supervisor.supervisor_command, f"/bin/true {bad}"),
        (supervisor.supervisor_value, bad),
        (supervisor.supervisor_environment, {"A": bad}),
    ]:
        with pytest.raises(supervisor.RefusedError, match="control character"):
            write(value)


@pytest.mark.parametrize("value", ["a\"b'", "'a'", '"a', "a ;b", "a #b", "%(here)s"])
def test_what_the_environment_cannot_hold_is_refused(value):
    with pytest.raises(supervisor.RefusedError, match="of A has quotes"):
        supervisor.supervisor_environment({"A": value})


@pytest.mark.parametrize("name", ["", "A B", "1A", "A=B", "A\n", "é"])
def test_a_name_that_no_variable_has_is_refused(name):
    with pytest.raises(supervisor.RefusedError, match="no name of a variable"):
        supervisor.supervisor_environment({name: "a"})


@pytest.mark.parametrize("value", ["a ;b", "; a", " a", "%(here)s"])
def test_a_value_that_would_be_read_as_another_is_refused(value):
    with pytest.raises(supervisor.RefusedError, match="read as something else"):
        supervisor.supervisor_value(value)


def test_refusals_name_the_program_and_the_value():
    programs = [
        {"name": "good", "command": ["true", "%"]},
        {"name": "lines", "command": ["true", "--x=a\nuser=root"]},
        {"name": "open", "command": "gunicorn 'shop"},
        {"name": "a:b", "command": ["true"]},
        {"name": "all", "command": ["true"]},
    ]
    assert supervisor.supervisor_refusals(programs[:1], "celery", {"A": "b"}) == []
    assert supervisor.supervisor_refusals(programs, "cel\nery", {"A": "b ;c"}) == [
        "the program lines: '--x=a\\nuser=root' has a line break or another control character",
        'the program open: "gunicorn \'shop": No closing quotation',
        "a program's name has letters, digits, `.`, `-` and `_`, and is not 'a:b'",
        "a program cannot be named all, which supervisorctl takes for every program",
        "the user: 'cel\\nery' has a line break or another control character",
        "the environment: 'b ;c' of A has quotes, or what looks like a comment, that cannot be escaped",
    ]


def commands_of(*programs, **options):
    settings = {"log_level": "INFO", "task_events": False, "state_dir": ""} | {
        f"without_{part}": False for part in ("heartbeat", "gossip", "mingle")
    }
    return celery_worker_commands(programs, ["run", "celery", "-A", "shop"], "w1", **(settings | options))


def test_a_worker_has_the_arguments_of_its_inputs_and_of_all():
    program = {
        "name": "mail",
        "queues": ["mail", "slow"],
        "pool": "gevent",
        "autoscale": {"min": 2, "max": 9},
        "extra_arguments": ["--statedb=/x/%n a", 5],
    }
    shared = {"log_level": "ERROR", "task_events": True, "without_heartbeat": True, "without_gossip": True}
    assert commands_of(program, **shared, without_mingle=True) == [
        {
            "name": "mail",
            "command": [
                *["run", "celery", "-A", "shop", "worker", "--hostname=mail@w1", "--queues=mail,slow", "--pool=gevent"],
                *["--autoscale=9,2", "--loglevel=ERROR", "-E"],
                *["--without-heartbeat", "--without-gossip", "--without-mingle"],
                *["--statedb=/x/%n a", "5", "worker.enable_prefetch_count_reduction=false"],
            ],
        }
    ]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ({"concurrency": 3}, ["--pool=prefork", "--concurrency=3"]),
        ({"pool": "solo"}, ["--pool=solo", "--concurrency=1"]),
        (
            {"concurrency": 1, "max_tasks_per_child": 0, "max_memory_per_child_kib": 5},
            ["--pool=prefork", "--concurrency=1", "--max-tasks-per-child=0", "--max-memory-per-child=5"],
        ),
    ],
)
def test_a_worker_has_the_size_of_its_pool(program, words):
    (made,) = commands_of({"name": "p", "queues": ["q"]} | program)
    assert made["command"][7:] == [*words, "--loglevel=INFO"]


def test_each_worker_has_a_state_file_of_its_own():
    made = commands_of(*({"name": name, "queues": ["q"]} for name in "ab"), state_dir="/x/state")
    assert [[word for word in program["command"] if "statedb" in word] for program in made] == [
        ["--statedb=/x/state/a"],
        ["--statedb=/x/state/b"],
    ]


SLEEP = ["/usr/bin/python3", "-c", "import time; time.sleep(1000)", "%n; #"]
GOOD = entry([{"name": "one", "command": SLEEP}, {"name": "two", "command": "/bin/sleep 1001"}])
BAD = entry([{"name": "three", "command": "/bin/true"}]).replace("/bin/true", "/bin/true --statedb=%n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BAD, ["badly formatted", "'program:three'", "/etc/supervisor/conf.d/new.conf"]),
        (GOOD.replace("user=celery", "user=nobody-here"), ["Invalid user name nobody-here", "'program:one'"]),
        (GOOD.replace("/var/log/celery", "/var/log/missing"), ["/var/log/missing/one.log does not exist"]),
        (f"more\n{GOOD}", ["no section headers"]),
        (GOOD, ["/etc/supervisor/conf.d/old.conf has a program of the same name: one, two"]),
    ],
)
def test_an_entry_that_supervisord_would_not_take_is_refused(tmp_path, text, words):
    (tmp_path / "old.conf").write_text(GOOD)
    (tmp_path / "new.conf").write_text(text)
    script = """
        cp /test/old.conf /etc/supervisor/conf.d
        ! /role/supervisor-entries check new /test/new.conf 2>&1
    """
    said = in_the_image(tmp_path, script)
    assert "Traceback" not in said
    for word in words:
        assert word in said


def test_an_entry_may_take_the_place_of_a_bad_one(tmp_path):
    """Its own, or beside that of another part, which is rewritten later in the run."""
    (tmp_path / "good.conf").write_text(GOOD)
    (tmp_path / "bad.conf").write_text(BAD)
    script = """
        cp /test/bad.conf /etc/supervisor/conf.d
        /role/supervisor-entries check bad /test/good.conf
        /role/supervisor-entries check new /test/good.conf
    """
    assert in_the_image(tmp_path, script) == ""


def test_supervisord_starts_after_a_bad_entry_and_runs_what_is_wanted(tmp_path):
    """The real supervisord, from a host that an earlier version has broken to a program that leaves its entry."""
    (tmp_path / "good.conf").write_text(GOOD)
    (tmp_path / "one.conf").write_text(GOOD.partition("[program:two]")[0])
    (tmp_path / "bad.conf").write_text(BAD)
    (tmp_path / "own.conf").write_text("[program:own]\ncommand=/bin/sleep 1002\n")
    (tmp_path / "own2.conf").write_text("[program:own]\ncommand=/bin/sleep 1003\n")
    (tmp_path / "systemctl").write_text('#!/bin/sh\necho "$*" >>/test/systemctl.log\n[ "$1" != is-active ]\n')
    (tmp_path / "systemctl").chmod(0o755)
    script = """
        export PATH=/test:$PATH
        cd /etc/supervisor/conf.d
        names() { supervisorctl status | while read name state rest; do echo "$name"; done | xargs; }
        cp /test/bad.conf workers.conf
        cp /test/bad.conf web.conf
        cp /test/own.conf .
        /role/supervisor-entries set-aside >/test/said
        echo "entries: $(ls | xargs)"
        supervisord --nodaemon --configuration /etc/supervisor/supervisord.conf >/test/log 2>&1 &
        # It waits until supervisord answers.
        /role/supervisor-entries update own
        cp /test/good.conf workers.conf
        /role/supervisor-entries update one two
        echo "entries: $(ls | xargs)"
        echo "programs: $(names)"
        tr '\\0' '|' </proc/$(supervisorctl pid one)/cmdline; echo
        cp /test/own2.conf own.conf
        cp /test/one.conf workers.conf
        # The entry of web is set aside, and its program, if it ran, would not be stopped.
        sed s/three/two/ web.conf.refused >web && mv web web.conf.refused
        /role/supervisor-entries update one
        echo "programs: $(names)"
        rm web.conf.refused
        /role/supervisor-entries update one
        echo "programs: $(names)"
        tr '\\0' '|' </proc/$(supervisorctl pid own)/cmdline; echo
        cp /test/bad.conf own.conf
        ! /role/supervisor-entries update one 2>&1
    """
    said = in_the_image(tmp_path, script).splitlines()
    assert "badly formatted" in (tmp_path / "said").read_text()
    assert (tmp_path / "systemctl.log").read_text() == "is-active --quiet supervisor\nstop supervisor\n"
    assert said[0] == "entries: own.conf web.conf.refused workers.conf.refused"
    assert said[1:3] == ["one: added process group", "two: added process group"]
    assert said[3:5] == ["entries: own.conf web.conf.refused workers.conf", "programs: one own two"]
    assert said[5].split("|")[:-1] == SLEEP
    assert said[6:10] == [
        *["programs: one own two", "two: stopped", "two: removed process group", "programs: one own"],
    ]
    # What changed of another entry was not applied.
    assert said[10] == "/bin/sleep|1002|"
    assert "ERROR: CANT_REREAD" in said[11]
