"""Try with a foreign client of AMQP, Debian's python3-pika, what brokers must refuse; JSON: what each try was told.

Runs in the project's environment, which has its login in its settings: in an argument it would end up in sudo's log.
"""

import json
import ssl
import sys
from urllib.parse import unquote, urlsplit

import celeryconfig
from celeryconfig import broker_url

sys.path.append("/usr/lib/python3/dist-packages")

import pika
from pika.exceptions import AMQPError

OWN = urlsplit(broker_url[0])
USER, PASSWORD = unquote(OWN.username), unquote(OWN.password)
VHOST = unquote(OWN.path[1:])
TLS = getattr(celeryconfig, "broker_use_ssl", None)


def connect(user, password, vhost=VHOST):
    """Log in."""
    login = pika.PlainCredentials(user, password)
    return pika.BlockingConnection(
        pika.ConnectionParameters(
            OWN.hostname,
            OWN.port,
            vhost,
            login,
            ssl_options=TLS
            and pika.SSLOptions(ssl.create_default_context(cafile=TLS["ca_certs"]), TLS["server_hostname"]),
            socket_timeout=10,
            blocked_connection_timeout=10,
        )
    )


def on_channel(act):
    """Return what logs in as the project does, and acts."""

    def attempt():
        connection = connect(USER, PASSWORD)
        try:
            act(connection.channel())
        finally:
            if connection.is_open:
                connection.close()

    return attempt


ATTEMPTS = {
    "guest": lambda: connect("guest", "guest"),
    "a wrong password": lambda: connect(USER, "wrong"),
    "no password": lambda: connect(USER, ""),
    "a user of nobody": lambda: connect("admin", "admin"),
    "the user of the page, which is off": lambda: connect("viewer", "viewer"),
    "the virtual host of nobody": lambda: connect(USER, PASSWORD, "/"),
    "a queue of another name": on_channel(lambda channel: channel.queue_declare("theirs")),
    "a queue whose name only begins like one's own": on_channel(lambda channel: channel.queue_declare("default2")),
    "to delete a queue of another name": on_channel(lambda channel: channel.queue_delete("theirs")),
    "to read a queue of another name": on_channel(lambda channel: channel.basic_get("theirs")),
    "an exchange of another name": on_channel(lambda channel: channel.exchange_declare("theirs")),
    "to tap the broker's own exchange": on_channel(lambda channel: channel.queue_bind("default", "amq.topic", "#")),
    "to read the broker's log": on_channel(lambda channel: channel.queue_bind("default", "amq.rabbitmq.log", "#")),
    "to trace all messages": on_channel(lambda channel: channel.queue_bind("default", "amq.rabbitmq.trace", "#")),
}


def main():
    """Try all of it."""
    said = {}
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
            said[name] = "allowed"
        except (AMQPError, OSError) as error:
            said[name] = repr(error)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
