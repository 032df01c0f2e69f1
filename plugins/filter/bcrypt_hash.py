"""Ansible's filter `bcrypt_hash`: a password's hash, as Prometheus and its exporters want it.

The same password and the same name give the same hash, so that a run which has nothing to do changes nothing.
"""

import base64
import ctypes
import hashlib
from collections.abc import Callable

from ansible.errors import AnsibleFilterError

# Two to the power of this many rounds: some 50 ms.
ROUNDS = 10
LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2")
# The same six bits each, in the order of Base64 and in bcrypt's.
STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
OWN = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def bcrypt_hash(password: str, name: str) -> str:
    """Return the hash of a password; only its first 72 bytes count.

    Raises AnsibleFilterError where this machine cannot make one.

    :param name: of which the salt is made, such as a host's. It is not made of the password: who has the hash could try
        passwords with that at once, without the rounds.
    """
    salt = base64.b64encode(hashlib.sha256(name.encode()).digest()[:16]).rstrip(b"=").translate(_TO_OWN)
    hashed = _crypt()(password.encode(), b"$2b$%02d$%s" % (ROUNDS, salt))
    if not hashed or not hashed.startswith(b"$2b$"):
        raise AnsibleFilterError("This machine's libcrypt knows no bcrypt, in which Prometheus wants its password.")
    return hashed.decode()


_TO_OWN = bytes.maketrans(STANDARD, OWN)


def _crypt() -> Callable[[bytes, bytes], bytes | None]:
    """Return crypt(3); Python has it no longer since 3.13."""
    for name in LIBRARIES:
        try:
            function = ctypes.CDLL(name).crypt
        except OSError:
            continue
        function.restype = ctypes.c_char_p
        return function
    raise AnsibleFilterError("This machine has no libcrypt, which hashes Prometheus' password: install libcrypt1.")


class FilterModule:
    """The filter, as Ansible asks for it."""

    def filters(self) -> dict[str, Callable]:
        return {"bcrypt_hash": bcrypt_hash}
