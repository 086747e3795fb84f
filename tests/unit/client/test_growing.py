"""A dict that may grow while somebody goes through it."""

from __future__ import annotations

import pytest

from dispycos.client.growing import Growing


@pytest.mark.row("DC-65")
def test_what_is_gone_through_is_what_was_there() -> None:
    found: Growing[int, str] = Growing({1: "one", 2: "two"})
    seen = []
    for number, word in found.items():
        found[number + 10] = word
        seen.append(number)
    assert seen == [1, 2]
    for number in found:
        found[number + 100] = ""
    for _ in (*found.keys(), *found.values()):
        found[len(found) + 1000] = ""
    plain = dict(found)
    with pytest.raises(RuntimeError, match="changed size"):
        for number in plain:
            plain[number + 10_000] = ""


@pytest.mark.row("DC-65")
def test_it_is_a_dict_in_all_else() -> None:
    found: Growing[int, str] = Growing()
    found[1] = "one"
    assert found == {1: "one"} and isinstance(found, dict)
    assert (sorted(found), list(found.items()), 1 in found, found.get(2)) == ([1], [(1, "one")], True, None)
    assert found.keys() & {1, 2} == {1}
    assert dict(found) == {1: "one"} and repr(found) == "{1: 'one'}"
