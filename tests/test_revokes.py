"""A revoke holds when every worker has restarted or was killed, and no state file keeps a worker from starting.

Real workers, with the rendered settings.
"""

import signal
import uuid

import pytest
from shop_project import Shop, until

pytestmark = pytest.mark.lengthy

# Longer than it takes to send them, to revoke them, and to start the worker again.
COUNTDOWN_SECONDS = 15
# Where a machine is too slow for that.
LONGER_COUNTDOWNS_SECONDS = (60, 240)


class Revoking(Shop):
    """A shop with one worker at a time, which has a state file."""

    def begin(self, pool="solo"):
        """Start a worker, and return it when it is ready."""
        (self.folder / "output").write_bytes(b"")
        worker = self.worker("shop", pool, "here@here", "--loglevel=INFO", f"--statedb={self.state}")
        until(lambda: self.says(" ready.") or worker.poll() is not None)
        assert worker.poll() is None, self.output()
        return worker

    def ran(self, name):
        return self.state.with_name(name).exists()

    def says(self, words):
        return words in self.output()

    def send_later(self, names, countdown=COUNTDOWN_SECONDS):
        """Send tasks that wait in the worker; their ids."""
        ids = {name: str(uuid.uuid4()) for name in names}
        sends = "; ".join(
            f"shop.pay.apply_async(({name!r},), task_id={task_id!r}, countdown={countdown})"
            for name, task_id in ids.items()
        )
        assert self.start("python", "-c", f"import shop; {sends}").wait(timeout=30) == 0, self.output()
        for task_id in ids.values():
            until(lambda task_id=task_id: self.says(f"[{task_id}] received"))
        return ids

    def control(self, *words):
        command = ["celery", "-A", "shop", "control", "--destination=here@here", "--timeout=10", *words]
        assert self.start(*command).wait(timeout=30) == 0, self.output()


@pytest.fixture(scope="module")
def rendered(broker, tmp_path_factory):
    return Revoking(tmp_path_factory.mktemp("shop"), broker.port)


@pytest.fixture
def shop(rendered, port, tmp_path):
    rendered.state = tmp_path / "state"
    rendered.environment["RUNS"] = str(tmp_path)
    yield rendered
    rendered.end()


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_revoke_holds_when_every_worker_has_ended(shop, pool, end):
    for countdown in (COUNTDOWN_SECONDS, *LONGER_COUNTDOWNS_SECONDS):
        revoked, terminated, other = (f"{name}-{countdown}" for name in ("revoked", "terminated", "other"))
        worker = shop.begin(pool)
        ids = shop.send_later([revoked, terminated, other], countdown)
        shop.control("revoke", ids[revoked])
        shop.control("terminate", "TERM", ids[terminated])
        worker.send_signal(end)
        worker.wait(timeout=30)
        if not shop.ran(other):
            break
    shop.begin(pool)
    # The broker notices that a killed worker is gone; the tasks come back with their time.
    until(lambda: shop.ran(other), countdown + 60)
    for name in (revoked, terminated):
        assert shop.says(f"Discarding revoked task: shop.pay[{ids[name]}]"), shop.output()
    assert not shop.ran(revoked) and not shop.ran(terminated)


@pytest.mark.parametrize("damage", [b"\x00\xff" * 700, b"17\n[]\n", b'"cut', b"caf\xe9\n"])
def test_a_damaged_file_is_moved_aside_and_its_good_lines_hold(shop, damage):
    shop.state.write_bytes(b'"a"\n' + damage)
    shop.begin()
    assert shop.says(f"{shop.state} was damaged and is {shop.state}.broken now"), shop.output()
    assert shop.state.read_text() == '"a"\n'
    assert shop.state.with_name("state.broken").read_bytes() == b'"a"\n' + damage
    shop.control("revoke", "b")
    assert shop.state.read_text() == '"a"\n"b"\n'


def test_an_empty_file_is_a_good_one(shop):
    shop.state.write_bytes(b"")
    shop.begin()
    assert not shop.says("damaged")
    shop.control("revoke", "it's é\n", "b")
    assert sorted(shop.state.read_text().splitlines()) == ['"b"', '"it\'s \\u00e9\\n"']


def test_a_worker_without_a_place_for_its_file_starts_and_says_so(shop):
    shop.state = shop.state / "missing"
    shop.begin()
    assert shop.says(f"{shop.state} cannot be used, so a restart forgets what is revoked: "), shop.output()
    shop.control("revoke", "b")
    assert shop.says("A restart forgets that ['b'] is revoked: "), shop.output()


def test_the_file_does_not_grow_forever(shop, monkeypatch):
    """The newest stay, and each once."""
    monkeypatch.setitem(shop.environment, "CELERY_WORKER_REVOKES_MAX", "3")
    shop.state.write_text("".join(f'"{number}"\n' for number in (1, 2, 3, 4, 2)))
    shop.begin()
    assert shop.state.read_text() == '"3"\n"4"\n"2"\n'
