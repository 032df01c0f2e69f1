"""The Django example: its database, its site, and a schedule that is edited in the admin."""

import http.cookiejar
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest

pytestmark = pytest.mark.django

TASK = "warren_site.pages.tasks.check_pages"
MAKE_ADMIN = (
    "from django.contrib.auth.models import User; User.objects.create_superuser({name!r}, password={password!r})"
)
REMOVE_ADMIN = "from django.contrib.auth.models import User; User.objects.filter(username={name!r}).delete()"
# What the schedule called {name} has left in the database.
RESULTS = """
import json
from django_celery_results.models import TaskResult
found = TaskResult.objects.filter(periodic_task_name={name!r})
print("RESULTS " + json.dumps([[one.task_name, one.status, one.result] for one in found]))
"""
FORGET = RESULTS + "found.delete()"
REMOVE_PAGE = "from warren_site.pages.models import Page; Page.objects.filter(url={url!r}).delete()"

# Asks PostgreSQL for a login from a given address, and prints the first answer: R asks for a password, E is an error.
# With an authority it asks for TLS before that.
KNOCK = """
import socket, ssl, struct, sys
address, port, source, user, name, authority = sys.argv[1:]
words = b"".join(word.encode() + b"\\0" for word in ("user", user, "database", name)) + b"\\0"
with socket.create_connection((address, int(port)), timeout=5, source_address=(source, 0)) as connection:
    if authority:
        connection.sendall(struct.pack("!ii", 8, 80877103))
        assert connection.recv(1) == b"S"
        connection = ssl.create_default_context(cafile=authority).wrap_socket(connection, server_hostname=address)
    connection.sendall(struct.pack("!ii", len(words) + 8, 196608) + words)
    print(connection.recv(4096).replace(b"\\0", b" ").decode(errors="replace"))
"""


def shell(site, code, **values):
    """Run code in the deployed site; returns what it prints."""
    return site.app_output("python", "-m", "django", "shell", "-v", "0", "-c", code.format(**values))


def psql(database, name, *environment):
    """Log in over the network, with the project's environment except for `environment`; testinfra's result."""
    options = ["--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--command=SELECT 1", name]
    return database.app("env", *environment, "PGCONNECT_TIMEOUT=5", "psql", *options)


@pytest.fixture
def login(database):
    """The project's database, the programs' user and the password."""
    (entry,) = database.expect("postgresql_databases")
    (user,) = [user for user in entry["users"] if user["rights"] == "data"]
    return entry["name"], user["name"], user["password"]


def test_postgresql_lets_programs_in_with_the_password_only(database, login):
    name, _, _ = login
    assert psql(database, name).stdout == "1\n"
    without = psql(database, name, "--unset=PGPASSWORD")
    assert without.rc != 0
    assert "no password supplied" in without.stderr
    wrong = psql(database, name, "PGPASSWORD=wrong")
    assert wrong.rc != 0
    assert "password authentication failed" in wrong.stderr


def test_postgresql_lets_programs_into_their_own_database_only(database):
    refused = psql(database, "postgres")
    assert refused.rc != 0
    assert "no pg_hba.conf entry" in refused.stderr


def test_postgresql_refuses_an_address_that_is_not_listed(database, login):
    """The host's own loopback address reaches PostgreSQL, but is no client's address."""
    name, user, _ = login
    address, port = database.expect("postgresql_listen_address"), database.expect("postgresql_port")
    authority = database.expect("postgresql_tls").get("authority", "")
    knock = f"python3 -c %s {address} {port} %s {user} {name} %s"
    assert database.run(knock, KNOCK, address, authority).startswith("R")
    refused = database.run(knock, KNOCK, "127.0.0.1", authority)
    assert refused.startswith("E")
    assert 'no pg_hba.conf entry for host "127.0.0.1"' in refused


def test_with_tls_postgresql_refuses_plain_logins(database, login):
    plain = psql(database, login[0], "PGSSLMODE=disable")
    if database.expect("postgresql_tls") and not database.expect("postgresql_tls_moves"):
        assert plain.rc != 0
        assert "no encryption" in plain.stderr
    else:
        assert plain.stdout == "1\n"


def test_with_tls_the_project_refuses_a_certificate_for_another_name(database, login):
    place = f"PGHOSTADDR={database.expect('postgresql_listen_address')}"
    elsewhere = psql(database, login[0], place, "PGHOST=elsewhere.example.com")
    if database.expect("postgresql_tls"):
        assert elsewhere.rc != 0
        assert "does not match host name" in elsewhere.stderr
    else:
        assert elsewhere.stdout == "1\n"


def test_postgresql_listens_on_its_address_only(database):
    listening = database.run("ss --listening --tcp --numeric --no-header --processes").splitlines()
    found = {line.split()[3] for line in listening if '"postgres"' in line}
    assert found == {f"{database.expect('postgresql_listen_address')}:{database.expect('postgresql_port')}"}


def test_postgresql_runs_with_the_settings_on_disk(database):
    query = "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL"
    pending = "SELECT count(*) FROM pg_settings WHERE pending_restart"
    for question in (query, pending):
        assert database.run("runuser -u postgres -- psql --tuples-only --no-align --command=%s", question) == "0"


def test_every_migration_is_applied(site):
    site.app_output("python", "-m", "django", "migrate", "--check")
    assert "[ ]" not in site.app_output("python", "-m", "django", "showmigrations", "--list")


def test_supervisor_runs_the_server(site):
    assert site.run("supervisorctl status web").split()[1] == "RUNNING"
    pid = site.pid("web")
    command = site.run(f"cat /proc/{pid}/cmdline").rstrip("\0").split("\0")
    # The shell that collects the static files has become the server.
    wanted = site.expect("web_command").rpartition("exec ")[2].rstrip('"').split()
    assert command[-len(wanted) + 1 :] == wanted[1:]
    assert site.run(f"ps -o user= -p {pid}").strip() == site.expect("web_user")


def test_the_site_is_healthy(site):
    with urllib.request.urlopen(site.expect("web_health_url"), timeout=10) as response:
        assert (response.status, response.read()) == (200, b"ok\n")


class Browser:
    """A visitor of the site with cookies, who fills in forms as a browser does."""

    def __init__(self, site):
        self.base = urllib.parse.urljoin(site.expect("web_health_url"), "/")
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path):
        """The text of a page."""
        with self.opener.open(self.base + path, timeout=20) as response:
            return response.read().decode()

    def submit(self, path, **fields):
        """Fill in the form of a page; returns the page that follows."""
        # The token, and how many forms of related objects there are.
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', self.get(path)))
        assert "csrfmiddlewaretoken" in hidden
        data = urllib.parse.urlencode(hidden | fields).encode()
        with self.opener.open(self.base + path, data, timeout=20) as response:
            text = response.read().decode()
        errors = re.findall(r'(?s)<ul class="errorlist[^>]*>(.*?)</ul>|<p class="errornote">(.*?)</p>', text)
        assert not errors, f"{path}: {errors}"
        return text


@pytest.fixture
def admin(site):
    """A visitor who has logged in as an administrator, who is removed afterwards."""
    name, password = f"test-{uuid.uuid4()}", str(uuid.uuid4())
    shell(site, MAKE_ADMIN, name=name, password=password)
    try:
        browser = Browser(site)
        browser.submit("admin/login/", username=name, password=password, next="/admin/")
        assert "sessionid" in {cookie.name for cookie in browser.cookies}
        yield browser
    finally:
        shell(site, REMOVE_ADMIN, name=name)


def test_the_admin_has_its_static_files(site):
    browser = Browser(site)
    (path,) = re.findall(r'href="/(static/admin/css/base[^"]*\.css)"', browser.get("admin/login/"))
    assert re.fullmatch(r"static/admin/css/base\.[0-9a-f]{12}\.css", path), "not a name that changes with its content"
    assert "--primary" in browser.get(path)


def test_a_form_without_its_token_is_refused(site):
    data = urllib.parse.urlencode({"username": "x", "password": "x"}).encode()
    with pytest.raises(urllib.error.HTTPError) as refused:
        Browser(site).opener.open(
            urllib.parse.urljoin(site.expect("web_health_url"), "/admin/login/"), data, timeout=20
        )
    assert refused.value.code == 403


def results(site, name):
    output = shell(site, RESULTS, name=name)
    return json.loads(re.search(r"^RESULTS (.*)$", output, re.MULTILINE)[1])


def test_a_task_that_the_admin_schedules_fires_and_its_result_is_kept(site, admin):
    name, seconds = f"test-{uuid.uuid4()}", 3
    admin.submit("admin/django_celery_beat/intervalschedule/add/", every=seconds, period="seconds")
    intervals = admin.get("admin/django_celery_beat/intervalschedule/")
    interval = max(map(int, re.findall(r"intervalschedule/(\d+)/change/", intervals)))
    fields = {"name": name, "regtask": TASK, "enabled": "on", "interval": interval}
    admin.submit("admin/django_celery_beat/periodictask/add/", **fields, args="[]", kwargs="{}", headers="{}")
    try:
        page = admin.get(f"admin/django_celery_beat/periodictask/?q={name}")
        (task,) = set(re.findall(r"periodictask/(\d+)/change/", page))
        # Beat looks for changes every five seconds.
        for _ in range(30):
            if len(results(site, name)) >= 2:
                break
            time.sleep(2)
        found = results(site, name)
        assert len(found) >= 2, "the schedule did not fire twice within a minute: is beat running?"
        assert {(task_name, status) for task_name, status, _ in found} == {(TASK, "SUCCESS")}
        assert json.loads(found[0][2]).keys() == {"pages"}

        admin.submit(f"admin/django_celery_beat/periodictask/{task}/delete/", post="yes")
        assert f"periodictask/{task}/change/" not in admin.get(f"admin/django_celery_beat/periodictask/?q={name}")
        # Beat has noticed after its five seconds, and what it had sent is done.
        time.sleep(8)
        left = len(results(site, name))
        time.sleep(2 * seconds)
        assert len(results(site, name)) == left
    finally:
        # With it goes its task, where that is still there.
        admin.submit(f"admin/django_celery_beat/intervalschedule/{interval}/delete/", post="yes")
        shell(site, FORGET, name=name)


def test_a_page_is_checked_when_it_is_added(site, admin):
    url = f"{site.expect('web_health_url')}?{uuid.uuid4()}"
    admin.submit("", url=url)
    try:
        for _ in range(20):
            row = re.search(rf"<tr><td>{re.escape(url)}</td><td>(.*?)</td>", admin.get(""))
            if row[1].strip():
                break
            time.sleep(1)
        assert row[1].strip() == "200"
    finally:
        shell(site, REMOVE_PAGE, url=url)
