"""Let the project connect to impostors of a broker, and to the brokers without TLS; JSON: what each try was told.

Usage: python3 - RUN NAME      (as root, who may read the host's key; RUN runs a program of the project)

Each impostor listens on this host. One shows the host's own certificate, which is of the right authority and lacks
NAME, that of brokers. One shows a certificate with this name, which it has signed itself.
"""

import datetime
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CLIENT = """
import sys
import celeryconfig
from kombu import Connection
port, tls = sys.argv[1:]
url = celeryconfig.broker_url[0] if port == "0" else f"pyamqp://guest:guest@127.0.0.1:{port}//"
ssl = {"yes": celeryconfig.broker_use_ssl, "no": False}[tls]
try:
    connection = Connection(url, ssl=ssl, connect_timeout=5).connect()
    print("connected, and the peer is", "verified" if ssl else "not verified")
except Exception as error:
    print(repr(error))
"""


def self_signed(name, folder):
    """Return the files of a certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "impostor.crt", folder / "impostor.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(*form))
    return files


def impostor(certificate, key):
    """Start one; returns its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                context.wrap_socket(listener.accept()[0], server_side=True).recv(8)
            except OSError:
                continue

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def main(run, name):
    """Try all of it."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path("/etc/ssl/warren")
        tries = {
            "the brokers": (0, "yes"),
            "the brokers without TLS": (0, "no"),
            "another name": (impostor(own / "host.crt", own / "host.key"), "yes"),
            "another authority": (impostor(*self_signed(name, Path(folder))), "yes"),
        }
        said = {}
        for what, (port, tls) in tries.items():
            command = [run, "python", "-c", CLIENT, str(port), tls]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            said[what] = done.stdout.strip() or done.stderr[-500:]
        print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
