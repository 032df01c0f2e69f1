"""Ansible's filters `broker_urls`, `redis_url` and `celery_once_url`.

Users, passwords and virtual hosts may hold any character: they are percent-encoded, the slash too.
"""

from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote, urlsplit


def broker_urls(addresses: Iterable[str], port: int | str, user: str, password: str, vhost: str) -> list[str]:
    """Return the URL of a virtual host at each address.

    The transport is py-amqp by name: a bare amqp:// becomes librabbitmq as soon as that is importable, and a worker
    cannot consume through it.
    """
    login, path = f"{_quoted(user)}:{_quoted(password)}", _quoted(vhost)
    return [f"pyamqp://{login}@{address}:{port}/{path}" for address in addresses]


def redis_url(
    address: str | None, port: int | str, user: str, password: str, database: int, authority: str = ""
) -> str:
    """Return the URL of one of a Redis instance's numbered databases; an empty text without an address.

    :param authority: file with the certificate of the authority that the client trusts, or an empty text without TLS.
        The client then refuses a certificate of another authority, and one for another address. Celery and redis-py
        understand these options alike, and celery_once passes them on.
    """
    if not address:
        return ""
    place = f"{_quoted(user)}:{_quoted(password)}@{address}:{port}/{database}"
    if not authority:
        return f"redis://{place}"
    return f"rediss://{place}?ssl_cert_reqs=required&ssl_ca_certs={quote(authority)}&ssl_check_hostname=true"


def celery_once_url(url: str) -> str:
    """Return the URL of a Redis database with its user and password also where celery_once finds them.

    Of a URL's first part celery_once does not read the user, and takes the password as it is written, `%40` and all.
    Options of the URL overrule that. redis-py, which reads and decodes the first part, prefers it to the options.
    """
    parts = urlsplit(url)
    password = parts.password or ""
    options = {"username": parts.username or "", "password": password if "%" in password else ""}
    more = "&".join(f"{name}={_quoted(unquote(text))}" for name, text in options.items() if text)
    if not more:
        return url
    return f"{url}{'&' if parts.query else '?'}{more}"


def _quoted(text: object) -> str:
    return quote(str(text), safe="")


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {"broker_urls": broker_urls, "redis_url": redis_url, "celery_once_url": celery_once_url}
