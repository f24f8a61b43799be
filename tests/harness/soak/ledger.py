"""The requests of clients and their answers: what may exist, and what must exist."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tests.harness.images import Image


@dataclass
class OwnRepository:
    """A repository that one client alone writes to, so that it knows what is in it.

    Attributes:
        name: in full.
        manifests: the images and indexes that were answered 2xx and not deleted since, by digest.
        tags: what each tag names.
        blobs: that were answered 2xx.
        uncertain: the digests of manifests that may be there or not: what a deleted index named went along, unless it
            was asked for after the index was pushed.
    """

    name: str
    manifests: dict[str, Image] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    blobs: set[str] = field(default_factory=set)
    uncertain: set[str] = field(default_factory=set)

    def note_put(self, image: Image, tags: Iterable[str]) -> None:
        """A manifest was stored."""
        self.manifests[image.digest] = image
        self.uncertain.discard(image.digest)
        self.tags.update(dict.fromkeys(tags, image.digest))

    def note_delete(self, digest: str) -> None:
        """A manifest was deleted, and its tags with it, and those of its children that nothing else names."""
        deleted = self.manifests.pop(digest)
        self.tags = {name: named for name, named in self.tags.items() if named != digest}
        for child in deleted.children:
            if child.digest not in self.tags.values() and not self.is_held(child.digest):
                self.manifests.pop(child.digest, None)
                self.uncertain.add(child.digest)

    def note_end(self) -> None:
        """All of it was deleted."""
        self.manifests.clear()
        self.tags.clear()
        self.blobs.clear()
        self.uncertain.clear()

    @property
    def is_there(self) -> bool:
        """Whether anything was pushed to it: its first blob makes it."""
        return bool(self.blobs)

    def is_held(self, digest: str) -> bool:
        """Whether an index names a manifest."""
        return any(child.digest == digest for image in self.manifests.values() for child in image.children)


@dataclass
class Ledger:
    """What all clients share.

    Attributes:
        own: every client's repositories, by name.
        shared: repositories that all of them write to: nobody knows what is in these, but what may be.
        manifests: all that anybody has tried to put into a repository, by digest.
        blobs: likewise, their digests.
        tags: likewise, their names.
    """

    shared: Collection[str]
    own: dict[str, OwnRepository] = field(default_factory=dict)
    manifests: dict[str, dict[str, Image]] = field(default_factory=lambda: defaultdict(dict))
    blobs: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    tags: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def note_attempt(self, repository: str, image: Image, tags: Iterable[str] = ()) -> None:
        """Records that a client is about to push an image, or an index with its images."""
        for each in (*image.children, image):
            self.manifests[repository][each.digest] = each
        self.blobs[repository].update(image.blobs)
        self.tags[repository].update(tags)
