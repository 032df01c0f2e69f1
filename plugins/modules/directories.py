"""Ansible's module directories."""

import grp
import os
import pwd
import shutil
import stat
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: directories
short_description: Make folders in which no user can lay a trap for root
description:
  - Makes folders, and sets their owner, group and mode, each before the next one.
  - M(ansible.builtin.file) looks at a path and then acts on it. Whoever may write the folder around it puts a link
    there in between, and root gives the link's target away. This module goes down the path folder by folder, follows
    no link that somebody else than root can have made, and acts on the folder that it has opened.
  - A path that is a link, or that lies in a folder which somebody else than root may write, is refused. A folder that
    belongs to somebody else is put right; what is in it is left alone.
options:
  folders:
    description: Folders in the order in which they are made, a parent before what is in it.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      owner:
        description: Name of the user who owns it.
        type: str
        default: root
      group:
        description: Name of the group that owns it.
        type: str
        default: root
      mode:
        description: Mode as an octal text, such as C("0755").
        type: str
        default: "0755"
      only_files:
        description:
          - Remove what is no regular file, or has a second name elsewhere. For a folder in which root opens files and
            that somebody else could write until now.
        type: bool
        default: false
author: [Warren]
"""

EXAMPLES = """
- directories:
    folders:
      - {path: /var/lib/shop}
      - {path: /var/lib/shop/tmp, owner: shop, group: shop, mode: "0700"}
"""

RETURN = """
changed_folders:
  description: The paths that were made, or whose owner, group or mode was changed.
  type: list
  returned: success
"""

READ_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class RefusedError(Exception):
    """A folder that cannot be made safely; the text says why and what to type."""


def check_trusted(found, path, promised):
    """Raise RefusedError where a user other than root may write a folder.

    :param found: what os.fstat says of it.
    :param path: its path.
    :param promised: paths that this run puts right before, which a run in check mode finds as they are.
    """
    others = found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != 0)
    if path in promised or (found.st_uid == 0 and not others):
        return
    raise RefusedError(
        f"{path} can be written by others than root, who could lead root elsewhere with a link in it. "
        f"Type `chown root: {path} && chmod go-w {path}` on this host, and run this again."
    )


@contextmanager
def opened(path, promised):
    """Open a folder of which only root can have made the way; yields its descriptor.

    :raises RefusedError: where somebody else could have.
    :raises FileNotFoundError: where it is not there.
    """
    # The path as it is written, where a link may be root's; then where it leads to.
    for outer in [*reversed(path.parents), path]:
        check_trusted(outer.stat(), outer, promised)
    folder, walked = os.open("/", READ_FOLDER), Path("/")
    try:
        for name in path.resolve().parts[1:]:
            check_trusted(os.fstat(folder), walked, promised)
            # A link that has come since resolve() is refused here.
            inner = os.open(name, READ_FOLDER, dir_fd=folder)
            os.close(folder)
            folder, walked = inner, walked / name
        check_trusted(os.fstat(folder), walked, promised)
        yield folder
    finally:
        os.close(folder)


def open_or_make(parent, path, check_mode):
    """Return the descriptor of a folder, and whether it was there; None where it is missing in check mode.

    :param parent: descriptor of the folder around it.
    :raises RefusedError: where there is something else than a folder.
    """
    name = path.name
    try:
        found = os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        if check_mode:
            return None, False
        os.mkdir(name, 0o700, dir_fd=parent)
        return os.open(name, READ_FOLDER, dir_fd=parent), False
    if stat.S_ISLNK(found.st_mode):
        target = os.readlink(name, dir_fd=parent)
        raise RefusedError(
            f"{path} is a link to {target}, where root would go on working. If it is yours, mount that folder at "
            f"{path} in its place; type `rm {path}` on this host, and run this again."
        )
    if not stat.S_ISDIR(found.st_mode):
        raise RefusedError(f"{path} is no folder. Type `mv {path} {path}.old` on this host, and run this again.")
    return os.open(name, READ_FOLDER, dir_fd=parent), True


def ensure(path, owner, group, mode, check_mode=False, promised=()):
    """Make one folder, and set its owner, group and mode.

    :param owner: the user's number; `group` likewise; `mode` is a number, too.
    :return: True where something was changed, or would be in check mode.
    :raises RefusedError: where that cannot be done safely; nothing is changed then.
    """
    try:
        with opened(path.parent, promised) as parent:
            folder, existed = open_or_make(parent, path, check_mode)
    except FileNotFoundError:
        # In check mode the parent is not made.
        if check_mode:
            return True
        raise
    if folder is None:
        return True
    try:
        found = os.fstat(folder)
        as_wanted = (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (owner, group, mode)
        if not as_wanted and not check_mode:
            os.fchown(folder, owner, group)
            os.fchmod(folder, mode)
        return not existed or not as_wanted
    finally:
        os.close(folder)


def clean(path, check_mode=False):
    """Remove what is no regular file from a folder that ensure() has made root's; True where there was something."""
    if not path.is_dir():
        return False
    foreign = [entry for entry in path.iterdir() if not _plain(entry.lstat())]
    for entry in [] if check_mode else foreign:
        if stat.S_ISDIR(entry.lstat().st_mode):
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return bool(foreign)


def _plain(found):
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def number(name, database, check_mode):
    """Return the number of a user or group; -1 for one that a run in check mode has not made.

    :param database: function that looks a name up, such as pwd.getpwnam.
    :raises RefusedError: where there is none.
    """
    try:
        return database(name)[2]
    except KeyError:
        if check_mode:
            return -1
        raise RefusedError(f"There is no user or group {name} on this host.") from None


def main():
    """Make the folders."""
    suboptions = {
        "path": {"type": "path", "required": True},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str", "default": "0755"},
        "only_files": {"type": "bool", "default": False},
    }
    module = AnsibleModule(
        argument_spec={"folders": {"type": "list", "elements": "dict", "required": True, "options": suboptions}},
        supports_check_mode=True,
    )
    changed, promised = [], set()
    try:
        for folder in module.params["folders"]:
            path = Path(folder["path"])
            owner = number(folder["owner"], pwd.getpwnam, module.check_mode)
            group = number(folder["group"], grp.getgrnam, module.check_mode)
            made = ensure(path, owner, group, int(folder["mode"], 8), module.check_mode, promised)
            cleaned = folder["only_files"] and clean(path, module.check_mode)
            if made or cleaned:
                changed.append(str(path))
            if module.check_mode and owner == 0:
                promised.add(path)
    except RefusedError as error:
        module.fail_json(msg=str(error), changed_folders=changed)
    module.exit_json(
        changed=bool(changed),
        changed_folders=changed,
        diff={"before": "", "after": "".join(f"{path} as wanted\n" for path in changed)},
    )


if __name__ == "__main__":
    main()
