"""An answer becomes what the model's type hints say, or a sentence says what it lacks."""

from dataclasses import dataclass

import pytest
from warren.model import NoAnswerError, typed


@dataclass
class Inner:
    count: int


@dataclass
class Outer:
    name: str
    on: bool
    share: float | None
    more: dict
    listed: list[Inner]
    named: dict[str, Inner | None]
    pair: tuple[float, str]


VALUE = {
    "name": "x",
    "on": False,
    "share": 1,
    "more": {"any": [1]},
    "listed": [{"count": 1, "unknown": 2}],
    "named": {"a": {"count": 2}, "b": None},
    "pair": [0.5, "/"],
}


def test_a_dict_becomes_a_dataclass_without_what_that_does_not_know():
    outer = Outer("x", False, 1, {"any": [1]}, [Inner(1)], {"a": Inner(2), "b": None}, (0.5, "/"))
    assert typed(Outer, VALUE | {"newer": 1}, "`look`") == outer


@pytest.mark.parametrize("field", VALUE)
def test_a_missing_field_is_named(field):
    value = {key: item for key, item in VALUE.items() if key != field}
    with pytest.raises(NoAnswerError, match=rf"^the answer lacks {field}; there, type `look`\Z"):
        typed(Outer, value, "`look`")


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"name": None}, "name"),
        ({"on": 1}, "on"),
        ({"share": "1"}, "share"),
        ({"share": True}, "share"),
        ({"more": []}, "more"),
        ({"listed": {}}, "listed"),
        ({"listed": [{"count": True}]}, "listed.count"),
        ({"listed": [{"count": 1.5}]}, "listed.count"),
        ({"named": {"`a`": 1}}, "named.'a'"),
        ({"pair": [0.5]}, "pair"),
        ({"pair": [0.5, 1]}, "pair"),
    ],
)
def test_a_field_of_another_type_is_named(wrong, name):
    with pytest.raises(NoAnswerError) as error:
        typed(Outer, VALUE | wrong, "`look`")
    assert str(error.value) == f"the answer lacks {name}; there, type `look`"


@pytest.mark.parametrize("value", [None, [], "text"])
def test_what_is_no_dict_lacks_everything(value):
    with pytest.raises(NoAnswerError, match=r"^the answer lacks everything; there"):
        typed(Outer, value, "`look`")
