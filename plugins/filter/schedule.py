"""Ansible's filter `schedule_complaints`: what is wrong with a scheduler's entries. Celery itself parses them."""

import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterator

# Where Ansible has been installed by itself.
MISSING = "Celery, which reads the schedule, is missing on this machine: type `pip install -r requirements.txt`."


def _complaints(entries: list[dict], timezone: str, parse: Callable) -> Iterator[str]:
    """Yield a sentence for each mistake, with the entry's name and what to type."""
    try:
        zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        yield f"There is no time zone {timezone}: type UTC, or a name such as Europe/Berlin."
    for name, number in Counter(entry["name"] for entry in entries).items():
        if number > 1:
            yield f"{number} entries are named {name}: give each a name of its own."
    for entry in entries:
        of_entry = f"The entry {entry['name']}"
        if ("every_seconds" in entry) == ("crontab" in entry):
            has = "both every_seconds and crontab" if "crontab" in entry else "neither every_seconds nor crontab"
            yield f"{of_entry} has {has}: give it one of the two."
            continue
        for option in {"every_seconds", "expires_seconds"} & entry.keys():
            if not float(entry[option]) > 0:
                yield f"{of_entry} has {option}: {entry[option]}; type a number above 0."
        if "crontab" in entry:
            fields = str(entry["crontab"]).split()
            try:
                if len(fields) != 5:
                    raise ValueError(f"it has {len(fields)} fields")
                parse(" ".join(fields))
            except Exception as error:  # Celery raises several, of which some have no common base.
                yield (
                    f"{of_entry} has the crontab {entry['crontab']!r}, which Celery cannot read ({error}): "
                    "type minute, hour, day of the month, month and day of the week, as '30 3 * * *'."
                )


def schedule_complaints(entries: list[dict], timezone: str) -> str:
    """Return a sentence for each mistake of a schedule; an empty text is: none.

    :param entries: as the role celery_beat takes them.
    :param timezone: a name such as `Europe/Berlin`.
    """
    try:
        from celery.schedules import crontab
    except ImportError:
        return MISSING
    return " ".join(_complaints(entries, timezone, crontab.from_string))


class FilterModule:
    """The filter, as Ansible asks for it."""

    def filters(self) -> dict[str, Callable]:
        return {"schedule_complaints": schedule_complaints}
