"""The users that the role postgresql gives a database, on a real PostgreSQL: what they may do, and new passwords.

One database is as an earlier version has left it: a role of its name logs in and owns it. The other one is new.
"""

import json
import re
import subprocess
import sys

import kit
import pytest
from credentials import user_of_purpose
from kit import PROJECT

pytestmark = pytest.mark.lengthy

FORMER_PASSWORD = "as one password was for all"
# As the former version has left it, with a table in a schema of its own, one of somebody else, and one that another
# user may use already.
BEFORE = """
CREATE TABLE items (id serial PRIMARY KEY, name text);
CREATE SCHEMA archive;
CREATE TABLE archive."Old ""item""s" (id bigint GENERATED ALWAYS AS IDENTITY, name text);
CREATE VIEW names AS SELECT name FROM items;
"""
LATER = """
CREATE TABLE later (id serial PRIMARY KEY, name text);
CREATE SCHEMA later;
CREATE TABLE later.still (id serial PRIMARY KEY);
"""
# Which of them an earlier PostgreSQL allows everybody.
OLD_POSTGRESQL = "GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE TABLE of_postgres (id int);"
PLAY = [
    {
        "name": "Prepare",
        "hosts": "all",
        "gather_facts": False,
        "roles": [{"role": "postgresql", "tags": ["never"]}],
        "tasks": [
            {
                "name": "Write the login rules",
                "ansible.builtin.template": {
                    "src": str(PROJECT / "roles/postgresql/templates/pg_hba.conf.j2"),
                    "dest": "{{ folder }}/pg_hba.conf",
                    "mode": "0644",
                },
                "vars": {"ansible_python_interpreter": sys.executable},
                "tags": ["prepare"],
            },
            *(
                {
                    "name": name.capitalize(),
                    "ansible.builtin.include_role": {"name": "postgresql", "tasks_from": name, "apply": {"tags": name}},
                    "tags": [name],
                }
                for name in ("objects", "health", "retire")
            ),
        ],
    }
]


class Server:
    """A PostgreSQL in a container, and the role's runs against it."""

    def __init__(self, folder, container):
        self.folder, self.container = folder, container
        (folder / "play.json").write_text(json.dumps(PLAY))
        # Modules come to it by its standard input: a connection to the container takes ten times as long.
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nexec {PROJECT}/lab/podman exec -i --user=postgres {container} python3 "$@"\n')
        python.chmod(0o755)
        host = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": str(python)}
        (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": {"db1": host}}}))
        self.passwords = {"migrations": "m-first !'\" %s", "programs": "p-first !'\" %s"}
        self.programs_ddl, self.databases = False, ("shop", "new-shop")

    def inputs(self):
        return {
            "folder": str(self.folder),
            "postgresql_listen_address": "127.0.0.1",
            "postgresql_client_addresses": [],
            "postgresql_databases": [
                {
                    "name": name,
                    "owner": name,
                    "data_group": f"{name}-data",
                    "users": [
                        {"name": self.user("migrations", name), "rights": "owner"}
                        | {"password": self.passwords["migrations"] + name},
                        {"name": self.user("programs", name), "rights": "owner" if self.programs_ddl else "data"}
                        | {"password": self.passwords["programs"] + name},
                    ],
                }
                for name in self.databases
            ],
            "postgresql_former_users": ["(migrations|programs)-[0-9a-f]{4}"],
        }

    def user(self, purpose, database="shop"):
        return user_of_purpose(purpose, self.passwords[purpose] + database)

    def run(self, *tags, expect_success=True, arguments=()):
        """What Ansible prints."""
        words = ["-i", self.folder / "hosts.json", self.folder / "play.json", "--tags", ",".join(tags), *arguments]
        done = kit.run(
            "ansible-playbook", *words, *kit.extra_vars(**self.inputs()), seconds=300, ANSIBLE_PIPELINING="1"
        )
        assert (done.returncode == 0) == expect_success, done.stdout + done.stderr
        assert not expect_success or kit.warnings_in(done.stdout + done.stderr) == []
        return done.stdout

    def command(self, *words):
        return [PROJECT / "lab/podman", "exec", *words[:-1], self.container, *words[-1]]

    def psql(self, *statements, user="", password="", database="shop"):
        """The errors of statements, and "" where there is none; as `postgres` without a user."""
        options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
        words = [f"--env=PGPASSWORD={password}"] if user else ["--user=postgres"]
        where = ["--host=127.0.0.1", f"--username={user}", "--no-password"] if user else []
        commands = [f"--command={statement}" for statement in statements]
        done = subprocess.run(
            self.command(*words, ["psql", *options, *where, f"--dbname={database}", *commands]),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.printed = done.stdout.strip()
        return done.stderr.strip()

    def ask(self, purpose, *statements, database="shop"):
        """The same as the present user of a purpose."""
        password = self.passwords[purpose] + database
        return self.psql(*statements, user=self.user(purpose, database), password=password, database=database)

    def roles(self):
        """Those that can log in."""
        assert self.psql("SELECT rolname FROM pg_roles WHERE rolcanlogin ORDER BY 1") == ""
        return self.printed.splitlines()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with kit.validators_container() as container:
        server = Server(tmp_path_factory.mktemp("database"), container)
        server.run("prepare")
        write = server.command("-i", ["sh", "-c", "cat > /etc/postgresql/15/main/pg_hba.conf"])
        rules = (server.folder / "pg_hba.conf").read_text()
        subprocess.run(write, input=rules, text=True, capture_output=True, timeout=60, check=True)
        subprocess.run(
            server.command(["pg_ctlcluster", "15", "main", "start"]), capture_output=True, timeout=60, check=True
        )
        assert server.psql(f"CREATE ROLE shop LOGIN PASSWORD '{FORMER_PASSWORD}'", database="postgres") == ""
        assert server.psql("CREATE DATABASE shop OWNER shop", database="postgres") == ""
        assert server.psql(OLD_POSTGRESQL) == ""
        assert server.psql(BEFORE, user="shop", password=FORMER_PASSWORD) == ""
        server.run("objects", "health")
        for database in ("shop", "new-shop"):
            assert server.ask("migrations", LATER, database=database) == ""
        yield server


def test_a_second_run_changes_nothing(server):
    assert "changed=0" in server.run("objects", "health")


def test_programs_read_and_change_all_rows(server):
    """In what was there before the user, and in what migrations have created since."""
    for table in ("items", 'archive."Old ""item""s"', "later"):
        statements = f"INSERT INTO {table} (name) VALUES ('a'); UPDATE {table} SET name = 'b'; SELECT name FROM {table}"
        assert server.ask("programs", statements) == ""
        assert server.printed == "b"
        assert server.ask("programs", f"DELETE FROM {table}") == ""
    assert server.ask("programs", "SELECT nextval('items_id_seq'), setval('later_id_seq', 9), name FROM names") == ""
    assert server.ask("programs", "INSERT INTO later.still DEFAULT VALUES; SELECT currval('later.still_id_seq')") == ""
    assert server.ask("programs", "INSERT INTO later.still DEFAULT VALUES", database="new-shop") == ""


DDL = [
    "CREATE TABLE mine (id int)",
    "CREATE SCHEMA mine",
    "CREATE TABLE archive.mine (id int)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER TABLE items ADD COLUMN more text",
    "ALTER TABLE later DISABLE TRIGGER ALL",
    "TRUNCATE items",
    "TRUNCATE later",
    "DROP TABLE items",
    "DROP TABLE later",
    "DROP SCHEMA archive CASCADE",
    "DROP DATABASE shop",
    "CREATE TRIGGER mine AFTER INSERT ON items EXECUTE FUNCTION tsvector_update_trigger()",
]


REFUSED = ["SELECT rolpassword FROM pg_authid", "SELECT * FROM of_postgres", "SET ROLE postgres", "CREATE ROLE mine"]


@pytest.mark.parametrize(
    ("purpose", "statements"), [("programs", [*DDL, *REFUSED, "SET ROLE shop"]), ("migrations", REFUSED)]
)
def test_what_users_may_not(server, purpose, statements):
    said = [line for line in server.ask(purpose, *statements).splitlines() if line.startswith("ERROR:")]
    wrong = [line for line in said if not re.match("ERROR: *(permission denied|must be owner)", line)]
    assert (len(said), wrong) == (len(statements), [])


def test_what_migrations_create_is_the_owners(server):
    assert server.psql("SELECT DISTINCT tableowner FROM pg_tables WHERE tablename IN ('items', 'later')") == ""
    assert server.printed == "shop"


@pytest.mark.parametrize("purpose", ["migrations", "programs"])
def test_nobody_comes_into_another_database(server, purpose):
    for database in ("new-shop", "postgres"):
        login = {"user": server.user(purpose), "password": server.passwords[purpose] + "shop"}
        assert "no pg_hba.conf entry" in server.psql("SELECT 1", **login, database=database)


def test_nobody_logs_in_as_the_owner_of_a_new_database(server):
    assert "new-shop" not in server.roles()


def test_programs_with_the_owners_rights_create_tables_and_lose_that_again(server):
    server.programs_ddl = True
    try:
        server.run("objects")
        assert server.ask("programs", "CREATE TABLE of_programs (id serial); TRUNCATE items") == ""
        assert "changed=0" in server.run("objects", "health")
    finally:
        server.programs_ddl = False
        server.run("objects")
    assert "permission denied" in server.ask("programs", "CREATE TABLE mine (id int)")
    assert server.ask("programs", "INSERT INTO of_programs DEFAULT VALUES") == ""
    assert server.ask("migrations", "DROP TABLE of_programs") == ""


class Session:
    """A program that stays logged in."""

    def __init__(self, server, user, password):
        words = ["--host=127.0.0.1", f"--username={user}", "--no-password", "--dbname=shop"]
        self.process = subprocess.Popen(
            server.command("--interactive", f"--env=PGPASSWORD={password}", ["psql", "--quiet", *words]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.ask("SELECT 'in'") == "in"

    def ask(self, statement):
        self.process.stdin.write(f"\\pset format unaligned\n\\pset tuples_only on\n{statement};\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if not line.startswith(("Output format", "Tuples only")):
                return line.strip()
        return ""

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def test_former_users_log_in_until_nobody_does_and_then_no_more(server):
    former = {
        name: {"user": server.user(name), "password": server.passwords[name] + "shop"} for name in server.passwords
    }
    owner = {"user": "shop", "password": FORMER_PASSWORD}
    programs = former["programs"]["user"]
    strangers = ["bob", "programs-later", "programs-abcd"]
    for name in strangers:
        assert server.psql(f'CREATE ROLE "{name}" LOGIN') == ""
    # Members, but not by the role's names.
    assert server.psql('GRANT "shop-data" TO bob, "programs-later"') == ""
    # What only a superuser could take away by hand.
    assert server.psql(f'GRANT SELECT ON of_postgres TO "{programs}"') == ""
    assert server.ask("migrations", "RESET ROLE; SET ROLE NONE; CREATE SCHEMA by_mistake") == ""
    session = Session(server, **former["programs"])
    # Of a database that is not in the list any more.
    strangers += [server.user(name, "new-shop") for name in server.passwords]
    server.databases = ("shop",)
    server.passwords = {name: password.replace("first", "second") for name, password in server.passwords.items()}

    # In check mode nothing changes, and nobody waits.
    before = server.roles()
    server.run("objects", "health", "retire", arguments=["--check"])
    assert server.roles() == before

    server.run("objects", "health")
    assert server.ask("programs", "INSERT INTO items (name) VALUES ('new')") == ""
    for login in (*former.values(), owner):
        assert server.psql("UPDATE items SET name = 'a'", **login) == ""

    said = " ".join(server.run("retire", expect_success=False).split())
    assert f"as former users ({programs} from 127.0.0.1), so these users stay" in said
    assert server.psql("SELECT 1", **former["programs"]) == ""
    assert session.ask("SELECT count(*) FROM items") == "1"
    session.end()

    before = server.roles()
    assert "changed=2" in server.run("retire", arguments=["--check"])
    assert server.roles() == before
    server.run("retire")
    for login in (*former.values(), owner):
        said = server.psql("SELECT 1", **login)
        assert "no pg_hba.conf entry" in said or "password authentication failed" in said, said
    assert server.roles() == sorted([*map(server.user, server.passwords), *strangers, "postgres"])
    assert server.psql("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'shop'") == ""
    assert server.printed == "t"
    assert server.psql("SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'by_mistake'") == ""
    assert server.printed == "shop"
    # The next run gives the group its rights to that.
    assert "changed=1" in server.run("objects", "health", "retire")
    assert "changed=0" in server.run("objects", "health", "retire")
