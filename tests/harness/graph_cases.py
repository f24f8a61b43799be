"""What goes, what stays and what is charged after a deletion: cases written by hand, run on the domain and over HTTP.

Each line of a case is a step:

- `amd` pushes an image with one layer of that name, `amd: base x` one with these layers, and `sig > amd` one whose
  subject is `amd`;
- `multi = amd arm` pushes an index of these, and `multi = amd > img` one with a subject;
- `tag amd v1` puts a tag on an artifact. `img.sig`, `img.att` and `img.sbom` stand for cosign's tags of the subject
  `img`, and `img.list` for the tag of the referrers tag schema;
- `untag v1` deletes a tag, `head amd` asks for a manifest, `put amd` pushes a manifest again;
- `link base` pushes a blob;
- `delete amd` deletes an artifact, and `refused amd` tries it and gets 412;
- `wait 3` lets three hours pass.

All images have the same config, which is the blob `cfg`.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from svckit.oci import media_types

CONFIG = b"{}"
_DEFINITION = re.compile(r"(?P<name>\w+)(?: = (?P<children>[\w ]+?))?(?: > (?P<subject>\w+))?(?:: (?P<layers>[\w ]+))?")


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: what it proves.
        steps: what happens, one step on each line.
        left: the artifacts that are there afterwards.
        charged: the blobs that the project is charged for afterwards.
        tags: the tags that are there afterwards.
    """

    name: str
    steps: str
    left: str = ""
    charged: str = ""
    tags: str = ""

    @property
    def waits(self) -> bool:
        """Whether it needs a clock that can be moved."""
        return "wait" in self.steps


@dataclass(frozen=True)
class Step:
    """A step with digests and bytes instead of names.

    Attributes:
        kind: push_blob, put, untag, head, delete, refused or wait.
        reference: the digest or tag.
        content: the bytes to push.
        media_type: their type.
        hours: how long to wait.
    """

    kind: str
    reference: str = ""
    content: bytes = b""
    media_type: str = ""
    hours: int = 0


class Story:
    """A case with the documents that its names stand for."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._definitions: dict[str, dict[str, str | None]] = {}
        for line in case.steps.strip().splitlines():
            words = line.split()
            matched = _DEFINITION.fullmatch(line.strip())
            if words[0] not in _VERBS and matched is not None:
                self._definitions[matched["name"]] = matched.groupdict()
        self.manifests = {name: self._manifest(name) for name in self._definitions}

    def _manifest(self, name: str) -> tuple[bytes, str]:
        defined = self._definitions[name]
        document: dict[str, Any] = {"schemaVersion": 2, "annotations": {"name": name}}
        if defined["children"]:
            document["mediaType"] = media_types.OCI_INDEX
            document["manifests"] = [self._descriptor(child) for child in defined["children"].split()]
        else:
            layers = (defined["layers"] or name).split()
            document["mediaType"] = media_types.OCI_MANIFEST
            document["config"] = _descriptor(CONFIG, media_types.OCI_CONFIG)
            document["layers"] = [_descriptor(blob(layer), media_types.OCI_LAYER) for layer in layers]
        if defined["subject"]:
            document["subject"] = self._descriptor(defined["subject"])
        return json.dumps(document).encode(), document["mediaType"]

    def _descriptor(self, name: str) -> dict[str, Any]:
        if name not in self._definitions:
            # A subject that never comes.
            return _descriptor(name.encode(), media_types.OCI_MANIFEST)
        return _descriptor(*self._manifest(name))

    def digest(self, name: str) -> str:
        """The digest of an artifact."""
        return str(self._descriptor(name)["digest"])

    def tag(self, name: str) -> str:
        """The name of a tag."""
        subject, dot, kind = name.partition(".")
        if not dot:
            return name
        return self.digest(subject).replace(":", "-") + ("" if kind == "list" else f".{kind}")

    def steps(self) -> Iterator[Step]:
        """What happens."""
        for line in self.case.steps.strip().splitlines():
            verb, *words = line.split()
            if verb == "wait":
                yield Step("wait", hours=int(words[0]))
            elif verb == "link":
                yield Step("push_blob", digest_of(blob(words[0])), blob(words[0]))
            elif verb == "untag":
                yield Step("untag", self.tag(words[0]))
            elif verb in ("head", "delete", "refused"):
                yield Step(verb, self.digest(words[0]))
            elif verb == "put":
                yield Step("put", self.digest(words[0]), *self.manifests[words[0]])
            elif verb == "tag":
                yield Step("put", self.tag(words[1]), *self.manifests[words[0]])
            else:
                yield from self._push(verb.rstrip(":"))

    def _push(self, name: str) -> Iterator[Step]:
        defined = self._definitions[name]
        if not defined["children"]:
            for content in (CONFIG, *map(blob, (defined["layers"] or name).split())):
                yield Step("push_blob", digest_of(content), content)
        yield Step("put", self.digest(name), *self.manifests[name])

    def left(self) -> set[str]:
        """The digests that must be left."""
        return set(map(self.digest, self.case.left.split()))

    def tags(self) -> set[str]:
        """The tags that must be left."""
        return set(map(self.tag, self.case.tags.split()))

    def used_bytes(self) -> int:
        """The bytes that the project must be charged for."""
        manifests = sum(len(self.manifests[name][0]) for name in self.case.left.split())
        return manifests + sum(len(blob(name)) for name in self.case.charged.split())


_VERBS = {"tag", "untag", "head", "put", "link", "delete", "refused", "wait"}


def blob(name: str) -> bytes:
    """The bytes of a blob."""
    return CONFIG if name == "cfg" else f"the bytes of {name}".encode().ljust(100)


def digest_of(content: bytes) -> str:
    """The digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


CASES = [
    Case("an image goes, and its blobs are not charged any more", "img\ntag img v1\ndelete img"),
    Case("an index takes its untagged children along", "amd\narm\nmulti = amd arm\ntag multi v1\ndelete multi"),
    Case(
        "a child with a tag stays",
        "amd\narm\nmulti = amd arm\ntag amd a\ndelete multi",
        left="amd",
        charged="cfg amd",
        tags="a",
    ),
    Case(
        "a child of another index stays",
        "amd\narm\nmulti = amd arm\nother = amd\ndelete multi",
        left="amd other",
        charged="cfg amd",
    ),
    Case(
        "a child of two indexes goes with the second",
        "amd\nmulti = amd\nother = amd\ndelete multi\ndelete other",
    ),
    Case("a child that is named twice goes once", "amd\ntwice = amd amd\ndelete twice"),
    Case("an index in an index goes with its children", "amd\narm\ninner = amd\nouter = inner arm\ndelete outer"),
    Case(
        "an inner index with a tag stays with its children",
        "amd\narm\ninner = amd\nouter = inner arm\ntag inner i\ndelete outer",
        left="inner amd",
        charged="cfg amd",
        tags="i",
    ),
    Case(
        "a child of an inner index stays if it has a tag",
        "amd\narm\ninner = amd arm\nouter = inner\ntag amd a\ndelete outer",
        left="amd",
        charged="cfg amd",
        tags="a",
    ),
    Case(
        "a child of an inner index stays if another index names it",
        "amd\ninner = amd\nouter = inner\nother = amd\ndelete outer",
        left="amd other",
        charged="cfg amd",
    ),
    Case(
        "a child that an outer and an inner index name goes",
        "amd\ninner = amd\nouter = amd inner\ndelete outer",
    ),
    Case(
        "a child is not deleted alone",
        "amd\nmulti = amd\nrefused amd",
        left="amd multi",
        charged="cfg amd",
    ),
    Case("a signature goes with its subject", "img\nsig > img\ndelete img"),
    Case(
        "a signature with an ordinary tag stays",
        "img\nsig > img\ntag sig kept\ndelete img",
        left="sig",
        charged="cfg sig",
        tags="kept",
    ),
    Case(
        "a signature that another index names stays",
        "img\nsig > img\nlist = sig\ndelete img",
        left="sig list",
        charged="cfg sig",
    ),
    Case("the signature of a signature goes", "img\nsig > img\nsig2 > sig\ndelete img"),
    Case(
        "the signature of a signature stays with it",
        "img\nsig > img\nsig2 > sig\ntag sig kept\ndelete img",
        left="sig sig2",
        charged="cfg sig sig2",
        tags="kept",
    ),
    Case("a deleted signature leaves its subject", "img\nsig > img\ndelete sig", left="img", charged="cfg img"),
    Case("a signature that came before its subject goes with it", "sig > img\nimg\ndelete img"),
    Case(
        "a signature whose subject is missing stays",
        "sig > never\nimg\ndelete img",
        left="sig",
        charged="cfg sig",
    ),
    Case("the signature of a child goes with the index", "amd\nmulti = amd\nsig > amd\ndelete multi"),
    Case("signatures of an index and of its child go with it", "amd\nmulti = amd\na > amd\nm > multi\ndelete multi"),
    Case(
        "a child that stays keeps its signature",
        "amd\narm\nmulti = amd arm\nsig > amd\nsig2 > arm\ntag amd a\ndelete multi",
        left="amd sig",
        charged="cfg amd sig",
        tags="a",
    ),
    Case("an index that is an accessory takes its children along", "img\nsbom\nsboms = sbom > img\ndelete img"),
    Case("cosign's signature goes with its subject", "img\nsig\ntag sig img.sig\ndelete img"),
    Case(
        "cosign's attestation and SBOM go with their subject",
        "img\natt\nsbom\ntag att img.att\ntag sbom img.sbom\ndelete img",
    ),
    Case("cosign's signature of a child goes with the index", "amd\nmulti = amd\nsig\ntag sig amd.sig\ndelete multi"),
    Case("cosign's signature that came first goes with its subject", "sig\ntag sig img.sig\nimg\ndelete img"),
    Case(
        "cosign's signature with an ordinary tag stays",
        "img\nsig\ntag sig img.sig\ntag sig kept\ndelete img",
        left="sig",
        charged="cfg sig",
        tags="img.sig kept",
    ),
    Case(
        "cosign's signature of a missing subject stays",
        "img\nsig\ntag sig never.sig\ndelete img",
        left="sig",
        charged="cfg sig",
        tags="never.sig",
    ),
    Case(
        "a signature of two subjects stays with the second",
        "a\nb\nsig\ntag sig a.sig\ntag sig b.sig\ndelete a",
        left="b sig",
        charged="cfg b sig",
        tags="a.sig b.sig",
    ),
    Case(
        "a signature of two subjects goes with the last",
        "a\nb\nsig\ntag sig a.sig\ntag sig b.sig\ndelete a\ndelete b",
    ),
    Case(
        "a signature that cosign has replaced goes too",
        "img\nold\nnew\ntag old img.sig\ntag new img.sig\ndelete img",
    ),
    Case(
        "a replaced signature stays with its subject",
        "img\nold\nnew\ntag old img.sig\ntag new img.sig\nuntag img.sig",
        left="img old new",
        charged="cfg img old new",
    ),
    Case(
        "a signature that cosign's tag comes back to goes with its subject",
        "img\nold\nnew\ntag old img.sig\ntag new img.sig\ntag old img.sig\ndelete img",
    ),
    Case("two artifacts that sign each other go together", "a\nb\ntag a b.sig\ntag b a.sig\ndelete a"),
    Case(
        "the list of referrers goes with the subject and the referrers",
        "img\nsig > img\nlist = sig\ntag list img.list\ndelete img",
    ),
    Case(
        "a deleted list of referrers leaves the referrers",
        "img\nsig > img\nlist = sig\ntag list img.list\ndelete list",
        left="img sig",
        charged="cfg img sig",
    ),
    Case(
        "a deleted list of referrers leaves those whose subject is missing",
        "sig > never\nlist = sig\ntag list never.list\ndelete list",
        left="sig",
        charged="cfg sig",
    ),
    Case(
        "a list of referrers without subject fields takes its children along",
        "img\nplain\nlist = plain\ntag list img.list\ndelete img",
    ),
    Case(
        "an image with the tag of a list is no list",
        "img\nodd\ntag odd img.list\ndelete img",
        left="odd",
        charged="cfg odd",
        tags="img.list",
    ),
    Case(
        "a child that was asked for since the index was put stays",
        "amd\narm\nmulti = amd arm\nhead amd\ndelete multi",
        left="amd",
        charged="cfg amd",
    ),
    Case(
        "a child that was put again since the index was put stays with its signature",
        "amd\nmulti = amd\nsig > amd\nput amd\ndelete multi",
        left="amd sig",
        charged="cfg amd sig",
    ),
    Case(
        "a child that was asked for before the index was put goes", "amd\nhead amd\nput amd\nmulti = amd\ndelete multi"
    ),
    Case(
        "a child that was asked for before the index was put again goes",
        "amd\nmulti = amd\nhead amd\nput multi\ndelete multi",
    ),
    Case(
        "a child of an inner index that was asked for stays",
        "amd\ninner = amd\nouter = inner\nhead amd\ndelete outer",
        left="amd",
        charged="cfg amd",
    ),
    Case(
        "a child that was asked for within the grace stays",
        "amd\nmulti = amd\nwait 9\nhead amd\nwait 1\ndelete multi",
        left="amd",
        charged="cfg amd",
    ),
    Case(
        "a child that was asked for before the grace goes",
        "amd\nmulti = amd\nwait 9\nhead amd\nwait 3\ndelete multi",
    ),
    Case("a signature that was asked for goes with its subject", "img\nsig > img\nhead sig\nput sig\ndelete img"),
    Case(
        "a layer of another image stays charged",
        "a: base x\nb: base y\ndelete a",
        left="b",
        charged="cfg base y",
    ),
    Case("a blob that no manifest has named stays charged", "link loose\nimg\ndelete img", charged="loose"),
    Case("a blob that is pushed again is charged again", "img\ndelete img\nlink img", charged="img"),
    Case(
        "a manifest that is pushed again charges its blobs again",
        "img\ndelete img\nput img",
        left="img",
        charged="cfg img",
    ),
    Case(
        "another manifest charges the blobs of a deleted one",
        "a: base\nb: other\ndelete a\nput b\nc: base other\ndelete b",
        left="c",
        charged="cfg base other",
    ),
    Case("a deleted tag leaves all", "img\nsig > img\ntag img v1\nuntag v1", left="img sig", charged="cfg img sig"),
    Case(
        "all tags of what goes are gone",
        "amd\nmulti = amd\ntag multi v1\ntag multi v2\nsig > amd\ntag sig amd.sig\ndelete multi",
    ),
]
