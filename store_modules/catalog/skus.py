"""How SKUs are compared: trimmed and without case."""

from collections.abc import Iterable


def repeated_skus(skus: Iterable[str]) -> list[str]:
    """SKUs that occur again, in order of first repetition, each spelt as first written."""
    first: dict[str, str] = {}
    repeated: dict[str, str] = {}
    for sku in skus:
        folded = sku.strip().casefold()
        if folded and folded in first:
            repeated.setdefault(folded, first[folded])
        first.setdefault(folded, sku.strip())
    return list(repeated.values())
