"""A real RabbitMQ for tests."""

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path

from kombu import Connection

# The package's own commands change to another user, which a test need not be able to.
COMMANDS = Path("/usr/lib/rabbitmq/bin")

# All that is in the virtual host `/` goes with it.
NEW_VIRTUAL_HOST = """
rabbit_vhost:delete(<<"/">>, <<"test">>),
rabbit_vhost:add(<<"/">>, <<"test">>),
All = <<".*">>,
rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"/">>, All, All, All, <<"test">>).
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def url_of(*ports):
    return [f"pyamqp://127.0.0.1:{port}//" for port in ports]


class RabbitMQ:
    """Debian's, with ports, name, cookie and data of its own, on 127.0.0.1 only."""

    def __init__(self, folder, port):
        self.port = port
        self.folder = folder
        self._environment = os.environ | {
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(free_port()),
            "RABBITMQ_NODENAME": "test@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            # One scheduler, which does not wait busily: it starts sooner, and leaves cores free.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none"
            " -kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        }

    def beside(self, folder, port, name):
        """Another node with the same epmd and cookie, which keeps its files in `folder`."""
        other = RabbitMQ(folder, port)
        other._environment |= {
            "RABBITMQ_NODENAME": name,
            "ERL_EPMD_PORT": self._environment["ERL_EPMD_PORT"],
        }
        cookie = folder / ".erlang.cookie"
        cookie.write_text((self.folder / ".erlang.cookie").read_text())
        cookie.chmod(0o400)
        return other

    def start(self, *command):
        """Start a command with the broker's environment, and return its process."""
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=output, stderr=output
            )

    def wait(self, server):
        """Return when the broker takes connections."""
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), Connection(*url_of(self.port)) as connection:
                connection.connect()
                return
            output = (self.folder / "output").read_text()
            assert time.monotonic() < deadline and server.poll() is None, output
            time.sleep(0.2)

    def run(self, *command, text=None):
        """Run a command that talks to the broker, with `text` as its input; its result."""
        return subprocess.run(
            command,
            env=self._environment | {"PATH": f"{COMMANDS}:{os.environ['PATH']}"},
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ctl(self, *arguments):
        """Run rabbitmqctl, and return what it printed."""
        done = self.run("rabbitmqctl", "--quiet", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def queue(self, name):
        """How many messages are ready in a queue and how many consumers it has; None without it.

        Over AMQP: a rabbitmqctl takes a second.
        """
        with (
            Connection(*url_of(self.port)) as connection,
            contextlib.suppress(connection.channel_errors),
        ):
            return connection.default_channel.queue_declare(name, passive=True)[1:]
        return None

    def clear(self):
        """Remove all that is in the virtual host `/`."""
        self.ctl("eval", NEW_VIRTUAL_HOST)


@contextlib.contextmanager
def running_rabbitmq(folder, port):
    """A RabbitMQ that keeps its files in `folder` and listens on `port`."""
    assert COMMANDS.exists(), "type: apt-get install rabbitmq-server"
    broker = RabbitMQ(folder, port)
    with contextlib.ExitStack() as stack:

        def start(*command):
            process = broker.start(*command)
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
            return process

        # Started here because the one that Erlang would start stays forever.
        start("epmd")
        broker.wait(start(COMMANDS / "rabbitmq-server"))
        yield broker
