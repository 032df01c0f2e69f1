"""Fixtures: an HTTP server with known answers, and the messages that the site sends."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from warren_site.celery import app


class Answers(BaseHTTPRequestHandler):
    """`/N` is answered with status N; `/cut` ends the connection."""

    def do_GET(self):
        if self.path == "/cut":
            self.close_connection = True
            return
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def server():
    """The URL of a running web server, without a final slash."""
    with HTTPServer(("127.0.0.1", 0), Answers) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def sent():
    """Return the tasks that were sent to the broker since the last call: (name, args, kwargs)."""

    def read():
        found = []
        with app.connection_for_read() as connection:
            queue = connection.SimpleQueue(app.conf.task_default_queue)
            while True:
                try:
                    message = queue.get_nowait()
                except queue.Empty:
                    return found
                message.ack()
                args, kwargs, _ = message.payload
                found.append((message.headers["task"], args, kwargs))

    read()
    return read
