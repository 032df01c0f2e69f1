"""The users of the project's database: what each may do, and new passwords while the site is used."""

import threading
import time
import urllib.error
import urllib.request
import uuid

import pytest

pytestmark = pytest.mark.django

# Prints the paths of files that hold a text, given in hexadecimal digits, of which no argument shall show what it is.
FIND = """
import os, stat, sys
wanted = bytes.fromhex(sys.argv[1])
for top in sys.argv[2:]:
    for folder, _, names in os.walk(top):
        for path in (os.path.join(folder, name) for name in names):
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as file:
                    if wanted in file.read():
                        print(path)
"""


def users(database):
    """The names of those who may log in, except the administrator."""
    query = "SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname <> 'postgres' ORDER BY 1"
    return database.run("runuser -u postgres -- psql --tuples-only --no-align --command=%s", query).splitlines()


def wanted(database):
    (entry,) = database.expect("postgresql_databases")
    return sorted(user["name"] for user in entry["users"])


def test_only_the_inventorys_users_may_log_in(database):
    assert users(database) == wanted(database)


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE mine (id int)", "TRUNCATE django_session", "DROP TABLE django_session"]
)
def test_programs_may_not_change_tables(site, statement):
    done = site.app("psql", "--no-psqlrc", "--no-password", f"--command={statement}")
    assert done.rc != 0
    assert "permission denied" in done.stderr or "must be owner" in done.stderr


def test_what_migrations_have_made_is_the_owners(database):
    (entry,) = database.expect("postgresql_databases")
    query = "SELECT string_agg(DISTINCT tableowner, ', ') FROM pg_tables WHERE schemaname = 'public'"
    words = "runuser -u postgres -- psql --tuples-only --no-align --command=%s %s"
    assert database.run(words, query, entry["name"]) == entry["owner"]


def test_no_file_has_the_password_of_migrations(site, secrets):
    folders = ["/etc", "/opt/celery", "/run", "/var/lib/celery", "/var/log", "/tmp"]
    assert site.python(FIND, str(secrets["secret_database_owner"]).encode().hex(), *folders) == ""
    # The user of programs is found.
    assert "/run" in site.python(FIND, b"export PGUSER=programs-".hex(), "/etc/celery")


class Visitor(threading.Thread):
    """Asks the site all the time whether it reaches its database."""

    def __init__(self, url):
        super().__init__()
        self.url, self.wrong, self.right, self.ended = url, [], 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.2):
            try:
                with urllib.request.urlopen(self.url, timeout=10):
                    self.right += 1
            except urllib.error.HTTPError as error:
                self.wrong.append(error.read().decode())
            except OSError:
                # The web server restarts.
                time.sleep(0.1)


@pytest.mark.disruptive
@pytest.mark.lengthy
def test_new_passwords_cost_the_site_no_login_and_the_former_users_go(database, site, playbook):
    before = users(database)
    given = [f"-e=secret_{name}=Zt4-{uuid.uuid4()}" for name in ("database", "database_owner")]
    visitor = Visitor(site.expect("web_health_url"))
    visitor.start()
    try:
        playbook("playbooks/site.yml", *given)
        during = users(database)
    finally:
        visitor.ended.set()
        visitor.join()
        playbook("playbooks/site.yml")
    assert visitor.wrong == []
    assert visitor.right > 10
    assert [name.partition("-")[0] for name in during] == ["migrations", "programs"]
    assert set(during) & set(before) == set()
    assert users(database) == before


@pytest.mark.disruptive
@pytest.mark.lengthy
def test_a_former_user_that_is_still_logged_in_stays_and_is_named(database, site, playbook):
    unit = "warren-still-logged-in"
    run = f"/opt/celery/{site.expect('celery_app_name')}/run"
    site.run(f"systemd-run --quiet --collect --unit={unit} {run} psql --no-password --command='SELECT pg_sleep(1200)'")
    before = users(database)
    (programs,) = [name for name in before if name.startswith("programs-")]
    try:
        output, _ = playbook("playbooks/site.yml", f"-e=secret_database=Zt4-{uuid.uuid4()}", expect_success=False)
        said = " ".join(output.split())
        assert f"as former users ({programs} from {database.address}), so these users stay" in said
        assert programs in users(database)
    finally:
        site.run(f"sh -c 'systemctl stop {unit} 2>&1 || true'")
        playbook("playbooks/site.yml")
    assert users(database) == before
