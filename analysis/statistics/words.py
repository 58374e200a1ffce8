"""Numbers in sentences. Apart from the records, since stages that need no statistics say numbers, too."""


def plural(count: float, word: str) -> str:
    """`1 seed`, `1,498 slices`."""
    number = f"{count:,.0f}"
    return f"{number} {word}{'' if number == '1' else 's'}"
