"""How many bytes a published task costs on the wire, for each serializer and compression that the release has.

Usage: /opt/celery/NAME/run python - MODULE < messages.py

Counts what py-amqp writes to its socket: AMQP frames with headers and properties, without TCP/IP. The tasks go to a
queue of this script's own, which nobody consumes and which ends with it.
"""

import random
import sys
import uuid

from celery.app.utils import find_app
from kombu import Exchange, Queue, compression, serialization
from kombu.exceptions import SerializerNotInstalled

SERIALIZERS = ["json", "msgpack", "yaml", "pickle"]
COMPRESSIONS = [None, "zlib", "bzip2", "zstd"]
ARGSREPR_CHARACTERS = [1024, 64]
MESSAGES = 50


def payload(seed=1):
    """About 1 kB of JSON: an order, as a shop might send it to a worker."""
    chosen = random.Random(seed)
    words = ["blue", "large", "cotton", "shirt", "lamp", "oak", "table", "mug", "wool", "scarf", "steel", "bottle"]
    items = [
        {
            "sku": f"{chosen.choice('ABCD')}-{chosen.randrange(10**6):06d}",
            "name": " ".join(chosen.sample(words, 3)),
            "quantity": chosen.randrange(1, 9),
            "price": chosen.randrange(100, 99999) / 100,
        }
        for _ in range(9)
    ]
    return {
        "order": chosen.randrange(10**9),
        "customer": {"id": str(uuid.UUID(int=chosen.getrandbits(128))), "email": "jane.doe@example.com", "new": False},
        "items": items,
        "note": None,
    }


class Counter:
    """Counts what a py-amqp connection writes."""

    def __init__(self, transport):
        self.bytes = 0
        self._write = transport._write
        transport._write = self.write

    def write(self, data):
        self.bytes += len(data)
        return self._write(data)


def is_installed(serializer):
    try:
        serialization.dumps({}, serializer)
    except SerializerNotInstalled:
        return False
    return True


def main():
    app = find_app(sys.argv[1])
    task = app.tasks["celery.accumulate"]
    kwargs = payload()
    serializers = [name for name in SERIALIZERS if is_installed(name)]
    compressions = [name for name in COMPRESSIONS if name is None or f"application/{name}" in known_compressions()]
    sizes, sent = {}, 0
    with app.connection_for_read() as connection, app.amqp.Producer(connection, auto_declare=False) as producer:
        name = f"warren-smoke.{uuid.uuid4()}"
        exchange = Exchange(name, "direct", durable=False, auto_delete=True)
        queue = Queue(name, exchange, routing_key=name, durable=False, auto_delete=True, expires=300)
        bound = queue(connection.default_channel)
        bound.declare()
        counter = Counter(connection.connection.transport)
        for characters in ARGSREPR_CHARACTERS:
            app.amqp.argsrepr_maxsize = app.amqp.kwargsrepr_maxsize = characters
            for serializer in serializers:
                for method in compressions:
                    before = counter.bytes
                    for _ in range(MESSAGES):
                        task.apply_async(
                            kwargs=kwargs, producer=producer, serializer=serializer, compression=method,
                            exchange=name, routing_key=name, retry=False,
                        )  # fmt: skip
                        sent += 1
                    sizes[serializer, method, characters] = (counter.bytes - before) / MESSAGES
        arrived = bound.queue_declare(passive=True).message_count
        bound.delete()
    if arrived != sent:
        sys.exit(f"{sent} tasks were published and {arrived} arrived, so these numbers would mean nothing")

    base = sizes["json", None, ARGSREPR_CHARACTERS[0]]
    print(f"kwargs of {len(serialization.dumps(kwargs, 'json')[2])} bytes as JSON, {MESSAGES} tasks each")
    print("serializer  compression" + "".join(f"  {f'argsrepr {n}':>22}" for n in ARGSREPR_CHARACTERS))
    for serializer in serializers:
        for method in compressions:
            row = [sizes[serializer, method, characters] for characters in ARGSREPR_CHARACTERS]
            shown = "".join(f"  {size:9.0f} bytes  {size / base:5.2f}" for size in row)
            print(f"{serializer:10}  {method or 'none':11}{shown}")
    missing = [name for name in SERIALIZERS if name not in serializers]
    missing += [name for name in COMPRESSIONS if name not in compressions]
    print("not in the release:", ", ".join(missing) or "nothing")


def known_compressions():
    return {content_type.replace("x-bz2", "bzip2").replace("x-gzip", "zlib") for content_type in compression.encoders()}


main()
