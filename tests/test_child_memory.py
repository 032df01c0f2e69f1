"""A limit of memory below what a pool process needs is refused, with the input to raise."""

import pytest
from child_memory import limits_below

PLAIN, OWN = {"name": "default"}, {"name": "bulk", "max_memory_per_child_kib": 200_000}


@pytest.mark.parametrize(
    ("programs", "limit", "child", "words"),
    [
        # 287 MiB at rest, and the default limit.
        (
            [PLAIN],
            262144,
            293888,
            ["allows 262144 KiB, for default: set `celery_app_max_memory_per_child_kib` to 323584"],
        ),
        ([PLAIN, {"name": "other", "pool": "prefork"}], 262144, 293888, ["for default, other: "]),
        # Below, but by less than any task takes.
        ([PLAIN], 262144, 260000, ["to 286720 or more"]),
        ([PLAIN], 262144, 80000, []),
        ([PLAIN], 0, 293888, []),
        ([PLAIN], 262144, None, []),
        ([], 262144, 293888, []),
        ([{"name": "web", "pool": "gevent"}], 262144, 293888, []),
        ([OWN], 0, 293888, ["program bulk allows 200000 KiB: set its `max_memory_per_child_kib` to 323584"]),
        ([OWN | {"max_memory_per_child_kib": 0}], 262144, 293888, []),
        ([PLAIN, OWN], 262144, 293888, ["program bulk allows", "The project allows 262144 KiB, for default:"]),
    ],
)
def test_a_limit_that_a_process_exceeds_at_rest_is_named(programs, limit, child, words):
    said = limits_below(programs, limit, child)
    assert len(said) == len(words)
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))
