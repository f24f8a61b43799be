"""One client: it pushes, pulls, mounts, moves and deletes at random, and checks the results."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.harness.images import Image, digest_of, image, index
from tests.harness.soak.client import Refused, RegistryClient, Surprise
from tests.harness.soak.ledger import Ledger, OwnRepository

TAGS = ("latest", "v1", "v2", "v3", "edge")
# Few enough that clients push images that others have pushed, and push images again after deleting them.
_SHELF_IMAGES = 10
_SMALL_BYTES = (200, 30_000)
_LARGE_BYTES = (600_000, 2_500_000)
_LARGE_SHARE = 0.06
_NEW_SHARE = 0.3


@dataclass(frozen=True)
class Shelf:
    """Images that all clients know."""

    images: Sequence[Image]

    @classmethod
    def filled(cls, seed: int) -> "Shelf":
        """The images of a seed."""
        chance = random.Random(seed)
        return cls([new_image(chance) for _ in range(_SHELF_IMAGES)])


def new_image(chance: random.Random) -> Image:
    """A new image, usually a small one."""
    size = chance.randint(*(_LARGE_BYTES if chance.random() < _LARGE_SHARE else _SMALL_BYTES))
    return image(chance.getrandbits(40), layers=chance.randint(1, 3), layer_bytes=size)


@dataclass
class Actor:
    """One client.

    Attributes:
        client: sends its requests.
        ledger: what it tells of, and learns from, the others.
        own: its repositories.
        shelf: images that others have as well.
        chance: what it decides by.
        done: how often it has done what.
    """

    client: RegistryClient
    ledger: Ledger
    own: Sequence[OwnRepository]
    shelf: Shelf
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)

    def work(self, until: threading.Event) -> None:
        """Acts until the event is set, and then finishes its present action.

        Raises:
            Surprise: a result is wrong.
        """
        deeds: dict[Callable[[], None], int] = {
            self._push_own: 30,
            self._push_index: 8,
            self._push_shared: 14,
            self._pull_own: 22,
            self._pull_shared: 8,
            self._retag: 12,
            self._delete_tag: 6,
            self._delete_manifest: 6,
            self._delete_shared: 3,
            self._list_tags: 6,
            self._abandon: 3,
            self._delete_repository: 1,
            self._live_a_project: 2,
        }
        while not until.is_set():
            [deed] = self.chance.choices([*deeds], weights=[*deeds.values()])
            deed()
            self.done[deed.__name__.removeprefix("_")] += 1

    def check_own(self) -> None:
        """Fails unless its repositories hold exactly the expected content, byte for byte."""
        for repository in self.own:
            self._log_in(repository.name)
            names = self.client.tags(repository.name)
            if sorted(names) != sorted(repository.tags):
                raise Surprise(f"{repository.name} has the tags {names}, and should have {sorted(repository.tags)}")
            for name, digest in repository.tags.items():
                self._check_manifest(repository.name, name, repository.manifests[digest])
            for digest, known in self.ledger.manifests[repository.name].items():
                if digest in repository.manifests:
                    self._check_manifest(repository.name, digest, known)
                elif digest not in repository.uncertain and self.client.manifest(repository.name, digest) is not None:
                    raise Surprise(f"{repository.name}@{digest} was deleted, or never answered, and is there")
            for held in repository.manifests.values():
                self._check_blobs(repository.name, held)

    def _push_own(self) -> None:
        self._push(self.chance.choice(self.own), self._some_image())

    def _push_index(self) -> None:
        self._push(self.chance.choice(self.own), index([self._some_image(), self._some_image()]))

    def _push(self, repository: OwnRepository, pushed: Image) -> None:
        tags = self.chance.sample(TAGS, k=self.chance.choice((1, 1, 1, 2)))
        self.ledger.note_attempt(repository.name, pushed, tags)
        self._log_in(repository.name, *self._sources())
        try:
            self._push_blobs(repository.name, pushed, repository.blobs)
            for child in pushed.children:
                self._put_own(repository, child, child.digest)
            if len(tags) > 1:
                self._put_own(repository, pushed, pushed.digest, tags)
            else:
                self._put_own(repository, pushed, tags[0])
        except Refused:
            self._make_room(repository)

    def _put_own(self, repository: OwnRepository, pushed: Image, reference: str, tags: Sequence[str] = ()) -> None:
        if not self.client.put_manifest(repository.name, reference, pushed, tags):
            raise Surprise(f"{repository.name} does not know what was pushed for {pushed.digest}")
        repository.note_put(pushed, tags or ([] if ":" in reference else [reference]))

    def _make_room(self, repository: OwnRepository) -> None:
        self.done["was refused by the quota"] += 1
        # A refused push leaves its blobs, for the garbage collector. Deleting the repository frees its quota at once.
        self._end(repository)

    def _push_shared(self) -> None:
        repository, pushed = self.chance.choice([*self.ledger.shared]), self._some_image()
        tag = self.chance.choice(TAGS)
        self.ledger.note_attempt(repository, pushed, [tag])
        self._log_in(repository, *self._sources())
        try:
            self._push_blobs(repository, pushed)
            # Where somebody deletes the repository at the same time, its links go.
            self.client.put_manifest(repository, tag, pushed)
        except Refused:
            self.client.delete_repository(repository, 200, 404)

    def _push_blobs(self, repository: str, pushed: Image, held: set[str] | None = None) -> None:
        for digest, content in pushed.blobs.items():
            if self.chance.random() < 0.7:
                is_there = self.client.has_blob(repository, digest)
                if held is not None and digest in held and not is_there:
                    raise Surprise(f"{repository} had {digest}, and has it no more")
                if is_there:
                    continue
            source = self.chance.choice(self._sources())
            if self.chance.random() < 0.5 and self.client.mount(repository, digest, source):
                self.done["mount"] += 1
            else:
                self.client.push_blob(repository, digest, content)
            if held is not None:
                held.add(digest)

    def _pull_own(self) -> None:
        repository = self.chance.choice(self.own)
        if not repository.manifests:
            return
        self._log_in(repository.name)
        if repository.tags and self.chance.random() < 0.7:
            reference, digest = self.chance.choice([*repository.tags.items()])
        else:
            reference = digest = self.chance.choice([*repository.manifests])
        pulled = repository.manifests[digest]
        self._check_manifest(repository.name, reference, pulled)
        self._check_blobs(repository.name, pulled)

    def _check_manifest(self, repository: str, reference: str, expected: Image) -> None:
        found = self.client.manifest(repository, reference)
        if found != expected.manifest:
            what = "nothing" if found is None else digest_of(found)
            raise Surprise(f"{repository}, {reference}: there is {what}, and should be {expected.digest}")

    def _check_blobs(self, repository: str, pulled: Image) -> None:
        for digest, content in pulled.blobs.items():
            if self.client.blob(repository, digest) != content:
                raise Surprise(f"{repository}, {digest}: other bytes, or none")

    def _pull_shared(self) -> None:
        repository = self.chance.choice([*self.ledger.shared])
        tag = self.chance.choice(TAGS)
        self._log_in(repository)
        found = self.client.manifest(repository, tag)
        if found is None:
            return
        known = self.ledger.manifests[repository].get(digest_of(found))
        if known is None or known.manifest != found:
            raise Surprise(f"{repository}:{tag} is {digest_of(found)}, which nobody has pushed")
        for digest, content in known.blobs.items():
            # None if the repository was deleted meanwhile.
            if self.client.blob(repository, digest) not in {content, None}:
                raise Surprise(f"{repository}, {digest}: other bytes")

    def _retag(self) -> None:
        repository = self.chance.choice(self.own)
        if not repository.tags:
            return
        self._log_in(repository.name)
        digest = self.chance.choice([*repository.tags.values()])
        tag = self.chance.choice(TAGS)
        self.ledger.note_attempt(repository.name, repository.manifests[digest], [tag])
        self._put_own(repository, repository.manifests[digest], tag)

    def _delete_tag(self) -> None:
        repository = self.chance.choice(self.own)
        if not repository.tags:
            return
        self._log_in(repository.name)
        tag = self.chance.choice([*repository.tags])
        self.client.delete_manifest(repository.name, tag, 202)
        del repository.tags[tag]

    def _delete_manifest(self) -> None:
        repository = self.chance.choice(self.own)
        if not repository.manifests:
            return
        self._log_in(repository.name)
        digest = self.chance.choice([*repository.manifests])
        if repository.is_held(digest):
            self.client.delete_manifest(repository.name, digest, 412)
        else:
            self.client.delete_manifest(repository.name, digest, 202)
            repository.note_delete(digest)

    def _delete_shared(self) -> None:
        repository = self.chance.choice([*self.ledger.shared])
        self._log_in(repository)
        known = [*self.ledger.manifests[repository]]
        if self.chance.random() < 0.1:
            self.client.delete_repository(repository, 200, 404)
        else:
            reference = self.chance.choice([*known, *TAGS])
            self.client.delete_manifest(repository, reference, 202, 404)

    def _list_tags(self) -> None:
        repository = self.chance.choice(self.own)
        self._log_in(repository.name)
        names = self.client.tags(repository.name)
        if names != sorted(repository.tags):
            raise Surprise(f"{repository.name} has the tags {names}, and should have {sorted(repository.tags)}")

    def _abandon(self) -> None:
        repository = self.chance.choice(self.own)
        self._log_in(repository.name)
        self.client.abandon_upload(repository.name, self.chance.randbytes(self.chance.randint(*_SMALL_BYTES)))

    def _delete_repository(self) -> None:
        self._end(self.chance.choice(self.own))

    def _end(self, repository: OwnRepository) -> None:
        self.client.delete_repository(repository.name, 200 if repository.is_there else 404)
        repository.note_end()

    def _live_a_project(self) -> None:
        """Makes a project, uses and deletes it, and makes another one of the same name, which must be empty."""
        project = f"short{self.chance.getrandbits(40):x}"
        repository, pushed = OwnRepository(f"{project}/app"), new_image(self.chance)
        self.ledger.note_attempt(repository.name, pushed, ["v1"])
        for _ in range(2):
            self.client.create_project(project)
            self._log_in(repository.name, *self._sources())
            if self.client.tags(repository.name) or self.client.manifest(repository.name, pushed.digest) is not None:
                raise Surprise(f"{project} is new, and holds something")
            self._push_blobs(repository.name, pushed, repository.blobs)
            self._put_own(repository, pushed, "v1")
            self._check_manifest(repository.name, "v1", pushed)
            self._check_blobs(repository.name, pushed)
            self._end(repository)
            self.client.delete_project(project)
            if self.client.has_project(project):
                raise Surprise(f"{project} was deleted, and is there")

    def _some_image(self) -> Image:
        if self.chance.random() < _NEW_SHARE:
            return new_image(self.chance)
        return self.chance.choice(self.shelf.images)

    def _sources(self) -> list[str]:
        return [*(repository.name for repository in self.own), *self.ledger.shared]

    def _log_in(self, repository: str, *sources: str) -> None:
        pulls = [f"repository:{source}:pull" for source in sources if source != repository]
        self.client.log_in(f"repository:{repository}:pull,push,delete", *pulls)
