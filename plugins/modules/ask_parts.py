"""Ansible's module ask_parts."""

import base64
import json
import os
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: ask_parts
short_description: Ask all parts of a host at the same time, in one execution
description:
  - Each part is a role, whose C(vars/status.yml) says what is asked; the variable there is
    C(__ROLE_question). The action plugin of this name reads it, and gives it to the module.
  - A question is a command (C(argv), and C(script), the name of a file in the role's folder C(files) that it reads), or
    a page (C(url), perhaps with C(user), C(password) and C(authority), a file of the host), or C(haproxy_stats) with
    C(address), C(user), C(password) and C(authorities), which the control node reads itself.
  - Changes nothing. A part that gives no answer within C(seconds), 15 where the question has none, delays no other.
options:
  parts:
    description: The roles. The action plugin takes them.
    type: list
    elements: str
  questions:
    description: What the action plugin gives to the module, JSON as Base64, so that no password is in a log.
    type: str
    required: true
author: [Warren]
"""

EXAMPLES = """
- ask_parts:
    parts: [rabbitmq, haproxy]
  register: said
"""

RETURN = """
answers:
  description:
    - For each part a dictionary. Of a command C(rc), C(stdout) and C(stderr), of a page C(status) and C(json), of
      HAProxy C(servers); where there is no answer, C(msg) says why, and C(unreachable) that it is the host that gives
      none.
  type: dict
  returned: always
asked:
  description: When the host was asked, seconds since the epoch, by the clock of the control node.
  type: float
  returned: always
answered:
  description: When it had answered.
  type: float
  returned: always
"""

SECONDS = 15
# What a command is killed with has no exit code of its own: that of timeout(1).
LATE = 124


def ask(question):
    """Return what one part answers."""
    seconds = question.get("seconds", SECONDS)
    try:
        return read(question, seconds) if "url" in question else run(question, seconds)
    except OSError as error:
        return {"msg": str(error)}


def run(question, seconds):
    """Return what a command prints; whatever it has started ends with it when it is late."""
    with subprocess.Popen(
        question["argv"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            out, error = process.communicate(question.get("stdin", ""), timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return {"rc": LATE, "stdout": "", "stderr": "", "msg": f"no answer within {seconds} s"}
    return {"rc": process.returncode, "stdout": out, "stderr": error}


def read(question, seconds):
    """Return the state of a page and what JSON it holds."""
    request = urllib.request.Request(question["url"])
    if question.get("password"):
        login = base64.b64encode(f"{question['user']}:{question['password']}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
    # The parts of the host itself: no proxy is asked.
    handlers = [urllib.request.ProxyHandler({})]
    if question.get("authority"):
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=question["authority"])))
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(request, timeout=seconds) as page:
            status, text = page.status, page.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return {"status": error.code, "msg": f"HTTP Error {error.code}: {error.reason}"}
    try:
        return {"status": status, "json": json.loads(text)}
    except ValueError:
        return {"status": status}


def main():
    """Ask all parts, and return what they say."""
    module = AnsibleModule(
        argument_spec={"questions": {"type": "str", "required": True, "no_log": True}}, supports_check_mode=True
    )
    questions = json.loads(base64.b64decode(module.params["questions"]))
    with ThreadPoolExecutor(max(len(questions), 1)) as pool:
        answers = dict(zip(questions, pool.map(ask, questions.values()), strict=True))
    module.exit_json(answers=answers)


if __name__ == "__main__":
    main()
