"""Print for how many days the certificates of a host are still valid, as JSON.

Usage: python3 - FOLDER

    host -- days of the host's own, with a fraction; below 0 after its end
    authority -- the same of the authority's; of several the one that ends first
    fits -- whether the host's key belongs to the host's certificate
"""

import datetime
import json
import re
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def certificates(path):
    """Return the certificates of a file. Debian 12's library has no function for several."""
    texts = re.findall(b"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", path.read_bytes(), re.DOTALL)
    return [x509.load_pem_x509_certificate(text) for text in texts]


def days(certificate):
    """Return for how many days a certificate is still valid."""
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return (certificate.not_valid_after - now).total_seconds() / 86400


def main(folder):
    """Print it."""
    folder = Path(folder)
    own = certificates(folder / "host.crt")[0]
    key = load_pem_private_key((folder / "host.key").read_bytes(), password=None)
    print(
        json.dumps(
            {
                "host": round(days(own), 2),
                "authority": round(min(map(days, certificates(folder / "ca.crt"))), 2),
                "fits": key.public_key().public_numbers() == own.public_key().public_numbers(),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
