"""Kept placements: bounded, one for each digest, and never an answer by themselves."""

from gateway.clients.reads.placement_cache import KeptPlacement, PlacementCache
from gateway.clients.store_folder import PlacedFile


def placement(generation: int, inode: int = 1) -> KeptPlacement:
    return KeptPlacement(generation, PlacedFile("the-store", f"blobs/{generation}", inode, 100))


def test_a_newer_generation_takes_the_place_of_the_older_one() -> None:
    cache = PlacementCache()
    cache.keep("sha256:a", placement(1))
    cache.keep("sha256:a", placement(2))

    assert cache.find("sha256:a") == placement(2)
    assert cache.find("sha256:b") is None
    assert len(cache) == 1


def test_the_least_recently_used_goes_first() -> None:
    cache = PlacementCache(2)
    cache.keep("sha256:a", placement(1))
    cache.keep("sha256:b", placement(2))
    cache.find("sha256:a")
    cache.keep("sha256:c", placement(3))
    assert (cache.find("sha256:b"), len(cache)) == (None, 2)

    cache.keep("sha256:a", placement(4))
    cache.keep("sha256:d", placement(5))
    assert (cache.find("sha256:c"), cache.find("sha256:a"), len(cache)) == (None, placement(4), 2)


def test_only_the_placement_that_was_wrong_is_forgotten() -> None:
    cache = PlacementCache()
    cache.keep("sha256:a", placement(1, inode=7))

    cache.forget("sha256:a", placement(1, inode=6))
    assert cache.find("sha256:a") == placement(1, inode=7)
    cache.forget("sha256:a", placement(1, inode=7))
    cache.forget("sha256:a", placement(1, inode=7))
    assert cache.find("sha256:a") is None
