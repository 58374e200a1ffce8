"""What is left over beside a network's tensors, and how names are cut."""

from __future__ import annotations

import torch

from sslseg.models.importers import matching

ONE = torch.zeros(1)


def test_something_inside_the_last_block_is_a_part_and_what_comes_behind_it_is_not():
    names = ["net.0.weight", "net.3.weight"]
    left = ["net.3.extra", "net.4.weight", "net.2.weight", "other.3.weight"]
    assert matching._parts(left, names, ()) == {"net.3.extra", "net.2.weight"}


def test_of_a_tail_that_a_unet_has_not_nothing_may_be_there_in_part():
    names = ["stem_0.weight", "stages_0.weight"]
    left = ["head.norm.weight", "head.fc.weight", "stages_4.weight"]
    assert matching._parts(left, names, ["head.norm.weight"]) == {"head.norm.weight", "stages_4.weight"}


def test_the_longest_prefix_is_taken_off_whatever_the_order():
    tensors = {"a.b.x": ONE, "a.y": ONE, "up.a.b.z": ONE, "aa.b.x": ONE}
    for strip in (("a", "a.b"), ("a.b.", "a.")):
        found = matching._stripped(tensors, strip)
        assert {before: list(table) for before, table in found.items()} == {"": ["x", "y"], "up.": ["z"]}


def test_a_kernel_of_three_dimensions_stays_one():
    flat = torch.zeros(4, 3, 7, 7)
    assert matching._shaped(torch.zeros(4, 3, 1, 7, 7), flat).ndim == 5
    assert matching._shaped(torch.zeros(4, 1, 1), torch.zeros(4)).shape == (4,)
