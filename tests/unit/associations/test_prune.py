"""Pruning: which of two associations with the same members or the same product is kept."""

from __future__ import annotations

from jwstsm.associations import Association, Member, Product
from jwstsm.associations.prune import number, prune


def asn(members: str, *, name: str = "p", acid: str = "o001", kind: str = "image3", rule: str = "r") -> Association:
    """Return an association of science members a, b, ...; a capital letter is a background."""
    parts = [Member(m.lower(), "background" if m.isupper() else "science") for m in members.split()]
    return Association(3, rule, kind, acid, "observation", "01234", "t001", [Product(name, parts)])


def kept(*associations: Association) -> tuple[list[str], list[str]]:
    dropped: list = []
    result = prune(list(associations), dropped)
    return [a.rule for a in result], [reason for _, reason in dropped]


def test_of_equal_members_the_lower_candidate_is_kept():
    rules, reasons = kept(
        asn("a b", acid="a3001", rule="1"), asn("b a", acid="c1000", rule="2"), asn("a b", acid="o001", rule="3")
    )
    assert rules == ["3"]
    assert all("the same members" in reason for reason in reasons)


def test_of_equal_members_in_one_candidate_the_last_made_is_kept():
    assert kept(asn("a", rule="1"), asn("a", rule="2"))[0] == ["2"]


def test_roles_matter_and_so_does_a_file_that_is_there_twice():
    assert len(kept(asn("a b"), asn("a B", name="q"))[0]) == 2
    assert len(kept(asn("a a", name="q"), asn("a a"))[0]) == 2


def test_of_one_product_the_longer_member_list_is_kept():
    rules, reasons = kept(asn("a", rule="1"), asn("a B", acid="c1000", rule="2"))
    assert rules == ["2"]
    assert reasons == ["p is made with more members by c1000"]
    assert kept(asn("a b c", rule="1"), asn("a", rule="2"), asn("a b", rule="3"))[0] == ["1"]


def test_one_product_with_a_file_in_two_roles_or_equal_lengths_is_kept_twice():
    assert len(kept(asn("a B"), asn("a b c"))[0]) == 2
    assert len(kept(asn("a b"), asn("a c"))[0]) == 2


def test_products_of_rates_and_rateints_are_kept_both():
    assert len(kept(asn("x_rate.fits"), asn("x_rateints.fits"))[0]) == 2


def test_numbers_run_per_candidate_and_type_from_the_last_made():
    made = prune([asn("a", name="1"), asn("b", name="2"), asn("c", name="3", kind="spec3")], [])
    number(made)
    assert {a.products[0].name: a.sequence for a in made} == {"1": 2, "2": 1, "3": 1}
