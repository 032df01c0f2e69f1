"""Ansible's module config_files."""

import base64
import os
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: config_files
short_description: Write all files of a part in one execution
description:
  - Writes files and makes the folders around them, in the order in which they are given. Ansible's own modules need two
    executions for each file, and an execution costs more than all that it does.
  - All files are checked before any of them is written, so a validator cannot be one of them. Each is replaced as a
    whole. A run that is killed leaves each one old or new.
  - Only for folders that only root may write.
  - What is in the files appears in no log and in no output, except as a difference. A task whose files hold secrets
    needs C(diff=false).
options:
  folders:
    description: Absolute paths of folders, which are made root's, with mode 0755.
    type: list
    elements: path
    default: []
  files:
    description: The files.
    type: list
    elements: dict
    required: true
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
      backup:
        description: Whether the old file is kept beside the new one.
        type: bool
        default: false
  absent:
    description: Absolute paths of files that are removed.
    type: list
    elements: path
    default: []
author: [Warren]
"""

EXAMPLES = """
- config_files:
    folders: [/etc/shop]
    files:
      - {path: /etc/shop/shop.conf, template: shop.conf.j2, validate: shop check %s}
      - {path: /usr/local/sbin/shop-clean, src: shop-clean, mode: "0755"}
"""

RETURN = """
changed_files:
  description: The paths that were made, changed or removed; folders, too.
  type: list
  returned: success
refused:
  description: The path of the file that its validator refuses; C(said) is what that prints.
  type: str
  returned: when one is refused
"""


def fail_for_folder(module, path):
    """Fail with what to type where a folder is in the place of a file."""
    if path.is_dir() and not path.is_symlink():
        module.fail_json(msg=f"{path} is a folder. Type `mv {path} {path}.old` on this host, and run this again.")


def checked(module, file):
    """Return what is in a file, and the path of a checked new one; None for what is not there or need not be.

    :param file: as the option says.
    """
    path, wanted = Path(file["path"]), base64.b64decode(file["content"])
    fail_for_folder(module, path)
    # A link is replaced, and not followed.
    before = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    if before == wanted:
        return before, None
    handle, new = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "wb") as opened:
        opened.write(wanted)
    if file["validate"] and not module.check_mode:
        code, out, err = module.run_command(file["validate"].replace("%s", new))
        if code:
            said = f"{err}{out}".strip()
            sentence = f"{path} stays as it was: `{file['validate']}` fails for the new one. {said}"
            module.fail_json(msg=sentence, refused=str(path), said=said)
    return before, new


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


def make_folder(module, path):
    """Make a folder root's, and let others read it; return whether something changed."""
    missing = not Path(path).is_dir()
    if missing and module.check_mode:
        return True
    Path(path).mkdir(parents=True, exist_ok=True)
    return set_owner_and_mode(module, {"path": path, "owner": "root", "group": "root", "mode": "0755"}, missing)


def remove(module, path):
    """Remove a file; return whether it was there."""
    there = os.path.lexists(path)
    if there and not module.check_mode:
        Path(path).unlink()
    return there


def main():
    """Write the files."""
    options = {
        "path": {"type": "path", "required": True},
        "content": {"type": "str", "required": True, "no_log": True},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str", "default": "0644"},
        "validate": {"type": "str"},
        "backup": {"type": "bool", "default": False},
    }
    paths = {"type": "list", "elements": "path", "default": []}
    module = AnsibleModule(
        argument_spec={
            "folders": paths,
            "files": {"type": "list", "elements": "dict", "required": True, "options": options},
            "absent": paths,
        },
        supports_check_mode=True,
    )
    changed, diffs = [], []
    # All first: a task that fails after it has changed something would notify no handler.
    found = [(file, *checked(module, file)) for file in module.params["files"]]
    for path in module.params["absent"]:
        fail_for_folder(module, Path(path))
    for path in module.params["folders"]:
        if make_folder(module, path):
            changed.append(path)
    for file, before, new in found:
        if write(module, file, before, new):
            path = file["path"]
            changed.append(path)
            texts = ((before or b"").decode(errors="replace"), base64.b64decode(file["content"]).decode())
            diffs.append({"before_header": path, "after_header": path, "before": texts[0], "after": texts[1]})
    changed += [path for path in module.params["absent"] if remove(module, path)]
    shown = {"diff": diffs} if module._diff else {}
    module.exit_json(changed=bool(changed), changed_files=changed, **shown)


if __name__ == "__main__":
    main()
