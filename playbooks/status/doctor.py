"""The doctor of playbooks/verify.yml: each piece of advice that the kit exists for, as a check of the running cluster.

Usage: doctor.py FILE < FACTS.json

Writes the findings to FILE as JSON, prints them with colours, and exits with 3 when something is wrong. FACTS.json is
what status_screen.py takes, and

    asked -- for each host when it was asked and when it had answered, seconds since the epoch, a pair
    vhost -- the virtual host
    expected -- what the inventory says: `policies` and `users` as the role rabbitmq takes them, `page_user` (whom
        management.yml makes), `longest_task_seconds`, `prefetch_multiplier`, `child_memory_kib` (0 is no limit), and
        `arguments`, which every worker program must have
"""

import json
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from status_screen import BOLD, GREEN, RED, NoAnswerError, output, paint, read_brokers, sections, size

# From here on somebody should act while there is still room.
NEARLY_FULL = 0.8
# With the kit's bounds a queue of 500 events a second that nobody reads holds 2,500; one that is read, next to none.
UNREAD_EVENTS = 1000
# Results of tasks that somebody still waits for are few.
UNREAD_RESULTS = 100
# Celery replaces a child that is too large after its task, which may need more meanwhile.
CHILD_MEMORY_SLACK = 1.25
# Schedules, locks and the drills compare the hosts' clocks.
CLOCK_SECONDS = 1.0
REPLY_QUEUE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DEPLOY = "ansible-playbook playbooks/site.yml --tags"


@dataclass
class Finding:
    """What a check has found: a short measured value, what is wrong, sentences, and the command that repairs it."""

    name: str
    measured: str
    wrong: list
    repair: str


class Cluster:
    """The facts, sorted by what they are about; what gave no answer is left out."""

    def __init__(self, facts):
        self.facts = facts
        self.expected = facts["expected"]
        self.vhost = facts["vhost"]
        self.lines = [line for section in sections(facts) for line in section.rows]
        brokers = read_brokers(facts)
        self.brokers = {host: said for host, said in brokers.items() if not isinstance(said, NoAnswerError)}
        self.queues = {queue["name"]: queue for said in self.brokers.values() for queue in said["leads"]}
        self.hosts = self._answers("host")
        self.programs = {
            f"{name}@{host}": program
            for host, programs in self._answers("celery_worker").items()
            for name, program in programs.items()
        }
        self.releases = self._answers("celery_app", lambda said: said.strip().removeprefix("releases/"))

    def _answers(self, role, read=json.loads):
        found = {}
        for host, answers in self.facts["answers"].items():
            try:
                if "skipped" not in answers.get(role, {}):
                    found[host] = read(output(answers.get(role, {}), ""))
            except NoAnswerError:
                # The check that every part answers tells it.
                continue
        return found


CHECKS = []


def check(name):
    """Register a function that takes a Cluster and returns the fields of a Finding after its name, or None for a
    cluster that has nothing of the kind."""

    def register(function):
        CHECKS.append((name, function))
        return function

    return register


def worst(shares):
    """Return the largest of some shares, a dict of names to numbers, as a text."""
    name = max(shares, key=shares.get)
    return f"{shares[name]:.0%} on {name}"


@check("every part answers")
def every_part_answers(cluster):
    silent = [f"{name}: {wrong[0]}" for name, cells, wrong in cluster.lines if not cells and wrong]
    return f"{len(cluster.lines)} parts asked", silent, "type what the sentence says"


@check("brokers see each other")
def brokers_see_each_other(cluster):
    if not cluster.brokers:
        return None
    names = {f"rabbit@{host}" for host in cluster.facts["groups"]["rabbitmq"]}
    apart = [
        f"{host} does not see {', '.join(sorted(names - set(said['running']) | set(said['partitions'])))}"
        for host, said in cluster.brokers.items()
        if names - set(said["running"]) or said["partitions"]
    ]
    return f"{len(cluster.brokers)} of {len(names)}", apart, "on that broker `systemctl restart rabbitmq-server`"


@check("no publisher is held up")
def no_publisher_is_held_up(cluster):
    if not cluster.brokers:
        return None
    alarms = [f"{host}: {', '.join(said['alarms'])}" for host, said in cluster.brokers.items() if said["alarms"]]
    waiting = sum(said["waiting_connections"] for said in cluster.brokers.values())
    # Where a limit was changed by hand, the configuration's own; where there is a backlog, more workers.
    return f"{waiting} connections wait", alarms, "`ansible-playbook playbooks/drills/heal.yml`, or start more workers"


@check("memory is below the watermark")
def memory_is_below_the_watermark(cluster):
    shares = {host: said["memory_bytes"] / said["memory_limit_bytes"] for host, said in cluster.brokers.items()}
    return _nearly_full(shares, "start more workers, or raise rabbitmq_memory_high_watermark")


@check("file handles of the brokers")
def file_handles(cluster):
    shares = {host: said["file_handles"] / said["file_handles_limit"] for host, said in cluster.brokers.items()}
    return _nearly_full(
        shares, f"raise host_open_files_limit, `{DEPLOY} host`, and there `systemctl restart rabbitmq-server`"
    )


@check("disk space for the brokers")
def disk_space_for_the_brokers(cluster):
    left = {host: said["disk_free_bytes"] for host, said in cluster.brokers.items() if said["disk_free_bytes"]}
    if not left:
        return None
    short = [
        f"{host} has {size(free)} left and stops publishers at {size(cluster.brokers[host]['disk_limit_bytes'])}"
        for host, free in left.items()
        if free < 2 * cluster.brokers[host]["disk_limit_bytes"]
    ]
    return (
        f"{size(min(left.values()))} left",
        short,
        "on that broker `journalctl --vacuum-size=100M` and `du -x / | sort -n`",
    )


def _nearly_full(shares, repair):
    if not shares:
        return None
    return worst(shares), [f"{name} uses {share:.0%}" for name, share in shares.items() if share > NEARLY_FULL], repair


@check("queues are consumed")
def queues_are_consumed(cluster):
    task_queues = [name for name in cluster.facts["task_queues"] if name in cluster.queues]
    unread = [name for name in task_queues if cluster.queues[name]["consumers"] == 0]
    takers = [
        f"`supervisorctl start {program['name']}` on {host}"
        for host, programs in cluster.facts["programs"].items()
        for program in programs
        if unread and unread[0] in program["queues"]
    ]
    wrong = [f"nobody consumes {name}" for name in unread]
    return f"{len(task_queues)} task queues", wrong, " and ".join(takers) or "start the program that should"


@check("mirrors are in sync")
def mirrors_are_in_sync(cluster):
    behind = [name for name, queue in cluster.queues.items() if set(queue["mirrors"]) - set(queue["synchronised"])]
    mirrored = [name for name, queue in cluster.queues.items() if queue["mirrors"]]
    repair = f"`rabbitmqctl sync_queue -p {cluster.vhost} {behind[0] if behind else 'QUEUE'}` on a broker"
    return f"{len(mirrored)} mirrored queues", [f"{name} has a copy that is behind" for name in behind], repair


@check("event queues have bounds")
def event_queues_have_bounds(cluster):
    events = {name: queue for name, queue in cluster.queues.items() if name.startswith("celeryev")}
    unbounded = [
        f"{name} has no {what}"
        for name, queue in events.items()
        for key, what in (
            ("ttl_milliseconds", "message-ttl"),
            ("max_length", "max-length"),
            ("expires_milliseconds", "expires"),
        )
        if queue[key] is None
    ]
    return f"{len(events)} event queues", unbounded, f"`{DEPLOY} rabbitmq`"


@check("event queues are read")
def event_queues_are_read(cluster):
    unread = {name: queue["ready"] for name, queue in cluster.queues.items() if name.startswith("celeryev")}
    full = [name for name, count in unread.items() if count > UNREAD_EVENTS]
    # Its reader hangs, or is gone for good.
    if full and cluster.queues[full[0]]["consumers"] == 0:
        repair = f"`rabbitmqctl delete_queue -p {cluster.vhost} {full[0]}` on a broker"
    else:
        repair = "`supervisorctl restart flower` where Flower runs"
    wrong = [f"{name} holds {unread[name]} events" for name in full]
    return f"{max(unread.values(), default=0)} unread at most", wrong, repair


@check("results do not pile up")
def results_do_not_pile_up(cluster):
    results = {name: queue["ready"] for name, queue in cluster.queues.items() if REPLY_QUEUE.fullmatch(name)}
    full = [name for name, count in results.items() if count > UNREAD_RESULTS]
    repair = f"`rabbitmqctl delete_queue -p {cluster.vhost} {full[0] if full else 'QUEUE'}` on a broker"
    wrong = [f"{name} holds {results[name]} results" for name in full]
    return f"{sum(results.values())} unread", wrong, f"{repair}, and ignore_result on its tasks"


@check("the management plugin is off")
def the_management_plugin_is_off(cluster):
    on = [host for host, said in cluster.brokers.items() if "rabbitmq_management" in said["plugins"]]
    repair = "`ansible-playbook playbooks/management.yml -e state=off`"
    return f"on at {len(on)} brokers", [f"{host} has it on" for host in on], repair


@check("a task may be held for long enough")
def a_task_may_be_held_for_long_enough(cluster):
    if not cluster.brokers:
        return None
    timeouts = {host: (said["consumer_timeout_milliseconds"] or 0) / 1000 for host, said in cluster.brokers.items()}
    needed = 2 * cluster.expected["longest_task_seconds"]
    short = {host: seconds for host, seconds in timeouts.items() if 0 < seconds < needed}
    wrong = [
        f"{host} takes a task back after {seconds:.0f} s, and a worker may hold it for {needed} s"
        for host, seconds in short.items()
    ]
    restart = f"`systemctl restart rabbitmq-server` on {next(iter(short), 'that broker')}"
    return f"{min(timeouts.values()):.0f} s", wrong, f"`{DEPLOY} rabbitmq`, and where that changes nothing {restart}"


@check("policies are the inventory's")
def policies_are_the_inventorys(cluster):
    wanted = {
        policy["name"]: (policy["pattern"], policy["priority"], policy["definition"])
        for policy in cluster.expected["policies"]
    }
    return _same(
        cluster, "policy", wanted, "policies", "name", lambda p: (p["pattern"], p["priority"], p["definition"])
    )


@check("users are the inventory's")
def users_are_the_inventorys(cluster):
    keys = ("configure", "write", "read")
    wanted = {user["name"]: tuple(user[key] for key in keys) for user in cluster.expected["users"]}
    # The page has a user of its own as long as it is on.
    if any("rabbitmq_management" in said["plugins"] for said in cluster.brokers.values()):
        wanted[cluster.expected["page_user"]] = ("^$", "^$", "^$")
    return _same(cluster, "user", wanted, "permissions", "user", lambda user: tuple(user[key] for key in keys))


def _same(cluster, what, wanted, key, name, value):
    if not cluster.brokers:
        return None
    # All brokers have the same.
    found = {item[name]: value(item) for item in next(iter(cluster.brokers.values()))[key]}
    differing = [
        f"the {what} {name} "
        + ("is missing" if name not in found else "differs" if name in wanted else "is not in the inventory")
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
    foreign = sorted(found.keys() - wanted.keys())
    repair = f"`{DEPLOY} rabbitmq`"
    if what == "user" and foreign:
        repair = f"`rabbitmqctl delete_user {foreign[0]}` on a broker, or add it to rabbitmq_users"
    return f"{len(found)}", differing, repair


@check("workers send no heartbeats and no gossip")
def workers_send_no_heartbeats(cluster):
    missing = [
        f"{name} runs without {argument}"
        for name, program in cluster.programs.items()
        for argument in cluster.expected["arguments"]
        if "arguments" in program and argument not in program["arguments"]
    ]
    return f"{len(cluster.programs)} programs", missing, f"`{DEPLOY} celery_worker`"


@check("workers fetch no more than they can do")
def workers_fetch_no_more_than_they_can_do(cluster):
    fetching = {
        name: (program["prefetch"], program["concurrency"] * cluster.expected["prefetch_multiplier"])
        for name, program in cluster.programs.items()
        # A pool that may grow fetches for its largest size.
        if program.get("prefetch") and program.get("concurrency") and not _grows(program)
    }
    greedy = [
        f"{name} fetches {fetched}, not {wanted}" for name, (fetched, wanted) in fetching.items() if fetched > wanted
    ]
    return f"{sum(fetched for fetched, _ in fetching.values())} tasks at most", greedy, f"`{DEPLOY} celery_worker`"


def _grows(program):
    return any(argument.startswith("--autoscale") for argument in program.get("arguments", []))


@check("no worker is a zombie")
def no_worker_is_a_zombie(cluster):
    running = {name: program for name, program in cluster.programs.items() if program["state"] == "RUNNING"}
    silent = [name for name, program in running.items() if not program["answering"]]
    ended = {name: program["zombies"] for name, program in running.items() if program["zombies"]}
    wrong = [f"{name} runs and gives no answer" for name in silent]
    wrong += [f"{name} has {count} ended processes" for name, count in ended.items()]
    # A frozen program does not hear supervisord, which would wait for its tasks; the watchdog kills it.
    program, _, host = next(iter([*silent, *ended]), "PROGRAM@HOST").partition("@")
    repair = "systemctl start celery-watchdog" if silent else f"supervisorctl restart {program}"
    return f"{len(running)} programs", wrong, f"`{repair}` on {host}"


@check("children stay below their memory")
def children_stay_below_their_memory(cluster):
    largest = {name: program.get("largest_child_bytes", 0) for name, program in cluster.programs.items()}
    limit = cluster.expected["child_memory_kib"] * 1024
    if not largest or not limit:
        return None
    large = [name for name, used in largest.items() if used > CHILD_MEMORY_SLACK * limit]
    program, _, host = (large or ["PROGRAM@HOST"])[0].partition("@")
    wrong = [f"a child of {name} has {size(largest[name])}, more than {size(limit)}" for name in large]
    return (
        f"{size(max(largest.values()))} at most",
        wrong,
        f"`supervisorctl restart {program}` on {host}, and look what it does",
    )


@check("all hosts have the same release")
def all_hosts_have_the_same_release(cluster):
    releases = set(cluster.releases.values())
    differing = [f"{host} has {release}" for host, release in cluster.releases.items()] if len(releases) > 1 else []
    return ", ".join(sorted(releases)) or "none", differing, f"`{DEPLOY} celery_app`"


@check("locks end")
def locks_end(cluster):
    endless = {}
    for host in cluster.facts["groups"].get("redis", [])[:1]:
        for result in cluster.facts["answers"][host].get("redis", {}).get("results", []):
            # RedBeat's schedule, which does not end, is in database 0.
            found = re.search(r"^db1:keys=(\d+),expires=(\d+)", result.get("stdout", ""), re.M)
            if result.get("item", {}).get("name") == "locks":
                endless[f"{host}:{result['item']['port']}"] = int(found[1]) - int(found[2]) if found else 0
    if not endless:
        return None
    wrong = [f"{count} locks on {where} have no end" for where, count in endless.items() if count]
    where, port = next(iter(endless)).split(":")
    return (
        f"{sum(endless.values())} without an end",
        wrong,
        f"`redis-cli -h {where} -p {port} -n 1 --scan` on {where}, with REDISCLI_AUTH set; then delete them",
    )


@check("room for tracked connections")
def room_for_tracked_connections(cluster):
    shares = {
        host: said["conntrack_used"] for host, said in cluster.hosts.items() if said["conntrack_used"] is not None
    }
    return _nearly_full(shares, f"raise host_conntrack_max, and `{DEPLOY} host`")


@check("room for files")
def room_for_files(cluster):
    shares = {f"{host}:{said['inodes_used'][1]}": said["inodes_used"][0] for host, said in cluster.hosts.items()}
    return _nearly_full(shares, "`systemctl start celery-clean` and `du --inodes -x / | sort -n | tail` on that host")


@check("kernel settings are the inventory's")
def kernel_settings(cluster):
    wrong = [f"{host}: {line}" for host, said in cluster.hosts.items() for line in said["kernel_wrong"]]
    return f"{len(cluster.hosts)} hosts", wrong, "`sysctl --load=/etc/sysctl.d/60-warren.conf` on that host"


@check("clocks agree")
def clocks_agree(cluster):
    off = {}
    for host, said in cluster.hosts.items():
        asked, answered = cluster.facts["asked"][host]
        # The host's time lies between the two where the clocks agree.
        off[host] = max(asked - said["time"], said["time"] - answered, 0)
    if not off:
        return None
    wrong = [f"{host} is {seconds:.1f} s off" for host, seconds in off.items() if seconds > CLOCK_SECONDS]
    return f"{max(off.values()):.1f} s off at most", wrong, "`systemctl restart systemd-timesyncd` on that host"


def examine(facts):
    """Return the Findings of all checks, but for those that have nothing to look at."""
    cluster = Cluster(facts)
    found = [(name, function(cluster)) for name, function in CHECKS]
    return [Finding(name, *result) for name, result in found if result]


def report(findings):
    """Return the findings as text, with the terminal's colours."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        verdict = paint("wrong", RED) if finding.wrong else paint("ok   ", GREEN)
        lines.append(f"{verdict}  {finding.name:<{width}}  {finding.measured}")
        lines += [paint(f"       {sentence}", RED) for sentence in finding.wrong]
        lines += [f"       repair: {finding.repair}"] if finding.wrong else []
    wrong = sum(bool(finding.wrong) for finding in findings)
    return "\n".join([*lines, paint(f"{len(findings) - wrong} ok, {wrong} wrong", BOLD)])


def main():
    """Read the facts, write the JSON, print the findings; 3 when something is wrong."""
    facts = json.load(sys.stdin)
    findings = examine(facts)
    wrong = any(finding.wrong for finding in findings)
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    found = {
        "environment": facts["environment"],
        "time": datetime.fromtimestamp(float(facts["time"]), UTC).isoformat(timespec="seconds"),
        "passed": not wrong,
        "checks": [vars(finding) for finding in findings],
    }
    file.write_text(json.dumps(found, indent=2) + "\n")
    print(report(findings))
    # An error of this program itself is 1.
    return 3 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
