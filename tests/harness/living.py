"""Which objects of a test are still in memory."""

import gc


def count_lists_of(number: int) -> int:
    """The number of lists in memory whose only item is this number."""
    return sum(_is_list_of(number, found) for found in gc.get_objects())


def _is_list_of(number: int, found: object) -> bool:
    # Lists of other tests may hold objects that cannot be compared with a number.
    return isinstance(found, list) and len(found) == 1 and isinstance(found[0], int) and found[0] == number
