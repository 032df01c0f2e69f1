"""Flower: who is alive, what tasks do, and what its HTTP API and its page change on real workers."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import uuid
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

ARTEFACTS = Path(__file__).resolve().parents[2] / ".cache/artefacts"
QUICK_TASK = "warren_app.tasks.count_words"
LEDGER_TASK = "warren_app.ledger.record"


class Flower:
    """The HTTP API of the Flower on a host, as its first user."""

    def __init__(self, monitor):
        self.monitor = monitor
        self.user, self.password = next(iter(monitor.expect("flower_users").items()))
        prefix = monitor.expect("flower_url_prefix").strip("/")
        self.place = f"{monitor.expect('flower_bind')}:{monitor.expect('flower_port')}/{prefix}".rstrip("/")
        self.presence_seconds = monitor.expect("flower_presence_seconds")

    def ask(self, path, password=None, **fields):
        """GET a path, or POST `body` (JSON) or form fields to it; returns the text."""
        body = fields.pop("body", None)
        data = json.dumps(body) if body is not None else urllib.parse.urlencode(fields) if fields else None
        login = "" if password == "" else f"{self.user}:{password or self.password}"
        return self.monitor.page(f"{self.place}{path}", login, data)

    def json(self, path, **fields):
        return json.loads(self.ask(path, **fields))

    def alive(self):
        """{worker: whether it is shown online}"""
        return self.json("/api/workers?status=true")

    def start_task(self, name, *arguments):
        """Queue a task, as Flower's own user may not; returns its id."""
        module = self.monitor.expect("celery_app_module")
        return self.monitor.app_output("celery", "-A", module, "call", name, *arguments).strip()

    def task(self, task_id):
        """What Flower knows of a task; {} is nothing."""
        try:
            return self.json(f"/api/task/info/{task_id}")
        except urllib.error.HTTPError as error:
            assert error.code == 404
            return {}


def wait_for(what, seconds):
    """Ask once a second until the answer is true, and return it; the last answer when time is over."""
    end = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < end:
        time.sleep(1)
    return answer


@pytest.fixture
def flower(monitor):
    found = Flower(monitor)
    # It answers 404 for workers that it has not asked yet.
    found.ask("/api/workers?refresh=true")
    return found


def nodes_of(worker):
    return [f"{program['name']}@{worker.name}" for program in worker.expect("celery_worker_programs")]


def nodes_of_all(workers):
    return {node for worker in workers for node in nodes_of(worker)}


def inspect(worker, node, *command):
    """What one worker program answers to `celery inspect`, asked without Flower."""
    module = worker.expect("celery_app_module")
    words = ["celery", "-A", module, "inspect", *command, "--json", "--timeout=10", f"--destination={node}"]
    return json.loads(worker.app_output(*words))[node]


@pytest.mark.parametrize("path", ["/", "/workers", "/api/workers", "/api/tasks"])
@pytest.mark.parametrize("password", ["", "wrong"])
def test_nothing_is_shown_without_the_password(flower, path, password):
    with pytest.raises(urllib.error.HTTPError) as refused:
        flower.ask(path, password=password)
    assert refused.value.code == 401


def test_nothing_is_done_without_the_password(flower, ledger):
    run = f"refused-{uuid.uuid4()}"
    with pytest.raises(urllib.error.HTTPError) as refused:
        flower.ask(f"/api/task/async-apply/{LEDGER_TASK}", password="wrong", body={"args": [run, 1]})
    assert refused.value.code == 401
    time.sleep(2)
    assert ledger(run, 0) == []


def test_flower_itself_sends_no_task(flower):
    """Its user may ask and control workers, and no more."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        flower.ask(f"/api/task/async-apply/{QUICK_TASK}", body={"args": ["x"]})
    assert refused.value.code == 500


def test_only_the_projects_user_may_read_the_password(monitor):
    find = f"find {monitor.expect('flower_settings_dir')}/settings -name flowerconfig.py -printf '%u %g %m\\n'"
    assert set(monitor.run(find).splitlines()) == {f"root {monitor.expect('flower_user')} 640"}


def test_every_worker_is_alive_although_none_sends_heartbeats(flower, workers):
    assert all(worker.expect("celery_worker_without_heartbeat") for worker in workers)
    nodes = nodes_of_all(workers)
    # Longer than any heartbeat from the start of Flower, or of another monitor, would last.
    for _ in range(3):
        alive = wait_for(lambda: all(flower.alive().get(node) for node in nodes), flower.presence_seconds + 10)
        assert alive, flower.alive()
        time.sleep(6)


def test_metrics_know_the_workers(flower, workers):
    def online():
        wanted = {f'flower_worker_online{{worker="{node}"}} 1.0' for node in nodes_of_all(workers)}
        return wanted <= set(flower.ask("/metrics", password="").splitlines())

    assert wait_for(online, flower.presence_seconds + 10)


def test_a_task_is_shown_with_its_name_state_and_runtime(flower, workers):
    task_id = flower.start_task(QUICK_TASK, '--args=["one two three"]')
    wait_for(lambda: flower.task(task_id).get("state") == "SUCCESS", 20)
    task = flower.task(task_id)
    assert (task["name"], task["state"]) == (QUICK_TASK, "SUCCESS")
    assert task["runtime"] > 0
    assert task["worker"] in nodes_of_all(workers)
    assert task_id in flower.json(f"/api/tasks?taskname={QUICK_TASK}&limit=100")


def test_a_revoked_task_never_runs(flower, ledger):
    """Of two tasks that wait for the same moment, the one that was not revoked is done."""
    run = f"revoked-{uuid.uuid4()}"
    ids = {
        number: flower.start_task(LEDGER_TASK, f"--args={json.dumps([run, number])}", "--countdown=15")
        for number in (1, 2)
    }
    assert wait_for(lambda: all(flower.task(task_id).get("state") == "RECEIVED" for task_id in ids.values()), 12)
    flower.ask(f"/api/task/revoke/{ids[1]}", terminate="false")
    assert ledger(run, 1, seconds=30)
    assert wait_for(lambda: flower.task(ids[1])["state"] == "REVOKED", 20)
    assert [record["number"] for record in ledger(run, 1)] == [2]


@pytest.mark.disruptive
def test_a_rate_limit_is_changed(flower, workers):
    worker = workers[0]
    node = nodes_of(worker)[0]

    def limits():
        return [line for line in inspect(worker, node, "registered", "rate_limit") if QUICK_TASK in line]

    try:
        flower.ask(f"/api/task/rate-limit/{QUICK_TASK}", workername=node, ratelimit="7/m")
        assert limits() == [f"{QUICK_TASK} [rate_limit=7/m]"]
    finally:
        flower.ask(f"/api/task/rate-limit/{QUICK_TASK}", workername=node, ratelimit="0")
    assert "7/m" not in limits()[0]


@pytest.mark.disruptive
def test_a_pool_grows_and_shrinks(flower, workers):
    worker = workers[0]
    program = worker.expect("celery_worker_programs")[0]
    node = nodes_of(worker)[0]

    def children():
        return len(worker.children(program["name"]))

    assert children() == program["concurrency"]
    flower.ask(f"/api/worker/pool/grow/{node}", n=2)
    try:
        assert wait_for(lambda: children() == program["concurrency"] + 2, 15), children()
    finally:
        flower.ask(f"/api/worker/pool/shrink/{node}", n=2)
    assert wait_for(lambda: children() == program["concurrency"], 15), children()


@pytest.mark.disruptive
def test_a_worker_takes_up_a_queue_and_leaves_it(flower, workers):
    worker = workers[0]
    program = worker.expect("celery_worker_programs")[0]
    node = nodes_of(worker)[0]
    (queue, *_) = [name for name in worker.expect("celery_worker_known_queues") if name not in program["queues"]]

    def consumed():
        return {found["name"] for found in inspect(worker, node, "active_queues")}

    assert consumed() == set(program["queues"])
    flower.ask(f"/api/worker/queue/add-consumer/{node}", queue=queue)
    try:
        assert consumed() == {*program["queues"], queue}
    finally:
        flower.ask(f"/api/worker/queue/cancel-consumer/{node}", queue=queue)
    assert consumed() == set(program["queues"])


def test_another_monitor_makes_nobody_seem_offline(flower, workers):
    """It asks all workers for a heartbeat, which holds for 10 s only."""
    nodes = nodes_of_all(workers)
    assert wait_for(lambda: all(flower.alive().get(node) for node in nodes), flower.presence_seconds + 10)
    # A worker's user may.
    module = workers[0].expect("celery_app_module")
    heard = workers[0].app("celery", "-A", module, "events", "--dump", seconds=6).stdout
    assert all(node in heard for node in nodes)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        assert all(flower.alive()[node] for node in nodes), flower.alive()
        time.sleep(1)


@pytest.mark.disruptive
def test_a_stopped_worker_is_shown_offline_and_back(flower, workers):
    worker = workers[-1]
    program = worker.expect("celery_worker_programs")[-1]["name"]
    node = f"{program}@{worker.name}"
    others = nodes_of_all(workers) - {node}
    assert wait_for(lambda: flower.alive().get(node), flower.presence_seconds + 10)
    worker.run(f"supervisorctl stop {program}")
    try:
        assert wait_for(lambda: not flower.alive()[node], 2 * flower.presence_seconds + 2)
        assert all(flower.alive()[other] for other in others)
        # Prometheus sees it, too, which an expired heartbeat alone would not do.
        offline = f'flower_worker_online{{worker="{node}"}} 0.0'
        assert wait_for(lambda: offline in flower.ask("/metrics").splitlines(), flower.presence_seconds + 10)
    finally:
        worker.run(f"supervisorctl start {program}")
    assert wait_for(lambda: flower.alive()[node], flower.presence_seconds + 10)


def test_the_page_shows_the_workers_in_a_browser(flower, workers, tmp_path):
    """With scripts and all: the links and badges are made by them. The picture is kept in .cache/artefacts."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.fail("This test looks at Flower's page with Chromium: type `apt-get install chromium`.", pytrace=False)
    nodes = nodes_of_all(workers)
    assert wait_for(lambda: all(flower.alive().get(node) for node in nodes), flower.presence_seconds + 10)
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    picture = ARTEFACTS / "flower.png"
    picture.unlink(missing_ok=True)

    def browse(*arguments):
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server"]
        command += [f"--user-data-dir={tmp_path}", "--window-size=1400,900", "--virtual-time-budget=8000", *arguments]
        login = f"{flower.user}:{urllib.parse.quote(flower.password, safe='')}"
        command += ["--ignore-certificate-errors", f"{flower.monitor.scheme}://{login}@{flower.place}/"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    page = browse("--dump-dom")
    for node in nodes:
        (_, link, row) = page.partition(f'class="worker-name-link" href="/worker/{urllib.parse.quote(node, safe="")}"')
        assert link, f"{node} is missing"
        assert ">Online<" in row.partition("</tr>")[0], node
    browse(f"--screenshot={picture}")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 10_000
