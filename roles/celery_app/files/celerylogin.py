"""Has a program that sends tasks, or only watches, log in as a user of its own. The program's settings call it.

`celeryconfig` of a host with workers has the user that may read all queues, and declares queues. The scheduler, Flower
and the site need neither, wherever they run.
"""


def log_in(settings, urls):
    """Change the settings of a program, which has copied those of `celeryconfig`.

    :param settings: the program's settings by their names; they change in place.
    :param urls: the broker's URLs for the program's user.
    """
    settings["broker_url"] = urls
    # With the publisher in C, these two differ.
    if "broker_read_url" in settings:
        settings["broker_read_url"] = urls
    if "broker_write_url" in settings:
        settings["broker_write_url"] = [url.replace("pyamqp:", "librabbitmq:", 1) for url in urls]
    # Brokers and workers declare them.
    for queue in settings["task_queues"]:
        queue.no_declare = True
