"""The module ask_parts asks all parts of a host at the same time; one that gives no answer delays no other."""

import base64
import json
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import kit
import pytest
import yaml
from kit import PROJECT
from warren.haproxy_page import read_page

MODULE = PROJECT / "plugins/modules/ask_parts.py"


def ask(**questions):
    """Run the module as Ansible does; returns each part's answer."""
    given = base64.b64encode(json.dumps(questions).encode()).decode()
    return kit.run_module(MODULE, questions=given)["answers"]


class Handler(BaseHTTPRequestHandler):
    """A page that takes the password `right` and answers with JSON, or with what its path says."""

    def do_GET(self):
        login = base64.b64encode(b"someone:right").decode()
        allowed = self.headers["Authorization"] == f"Basic {login}"
        self.send_response(200 if allowed else 401)
        self.end_headers()
        texts = {"/text": b"well", "/;csv;norefresh": b"# pxname,svname,iid,\n"}
        self.wfile.write(texts.get(self.path, b'{"well": true}'))

    def log_message(self, *_):
        pass


@pytest.fixture
def page():
    """The page's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def encrypted(tmp_path):
    """The page with TLS: its address without the scheme, and the file with its certificate."""
    key, certificate = tmp_path / "host.key", tmp_path / "host.crt"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=h"]
    subject = ["-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", str(certificate)
        server.shutdown()


def test_a_command_reads_its_script_and_prints():
    said = ask(a={"argv": ["sh", "-s", "word"], "stdin": "echo $1; echo no >&2; exit 3"}, b={"argv": ["true"]})
    assert said == {"a": {"rc": 3, "stdout": "word\n", "stderr": "no\n"}, "b": {"rc": 0, "stdout": "", "stderr": ""}}


def test_a_late_command_ends_with_all_that_it_has_started_and_delays_no_other(tmp_path):
    mark = tmp_path / "mark"
    began = time.monotonic()
    late = {"argv": ["sh", "-c", f"(sleep 3; touch {mark}) & sleep 30"], "seconds": 1}
    said = ask(late=late, later=late, well={"argv": ["echo", "well"]})
    assert time.monotonic() - began < 20
    assert said["late"] == {"rc": 124, "stdout": "", "stderr": "", "msg": "no answer within 1 s"}
    assert said["well"]["stdout"] == "well\n"
    time.sleep(3)
    assert not mark.exists()


def test_a_command_that_is_missing_is_an_answer():
    assert "No such file" in ask(a={"argv": ["no-such-command"]})["a"]["msg"]


def test_pages_are_read_with_their_password(page):
    login = {"user": "someone", "password": "right"}
    said = ask(
        json={"url": page, **login},
        text={"url": f"{page}/text", **login},
        wrong={"url": page},
        absent={"url": "http://127.0.0.1:1"},
    )
    assert said["json"] == {"status": 200, "json": {"well": True}}
    assert said["text"] == {"status": 200}
    assert said["wrong"] == {"status": 401, "msg": "HTTP Error 401: Unauthorized"}
    assert "refused" in said["absent"]["msg"]


def test_a_page_is_known_by_its_authority(encrypted):
    address, authority = encrypted
    question = {"url": f"https://{address}", "user": "someone", "password": "right"}
    said = ask(
        known=question | {"authority": authority}, stranger=question, plain=question | {"url": f"http://{address}"}
    )
    assert said["known"] == {"status": 200, "json": {"well": True}}
    assert "CERTIFICATE_VERIFY_FAILED" in said["stranger"]["msg"]
    assert said["plain"]["msg"]


def test_haproxys_page_is_known_by_its_authority(encrypted, tmp_path):
    """Also while one authority takes the place of another, and hosts have certificates of either."""
    address, authority = encrypted
    other = tmp_path / "other.crt"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=other"]
    command = ["openssl", "req", "-x509", *kind, "-keyout", str(tmp_path / "other.key"), "-out", str(other)]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert read_page(address, "someone", "right", [str(other), authority]) == {"servers": []}
    assert "CERTIFICATE_VERIFY_FAILED" in read_page(address, "someone", "right", [str(other)])["msg"]
    assert "No such file" in read_page(address, "someone", "right", [str(tmp_path / "none.crt")])["msg"]
    assert "cannot be read" in read_page(address, "someone", "right")["msg"]


def test_haproxys_page_refuses_a_password_by_its_status_only(page):
    address = page.removeprefix("http://")
    assert read_page(address, "someone", "wrong") == {"msg": f"The stats page at {address} does not take the password."}
    assert "cannot be read" in read_page("127.0.0.1:1401", "someone", "right")["msg"]


@pytest.mark.parametrize("role", [part["role"] for part in kit.PARTS if "status" in part["has"]])
def test_each_part_asks_a_question_of_one_kind(role):
    (name, question), *more = yaml.safe_load(Path(PROJECT / f"roles/{role}/vars/status.yml").read_text()).items()
    assert (name, more) == (f"__{role}_question", [])
    assert len(question.keys() & {"argv", "url", "haproxy_stats"}) == 1
    if "script" in question:
        assert (PROJECT / "roles" / role / "files" / question["script"]).exists()
