"""Remove the releases and the settings of a project that no program on this host can start with any more.

Usage: python3 - HOME CONFIG_DIR RELEASES_KEPT [ENTRIES]

HOME holds `releases/ID` and the links `current` and `run`; CONFIG_DIR holds `settings/FINGERPRINT`. Settings stay while
an entry of supervisord (*.conf in ENTRIES, by default /etc/supervisor/conf.d) or a link names them; the ten newest stay
in any case. A release stays while settings that stay name it; the RELEASES_KEPT newest stay in any case. An earlier
version of the kit had its settings in CONFIG_DIR itself; its files stay while an entry runs HOME/run. Prints what it
removes.
"""

import shutil
import sys
from pathlib import Path

SETTINGS_KEPT = 10


def newest(folder, count):
    """Return the names of the newest folders in a folder."""
    found = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    return {path.name for path in found[len(found) - min(count, len(found)) :]}


def remove(folder, kept):
    """Remove all folders in a folder except those named in `kept`."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name not in kept:
            print(path)
            shutil.rmtree(path)


def main(home, config_dir, releases_kept, entries="/etc/supervisor/conf.d"):
    """Remove what is no longer needed."""
    home, settings = Path(home), Path(config_dir, "settings")
    releases = home / "releases"
    links = [path for folder in (home, Path(config_dir)) for path in folder.iterdir() if path.is_symlink()]
    named = [path.read_text() for path in Path(entries).glob("*.conf")] + [str(path.readlink()) for path in links]
    kept = {path.name for path in settings.iterdir() if any(path.name in text for text in named)}
    kept |= newest(settings, SETTINGS_KEPT)
    remove(settings, kept)
    old_files = [path for path in Path(config_dir).iterdir() if path.is_file() and not path.is_symlink()]
    for path in old_files if not any(f"command={home}/run " in text for text in named) else []:
        print(path)
        path.unlink()
    runs = [path.read_text() for path in settings.glob("*/run")] + named
    kept = {path.name for path in releases.iterdir() if any(path.name in text for text in runs)}
    remove(releases, kept | newest(releases, int(releases_kept)))


if __name__ == "__main__":
    main(*sys.argv[1:])
