"""HAProxy's stats page, read by the control node with haproxy-stats of PyPI."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from haproxystats import HAProxyServer
from requests import Response, codes

SECONDS = 3


class Page(HAProxyServer):
    """The stats page, with the reason why it cannot be read: the library only logs it."""

    reason = ""
    password_refused = False

    def _fetch(self) -> str:
        self._session.hooks["response"].append(self._note_status)
        return super()._fetch()

    def _note_status(self, response: Response, **_: object) -> None:
        self.password_refused = response.status_code == codes.unauthorized

    def _fail(self, reason: object) -> None:
        self.failed, self.reason = True, str(reason)


def read_page(address: str, user: str, password: str, authorities: Sequence[str] = ()) -> dict[str, Any]:
    """Return `servers`, a dict for each server of a backend, or `msg`, why the page cannot be read.

    A server has `backend`, `name`, `status`, `check` (what the last check said), `sessions`, `sessions_total`,
    `bytes_in`, `bytes_out`, and `since_seconds` of this status.

    :param address: host and port of the page.
    :param authorities: files with certificates, one of which is that of the page's authority; none for HTTP.
    """
    try:
        page = _page(address, user, password, authorities)
    except OSError as error:
        return {"msg": f"The stats page at {address} cannot be read: {error}"}
    if page.password_refused:
        return {"msg": f"The stats page at {address} does not take the password."}
    if page.failed:
        return {"msg": f"The stats page at {address} cannot be read: {page.reason}"}
    return {
        "servers": [
            {
                "backend": backend.name,
                "name": server.name,
                "status": server.status,
                "check": server.check_status,
                "sessions": server.scur,
                "sessions_total": server.stot,
                "bytes_in": server.bin,
                "bytes_out": server.bout,
                "since_seconds": server.lastchg,
            }
            for backend in page.backends
            for server in backend.listeners
        ]
    }


def _page(address: str, user: str, password: str, authorities: Sequence[str]) -> Page:
    if not authorities:
        return Page(address, user, password, timeout=SECONDS)
    # The library takes one file.
    with tempfile.NamedTemporaryFile("w", suffix=".crt") as file:
        file.write("\n".join(Path(name).read_text() for name in authorities))
        file.flush()
        return Page(address, user, password, verify_ssl=file.name, timeout=SECONDS, https=True)
