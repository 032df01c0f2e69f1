"""Ansible's callback plugin `profile`."""

import json
import os
import resource
import time
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: profile
type: aggregate
short_description: Record where the time of a playbook goes
description:
  - Writes JSON to the file that the environment variable C(WARREN_PROFILE) names. It has a line for each task, with
    its play and role, its wall time and the control node's CPU time in seconds, and each host's module executions.
  - Times of tasks are right for the strategy C(linear), where one task ends before the next begins.
requirements: [enabled by C(ANSIBLE_CALLBACKS_ENABLED)]
"""


def cpu_seconds() -> float:
    """Return the CPU time of this process and of those that it has waited for, in seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def count_executions(file: Path) -> None:
    """Have each execution of a module append a line to a file: the task's number, and the host.

    Ansible has no hook for it, and the workers that execute are processes of their own.
    """
    execute = ActionBase._execute_module

    def counted(self, *arguments, **named):
        host = (named.get("task_vars") or self._templar.available_variables).get("inventory_hostname")
        with file.open("a") as opened:
            opened.write(f"{self._task._uuid} {host}\n")
        return execute(self, *arguments, **named)

    ActionBase._execute_module = counted


class CallbackModule(CallbackBase):
    """The callback plugin."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "profile"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        """Begin to count."""
        super().__init__()
        self.file = Path(os.environ["WARREN_PROFILE"])
        self.executions = self.file.with_suffix(".executions")
        self.executions.write_text("")
        count_executions(self.executions)
        self.tasks, self.play = [], None
        self.began = time.monotonic()

    def v2_playbook_on_play_start(self, play):
        """Note the play's name."""
        self.play = play.get_name()

    def v2_playbook_on_task_start(self, task, is_conditional):
        """End the task before, and begin this one."""
        self._end()
        role = task._role.get_name() if task._role else None
        found = {"play": self.play, "role": role, "task": task.get_name().rpartition(" : ")[2], "uuid": task._uuid}
        self.tasks.append(found | {"wall_seconds": time.monotonic(), "control_cpu_seconds": cpu_seconds()})

    def v2_playbook_on_handler_task_start(self, task):
        """As for any other task."""
        self.v2_playbook_on_task_start(task, False)

    def v2_playbook_on_stats(self, stats):
        """Write the file."""
        self._end()
        counts = {}
        for line in self.executions.read_text().splitlines():
            uuid, host = line.split(" ", 1)
            hosts = counts.setdefault(uuid, {})
            hosts[host] = hosts.get(host, 0) + 1
        self.executions.unlink()
        tasks = [
            {key: value for key, value in task.items() if key != "uuid"} | {"executions": counts.get(task["uuid"], {})}
            for task in self.tasks
        ]
        found = {"wall_seconds": time.monotonic() - self.began, "control_cpu_seconds": cpu_seconds(), "tasks": tasks}
        self.file.write_text(json.dumps(found, indent=1))

    def _end(self):
        if self.tasks:
            task = self.tasks[-1]
            task["wall_seconds"] = time.monotonic() - task["wall_seconds"]
            task["control_cpu_seconds"] = cpu_seconds() - task["control_cpu_seconds"]
