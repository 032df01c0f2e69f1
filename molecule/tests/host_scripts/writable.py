"""Print the folders of this host that each of some users may write, as JSON: {user: [path]}. For test_privileges.py.

Usage: python3 - USER [USER ...]      (as root; a user that the host has not is left out)

In a folder with the sticky bit, such as /tmp, the kernel follows no link for somebody else, so those are left out.
"""

import json
import pwd
import subprocess
import sys

FIND = ["find", "/", "/run", "-xdev", "-type", "d", "-writable", "-not", "-perm", "-1000", "-print0"]


def main():
    known = {entry.pw_name for entry in pwd.getpwall()}
    found = {}
    for user in (user for user in sys.argv[1:] if user in known):
        group = pwd.getpwnam(user).pw_gid
        as_user = ["setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups", "--"]
        said = subprocess.run([*as_user, *FIND], capture_output=True, check=False).stdout
        found[user] = [path.decode() for path in said.split(b"\0") if path]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
