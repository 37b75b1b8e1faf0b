"""Which of several names stand for one patient."""

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

from scipy.cluster.hierarchy import DisjointSet

Name = TypeVar("Name", bound=Hashable)


def first_names(marks: Mapping[Name, Iterable[Hashable]]) -> dict[Name, Name]:
    """One name for all that share a mark, directly or through others.

    Args:
        marks: name → what it is known by, like hashes of its scans.

    Returns:
        Name → the first of those that stand for the same; itself where there is no other.
    """
    joined = DisjointSet(marks)
    owners: dict[Hashable, Name] = {}
    for name, known_by in marks.items():
        for mark in known_by:
            joined.merge(owners.setdefault(mark, name), name)
    order = {name: number for number, name in enumerate(marks)}
    return {
        name: first for group in joined.subsets() for first in [min(group, key=order.__getitem__)] for name in group
    }
