"""Ansible's module config_files."""

import base64
import grp
import os
import pwd
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: config_files
short_description: Write all folders, files and links of a part in one execution
description:
  - Makes folders, writes files, makes links, and removes files, in this order. Ansible's own modules need one or two
    executions for each, and an execution costs more than all that it does.
  - All files are checked before anything is changed, so a validator cannot be one of them. Each is replaced as a
    whole. A run that is killed leaves each one old or new.
  - Folders are made such that no user can lay a trap for root. M(ansible.builtin.file) looks at a path and then acts
    on it. Whoever may write the folder around it puts a link there in between, and root gives the link's target away.
    This module goes down the path folder by folder, follows no link that somebody else than root can have made, and
    acts on the folder that it has opened. A path that is a link, or that lies in a folder which somebody else than
    root may write, is refused. A folder that belongs to somebody else is put right; what is in it is left alone.
  - Files and links are only for folders that only root may write.
  - What is in the files appears in no log and in no output, except as a difference.
options:
  folders:
    description: Folders, a parent before what is in it.
    type: list
    elements: dict
    default: []
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
  files:
    description: The files.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description:
          - What is in it, a text. The action plugin gives it to the module as Base64.
          - A task may give C(template) or C(src) in its place, the name of a file in the role's folder of templates or
            files, which the action plugin of this name reads. C(vars) are variables for that template alone.
        type: str
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
        description: Mode as an octal text, such as C("0644").
        type: str
        default: "0644"
      validate:
        description: Command that fails for a wrong file; C(%s) is its path.
        type: str
      block:
        description:
          - Name of a block, for a file that is not the kit's alone. The content is what is between the lines C(# BEGIN)
            and C(# END) with this name, and all other lines stay as they are. A new block comes first, where it counts
            more than the lines after it.
        type: str
        default: ""
      formerly:
        description:
          - The first lines of a file that an earlier version has written as a whole, for C(block). Of such a file these
            stay, except the first, and the rest goes.
        type: str
        default: ""
      backup:
        description: Whether the old file is kept beside the new one.
        type: bool
        default: false
      diff:
        description: Whether C(--diff) may show what is in it; C(false) for a file with a secret.
        type: bool
        default: true
  links:
    description: Symbolic links, each replaced as a whole.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      target:
        description: Where it leads to, from the folder that it is in. It must be there.
        type: str
        required: true
  absent:
    description: Absolute paths of files that are removed.
    type: list
    elements: path
    default: []
author: [Warren]
"""

EXAMPLES = """
- config_files:
    folders:
      - {path: /etc/shop, group: shop, mode: "0750"}
    files:
      - {path: /etc/shop/shop.conf, template: shop.conf.j2, validate: shop check %s}
      - {path: /usr/local/sbin/shop-clean, src: shop-clean, mode: "0755"}
      - {path: /etc/services, content: "shop 5001/tcp\n", block: Shop}
    links:
      - {path: /etc/shop/current, target: shop.conf}
"""

RETURN = """
changed_files:
  description: The paths that were made, changed or removed; folders and links, too.
  type: list
  returned: success
refused:
  description: The path of the file that its validator refuses; C(said) is what that prints.
  type: str
  returned: when one is refused
"""

# Where new files wait: root's alone, and there on a fresh host, where Ansible makes its own folder with a warning.
WAITING = "/run"
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


def make_folders(module):
    """Make the folders; returns the paths of those that changed. Ends the module for one that is refused."""
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
        module.fail_json(msg=str(error), changed_files=changed)
    return changed


def fail_for_folder(module, path):
    """Fail with what to type where a folder is in the place of a file."""
    if path.is_dir() and not path.is_symlink():
        module.fail_json(msg=f"{path} is a folder. Type `mv {path} {path}.old` on this host, and run this again.")


def checked(module, file):
    """Return what is in a file, and the path of a checked new one; None for what is not there or need not be.

    :param file: as the option says.
    """
    path = Path(file["path"])
    fail_for_folder(module, path)
    if file["block"]:
        file["content"] = base64.b64encode(with_block(module, file, path)).decode()
    wanted = base64.b64decode(file["content"])
    # A link is replaced, and not followed.
    before = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    if before == wanted:
        return before, None
    handle, new = tempfile.mkstemp(dir=WAITING)
    module.add_cleanup_file(new)
    with os.fdopen(handle, "wb") as opened:
        opened.write(wanted)
    if file["validate"] and not module.check_mode:
        code, out, err = module.run_command(file["validate"].replace("%s", new))
        if code:
            said = f"{err}{out}".strip()
            sentence = f"{path} stays as it was: `{file['validate']}` fails for the new one. {said}"
            module.fail_json(msg=sentence, refused=str(path), said=said)
    return before, new


def with_block(module, file, path):
    """Return what shall be in a file that has a block of the kit's, and lines of others, which it keeps.

    A link to a file, which is replaced like any other, counts as what it leads to.
    """
    begin, end = (f"# {word} {file['block']}\n".encode() for word in ("BEGIN", "END"))
    text = path.read_bytes() if path.is_file() else b""
    if text and not text.endswith(b"\n"):
        text += b"\n"
    formerly = file["formerly"].encode()
    if formerly and text.startswith(formerly):
        text = formerly.partition(b"\n")[2]
    block = begin + base64.b64decode(file["content"]) + end
    lines = text.splitlines(keepends=True)
    places = [place for place, line in enumerate(lines) if line in (begin, end)]
    if not places:
        return block + text
    if [lines[place] for place in places] != [begin, end]:
        module.fail_json(
            msg=f"{path} has not one line `{begin.decode().strip()}` and, after it, one `{end.decode().strip()}`. "
            f"Delete such lines in it on this host, and what the kit has written between them, and run this again."
        )
    first, last = places
    return b"".join(lines[:first]) + block + b"".join(lines[last + 1 :])


def write(module, file, before, new):
    """Write one file.

    :param before: as checked() returns it, and `new`.
    :return: True where something changed.
    """
    if new and not module.check_mode:
        replace(module, file, new)
    there = before is not None or not module.check_mode
    return set_owner_and_mode(module, file, bool(new)) if there else True


def set_owner_and_mode(module, wanted, changed):
    """Give a path its owner, group and mode; return True where that, or something before it, has changed it."""
    return module.set_fs_attributes_if_different(module.load_file_common_arguments(module.params | wanted), changed)


def replace(module, file, new):
    """Put a new file in the place of the old one; a file that was not there is root's alone until it has its mode."""
    path = Path(file["path"])
    if path.is_symlink():
        path.unlink()
    elif file["backup"] and path.exists():
        module.backup_local(str(path))
    mask = os.umask(0o077)
    module.atomic_move(new, str(path))
    os.umask(mask)


def fail_for_dead_link(module, wanted):
    """Fail for a link to what is not there and is not made by this task either."""
    made = [item["path"] for item in module.params["folders"] + module.params["files"]]
    target = os.path.normpath(Path(wanted["path"]).parent / wanted["target"])
    if not module.check_mode and not Path(target).exists() and target not in made:
        module.fail_json(msg=f"{wanted['path']} cannot lead to {wanted['target']}, because that does not exist.")


def link(module, wanted):
    """Make a symbolic link, or have it lead elsewhere; return whether something changed."""
    path, target = Path(wanted["path"]), wanted["target"]
    if path.is_symlink() and str(path.readlink()) == target:
        return False
    if not module.check_mode:
        # Beside it, and with a name that nobody else has.
        new = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)) / path.name
        new.symlink_to(target)
        new.replace(path)
        new.parent.rmdir()
    return True


def remove(module, path):
    """Remove a file; return whether it was there."""
    there = os.path.lexists(path)
    if there and not module.check_mode:
        Path(path).unlink()
    return there


def difference(file, before):
    """Return how a changed file differs, as Ansible shows it; nothing for one that is not shown.

    :param before: what was in it, None for nothing.
    """
    if not file["diff"]:
        return []
    texts = {"before": (before or b"").decode(errors="replace"), "after": base64.b64decode(file["content"]).decode()}
    return [{"before_header": file["path"], "after_header": file["path"]} | texts]


def main():
    """Write the folders, files and links."""
    owned = {"owner": {"type": "str", "default": "root"}, "group": {"type": "str", "default": "root"}}
    path = {"path": {"type": "path", "required": True}}
    folder = (
        path
        | owned
        | {
            "mode": {"type": "str", "default": "0755"},
            "only_files": {"type": "bool", "default": False},
        }
    )
    file = (
        path
        | owned
        | {
            "content": {"type": "str", "required": True, "no_log": True},
            "mode": {"type": "str", "default": "0644"},
            "validate": {"type": "str"},
            "block": {"type": "str", "default": ""},
            "formerly": {"type": "str", "default": ""},
            "backup": {"type": "bool", "default": False},
            "diff": {"type": "bool", "default": True},
        }
    )
    some = {"type": "list", "elements": "dict", "default": []}
    module = AnsibleModule(
        argument_spec={
            "folders": some | {"options": folder},
            "files": some | {"options": file},
            "links": some | {"options": path | {"target": {"type": "str", "required": True}}},
            "absent": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    diffs = []
    # All first: a task that fails after it has changed something would notify no handler.
    found = [(file, *checked(module, file)) for file in module.params["files"]]
    for path in [wanted["path"] for wanted in module.params["links"]] + module.params["absent"]:
        fail_for_folder(module, Path(path))
    for wanted in module.params["links"]:
        fail_for_dead_link(module, wanted)
    changed = make_folders(module)
    for file, before, new in found:
        if write(module, file, before, new):
            changed.append(file["path"])
            diffs += difference(file, before)
    changed += [wanted["path"] for wanted in module.params["links"] if link(module, wanted)]
    changed += [path for path in module.params["absent"] if remove(module, path)]
    shown = {"diff": diffs} if module._diff else {}
    module.exit_json(changed=bool(changed), changed_files=changed, **shown)


if __name__ == "__main__":
    main()
