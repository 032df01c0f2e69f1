"""List the parked messages, send some again, or throw some away. Works with any Celery project.

Usage: parked.py list|replay|discard [--id ID] [--task NAME] [--reason WORD] [--queue QUEUE] [--known MODULE]

The options choose messages: all that match each one. WORD is the first of a reason, such as `unknown`. With --known,
only tasks that the project's MODULE has. `replay` sends a message to the queue that it came from, and takes it out when
the broker has confirmed that; `discard` takes it out. All others stay, in their order.

Prints JSON: `parked`, a list of the chosen messages, each with `id`, `task`, `queue`, `reason`, `since` (ISO 8601),
`by`, `arguments` (as much as the sender has shown) and `done`, whether it was sent or taken out; `total`, how many
messages were there; and `kinds`, a line for each task and reason of the chosen ones. Exits with 1 when a chosen one
could not be sent again, and says why in its `error`.
"""

import argparse
import json
import sys
from datetime import UTC, datetime

import celeryparking
from celerycontrol import app
from kombu.exceptions import ChannelError

# What is parked without a word of anybody's: the exchange of all tasks has found no queue.
UNROUTED = "no queue: it was missing when the task was sent"


def described(message):
    """Return what is known of a message: a worker's own words, or what RabbitMQ says of one that it parked."""
    headers, death = message.headers, (message.headers.get("x-death") or [{}])[0]
    by_broker = f"{death['reason']}: by the broker" if death else UNROUTED
    since = headers.get(celeryparking.SINCE) or getattr(death.get("time"), "timestamp", int)()
    return {
        "id": headers.get("id") or message.properties.get("correlation_id"),
        "task": headers.get("task"),
        "queue": headers.get(celeryparking.ORIGIN) or death.get("queue") or message.delivery_info["routing_key"],
        "reason": headers.get(celeryparking.REASON) or by_broker,
        "since": datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds"),
        "by": headers.get(celeryparking.BY) or "the broker",
        "arguments": f"{headers.get('argsrepr', '')} {headers.get('kwargsrepr', '')}".strip(),
    }


def messages(channel):
    """Yield every message that is in the queue now; what is not acknowledged goes back when the channel ends."""
    queue = celeryparking.parking_queue(app)(channel)
    celeryparking.declare(app, channel)
    for _ in range(queue.queue_declare(passive=True).message_count):
        if (message := queue.get()) is not None:
            yield message


def chosen(said, options, known):
    """Return whether the options choose a message."""
    wanted = {"id": options.id, "task": options.task, "queue": options.queue}
    return (
        all(value is None or said[name] == value for name, value in wanted.items())
        and (options.reason is None or said["reason"].startswith(f"{options.reason}"))
        and (known is None or said["task"] in known)
    )


def replay(message, said):
    """Send a message to the queue that it came from, without what was added when it was parked."""
    own = {celeryparking.REASON, celeryparking.ORIGIN, celeryparking.SINCE, celeryparking.BY, celeryparking.DEATHS}
    headers = {name: value for name, value in message.headers.items() if name not in own and not name.startswith("x-")}
    celeryparking.publish(app, message, said["queue"], headers)


def tasks_of(module):
    """Return the names of a project's tasks. Its import may take long, so it waits for a message."""
    from celery.app.utils import find_app

    project = find_app(module)
    project.loader.import_default_modules()
    return set(project.tasks)


def kinds(found):
    """Return a line for each task and reason: how many, and since when."""
    times = {}
    for said in sorted(found, key=lambda said: said["since"]):
        times.setdefault((said["task"], said["queue"], said["reason"]), []).append(said["since"])
    return [
        f"{len(since)} x {task or 'no task'} of the queue {queue}, since {since[0]}: {reason}"
        for (task, queue, reason), since in times.items()
    ]


def main():
    """Do it, and print what was done."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("what", choices=["list", "replay", "discard"])
    for name in ("id", "task", "reason", "queue", "known"):
        parser.add_argument(f"--{name}")
    options = parser.parse_args()
    found, total, known = [], 0, None
    with app.connection_for_read() as connection, connection.channel() as channel:
        for message in messages(channel):
            total += 1
            said = described(message)
            if options.known and known is None:
                known = tasks_of(options.known)
            if not chosen(said, options, known):
                continue
            found.append(said | {"done": False})
            if options.what == "list":
                continue
            try:
                if options.what == "replay":
                    replay(message, said)
            except (*connection.channel_errors, *connection.connection_errors, ChannelError) as error:
                found[-1]["error"] = f"{said['queue']}: {error}"
                continue
            message.ack()
            found[-1]["done"] = True
    print(json.dumps({"parked": found, "total": total, "kinds": kinds(found)}))
    return 1 if any("error" in said for said in found) else 0


if __name__ == "__main__":
    sys.exit(main())
