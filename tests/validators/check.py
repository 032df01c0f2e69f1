"""Check rendered configuration with the daemons' own parsers. Runs in the image that `build` makes.

Usage: check.py ROLES FOLDER [FOLDER ...]      (FOLDER holds HOST/ROLE/TEMPLATE, ROLES is the repository's roles folder)

Prints a JSON list, for each FOLDER an object: what each file's validator complains about, by the file's path in FOLDER;
"" is no complaint.
"""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

UNITS = Path("/etc/systemd/system")
PROGRAMS = Path("/etc/supervisor/conf.d")
(POSTGRES,) = Path("/usr/lib/postgresql").iterdir()
# Debian's package has made it.
DATABASE = Path(f"/var/lib/postgresql/{POSTGRES.name}/main")


# Where the inventories and tests/unusual.yml say that the certificates are.
CERTIFICATES = (Path("/etc/ssl/warren"), Path("/etc/ssl/kiosk"))


def make_certificates():
    """Make certificates, as some daemons read those that they are given."""
    for folder in CERTIFICATES:
        folder.mkdir(exist_ok=True)
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=host"]
        files = ["-keyout", folder / "host.key", "-out", folder / "host.crt"]
        subprocess.run(["openssl", "req", "-x509", *kind, *files], capture_output=True, timeout=60, check=True)
        shutil.copy(folder / "host.crt", folder / "ca.crt")


def complaint(*command):
    """What a validator prints when it refuses a file."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).strip()
    return "" if done.returncode == 0 else said or f"exit code {done.returncode}"


def haproxy(file, _roles):
    """A warning counts, too."""
    done = subprocess.run(["haproxy", "-c", "-f", file], capture_output=True, text=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    said = "\n".join(line for line in lines if line != "Configuration file is valid")
    return said or ("" if done.returncode == 0 else f"exit code {done.returncode}")


def keepalived(file, roles):
    """It wants the interface to be there."""
    (interface,) = re.findall(r"^ *interface (\S+)$", file.read_text(), re.MULTILINE)
    subprocess.run(["ip", "link", "add", interface, "type", "bridge"], capture_output=True, timeout=60, check=False)
    return complaint(roles / "keepalived/files/keepalived-check-config", file)


def rabbitmq(file, roles):
    return complaint(roles / "rabbitmq/files/rabbitmq-check-config", file)


def redis(file, roles):
    """With its users, which lie beside it here."""
    for place in re.findall(r"(?m)^include (\S+)$", file.read_text()):
        shutil.copy(file.with_name("users.conf"), place)
    return complaint(roles / "redis/files/redis-check-config", file)


def enabled_plugins(file, _roles):
    """One Erlang list of plugins that the package has."""
    plugins = next(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*")) / "plugins"
    code = f"""
        {{ok, [Names]}} = file:consult("{file}"),
        Missing = [N || N <- Names, filelib:wildcard("{plugins}/" ++ atom_to_list(N) ++ "-*") =:= []],
        case Missing of [] -> halt(0); _ -> io:format("no such plugins: ~p~n", [Missing]), halt(1) end."""
    return complaint("erl", "-noinput", "-boot", "start_clean", "-eval", code)


def inter_node_tls(file, _roles):
    """What Erlang's TLS says of the options of a server and of a client. A role without TLS writes no options."""
    code = f"""
        {{ok, Terms}} = file:consult("{file}"),
        {{ok, _}} = application:ensure_all_started(ssl),
        Ask = fun(server, Options) -> ssl:listen(0, Options);
                 (client, Options) -> ssl:connect("127.0.0.1", 1, Options) end,
        Wrong = [{{Side, Why}} || {{Side, Options}} <- lists:append(Terms),
                                  {{error, {{options, Why}}}} <- [Ask(Side, Options)]],
        case Wrong of [] -> halt(0); _ -> io:format("~p~n", [Wrong]), halt(1) end."""
    return complaint("erl", "-noinput", "-boot", "start_clean", "-eval", code)


def shell(file, _roles):
    return complaint("sh", "-n", file)


def systemd(file, roles):
    """A unit, or a drop-in of one, beside what Debian has. systemd only warns of what it does not know."""
    dropped_in = file.parent.name.endswith(".d")
    target = UNITS / (f"{file.parent.name}/{file.name}" if dropped_in else file.name)
    target.parent.mkdir(exist_ok=True)
    shutil.copy(file, target)
    # A timer's service is checked with it.
    for sibling in file.parent.glob(f"{file.stem}.service"):
        shutil.copy(sibling, UNITS)
    for program in roles.glob("*/files/*"):
        shutil.copy(program, "/usr/local/sbin")
    unit = file.parent.name.removesuffix(".d") if dropped_in else file.name
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60, check=False
    )
    target.unlink()
    return (done.stdout + done.stderr).strip() or ("" if done.returncode == 0 else f"exit code {done.returncode}")


def supervisor(file, _roles):
    """supervisord's own parser, which silently ignores an option that it does not know: that is a complaint, too."""
    sys.path.insert(0, "/usr/lib/python3/dist-packages")
    from supervisor.options import ServerOptions, UnhosedConfigParser

    asked, parsers = set(), []
    ask = UnhosedConfigParser.saneget

    def remember(parser, section, option, *arguments, **keywords):
        asked.add((section, option))
        parsers.append(parser)
        return ask(parser, section, option, *arguments, **keywords)

    target = PROGRAMS / file.name
    shutil.copy(file, target)
    said = io.StringIO()
    UnhosedConfigParser.saneget = remember
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            ServerOptions().realize(["-c", "/etc/supervisor/supervisord.conf"])
    except SystemExit:
        return said.getvalue().strip() or "refused"
    finally:
        UnhosedConfigParser.saneget = ask
        target.unlink()
    parser = parsers[-1]
    programs = [section for section in parser.sections() if section.startswith("program:")]
    unknown = {f"[{s}] {option}" for s in programs for option in parser.options(s) if (s, option) not in asked}
    return "unknown options: " + ", ".join(sorted(unknown)) if unknown else ""


def postgresql(file, _roles):
    """The server's settings, alone and without starting it, as the role does it."""
    return complaint(POSTGRES / "bin/postgres", "-C", "port", "-D", DATABASE, "-c", f"config_file={file}")


def pg_hba(file, _roles):
    """The rules of who may log in, as a server without a network shows them; it runs as its own user only."""
    readable = Path("/tmp/pg_hba.conf")
    shutil.copy(file, readable)
    readable.chmod(0o644)
    done = subprocess.run(
        [
            *["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"],
            *[POSTGRES / "bin/postgres", "--single", "-D", DATABASE],
            *["-c", f"config_file=/etc/postgresql/{POSTGRES.name}/main/postgresql.conf"],
            *["-c", f"hba_file={readable}", "postgres"],
        ],
        input="SELECT count(*) AS rules, string_agg('line ' || line_number || ': ' || error, '; ') AS wrong"
        " FROM pg_hba_file_rules\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if 'rules = "' not in done.stdout:
        return done.stdout + done.stderr
    wrong = re.search(r'wrong = "(.*)"', done.stdout)
    return wrong[1] if wrong else ""


def tmpfiles(file, _roles):
    return complaint("systemd-tmpfiles", "--create", file)


def prometheus(file, _roles):
    """It wants the files of rules that it names to be there."""
    for rules in file.parent.glob("*.yml"):
        shutil.copy(rules, "/etc/prometheus")
    return complaint("promtool", "check", "config", file)


def prometheus_web(file, _roles):
    return complaint("promtool", "check", "web-config", file)


def prometheus_rules(file, _roles):
    return complaint("promtool", "check", "rules", file)


def alertmanager(file, _roles):
    """Without a configuration the role does not write it."""
    if file.read_text().endswith("\n{}\n"):
        return ""
    return complaint("amtool", "check-config", file)


def logrotate(file, _roles):
    """Its complaints do not change its exit code."""
    said = subprocess.run(["logrotate", "--debug", file], capture_output=True, text=True, check=False).stderr
    return "\n".join(line for line in said.splitlines() if line.startswith("error:"))


def apt(file, _roles):
    return complaint("apt-config", "-c", file, "dump")


def nftables(file, _roles):
    return complaint("nft", "--check", "--file", file)


VALIDATORS = {
    "60warren-upgrades": apt,
    "celery.conf": tmpfiles,
    "celery-web.conf": tmpfiles,
    "firewall.nft": nftables,
    "haproxy.cfg": haproxy,
    "inter_node_tls.config": inter_node_tls,
    "keepalived.conf": keepalived,
    "rabbitmq.conf": rabbitmq,
    "enabled_plugins": enabled_plugins,
    "alertmanager.yml": alertmanager,
    "alerts.yml": prometheus_rules,
    "exporter": shell,
    "prometheus": shell,
    "prometheus-alertmanager": shell,
    "prometheus.yml": prometheus,
    "web.yml": prometheus_web,
    "exporter-web.yml": prometheus_web,
    "warren-inventory.yml": prometheus_rules,
    "rabbitmq-env.conf": shell,
    "rabbitmq-server": logrotate,
    "run": shell,
    "program.conf": supervisor,
    "celery-workers.conf": supervisor,
    "celery-beat.conf": supervisor,
    "redis.conf": redis,
    "users.conf": redis,
    "flower.conf": supervisor,
    "web.conf": supervisor,
    "warren.conf": postgresql,
    "pg_hba.conf": pg_hba,
}


def validator(file):
    """The validator of a file, by its name; None for those that are checked outside the image."""
    if file.suffix in {".service", ".timer"} or file.parent.name.endswith((".service.d", ".socket.d")):
        return systemd
    return VALIDATORS.get(file.name)


def main():
    roles, *folders = map(Path, sys.argv[1:])
    make_certificates()
    # Hosts of a kind have the same files: each is checked once.
    known, said = {}, [{} for _ in folders]
    for folder, said_of_folder in zip(folders, said, strict=True):
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            check = validator(file)
            if check:
                content = (file.relative_to(folder).parts[1:], file.read_bytes())
                if content not in known:
                    known[content] = check(file, roles)
                said_of_folder[str(file.relative_to(folder))] = known[content]
    print(json.dumps(said))


if __name__ == "__main__":
    main()
