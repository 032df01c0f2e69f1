"""What the node exporter tells Prometheus of the project's programs: real ones, under a real supervisord."""

import re

import kit
import pytest

pytestmark = pytest.mark.lengthy

SUPERVISORD = """
[supervisord]
logfile=/tmp/supervisord.log
pidfile=/tmp/supervisord.pid
user=root
[unix_http_server]
file=/tmp/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix:///tmp/supervisor.sock
[program:default]
command=sleep 100
[program:fatal]
command=false
startretries=0
[program:again]
command=false
startretries=1000
[program:off]
command=sleep 100
autostart=false
[program:it's"odd"]
command=sleep 100
[program:stays]
command=sh -c 'trap "" TERM; while :; do sleep 1; done'
stopwaitsecs=100
"""
RUN = """
set -e
mkdir /metrics
supervisord -c /given/supervisord.conf
sleep 4
/roles/celery_app/files/celery-metrics /metrics/programs.prom /tmp/supervisor.sock
exporter="prometheus-node-exporter --web.listen-address=127.0.0.1:9100"
$exporter --collector.textfile.directory=/metrics >/tmp/exporter 2>&1 &
sleep 2
cat >/tmp/ask <<'END'
from urllib.request import urlopen
print(urlopen("http://127.0.0.1:9100/metrics").read().decode())
END
ask() { python3 /tmp/ask; }
ask | grep -e ^warren_ -e ^node_textfile
echo ---
tell() {
    touch /metrics/programs.prom
    /roles/celery_app/files/celery-metrics /metrics/programs.prom /tmp/supervisor.sock 2>&1 || echo "exit code $?"
    ask | grep ^warren_ || echo nothing
}
pid=$(cat /tmp/supervisord.pid)
supervisorctl -c /given/supervisord.conf shutdown
tell
echo ---
kill -KILL $pid
sleep 1
tell
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    (folder / "supervisord.conf").write_text(SUPERVISORD)
    done = kit.run_in_the_validators_image(
        *["sh", "-c", RUN], volumes=[f"{folder}:/given:ro", f"{kit.PROJECT}/roles:/roles:ro"]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split("---")


def test_the_exporter_tells_the_state_of_each_program(said):
    line = re.compile(r'^warren_program_uptime_seconds\{program="(.*)",state="(\w+)"\} (\d+)$', re.M)
    found = {name: (state, int(seconds)) for name, state, seconds in line.findall(said[0])}
    running = {name for name, (state, seconds) in found.items() if state == "RUNNING" and 1 <= seconds <= 60}
    assert running == {"default", "stays", r"it's\"odd\""}
    assert (found["fatal"], found["off"]) == (("FATAL", 0), ("STOPPED", 0))
    assert found["again"] in (("BACKOFF", 0), ("STARTING", 0))


def test_the_exporter_tells_how_old_the_file_is(said):
    assert 'node_textfile_mtime_seconds{file="/metrics/programs.prom"}' in said[0]
    assert "node_textfile_scrape_error 0" in said[0]


@pytest.mark.parametrize(("when", "reason"), [(1, "SHUTDOWN_STATE"), (2, "Connection refused")])
def test_what_supervisord_does_not_say_is_no_metric(said, when, reason):
    assert "Type `systemctl status supervisor`.\nexit code 1\nnothing" in said[when]
    assert reason in said[when]
