"""Ask a web page whether it is there."""

import http.client
import time
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 10
MAX_ERROR_TEXT = 300


def fetch(url):
    """Return what a GET of `url` found: a dict of `status`, `error` and `seconds`.

    An answer of any status has no error; where there is no answer at all, the status is None.
    """
    began = time.monotonic()
    status, error = None, ""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            status = response.status
    except urllib.error.HTTPError as answer:
        status = answer.code
        answer.close()
    except (OSError, http.client.HTTPException) as problem:
        error = str(problem)[:MAX_ERROR_TEXT] or type(problem).__name__
    return {"status": status, "error": error, "seconds": time.monotonic() - began}
