"""Tags, references, and names of repositories and projects."""

from __future__ import annotations

import time

import pytest

from svckit.oci.digest import Digest
from svckit.oci.errors import DigestInvalidError, NameInvalidError, OciFormatError, TagInvalidError
from svckit.oci.reference import Reference, Tag
from svckit.oci.repository import ProjectName, RepositoryName

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize("tag", ["latest", "1.20.2-alpine", "_", "V1_x.y-Z", "0", "a" * 128, "v1.0_build.1", "a..b--"])
def test_tags_of_the_specs_grammar_are_accepted(tag: str) -> None:
    assert str(Tag.parse(tag)) == tag
    assert Reference.parse(tag) == Reference(tag=Tag(tag))


@pytest.mark.parametrize(
    "tag", ["", ".a", "-a", "a" * 129, "a b", "a/b", "a+b", "a\n", "\n", "ä", "a\0", "٣", "a%2f", "../x"]
)
def test_what_is_no_tag_is_refused(tag: str) -> None:
    for parse in (Tag.parse, Reference.parse):
        with pytest.raises(TagInvalidError) as refusal:
            parse(tag)
        assert refusal.value.reason == "TAG_INVALID"


def test_what_has_a_colon_must_be_a_digest() -> None:
    assert Reference.parse(DIGEST) == Reference(digest=Digest.parse(DIGEST))
    assert str(Reference.parse(DIGEST)) == DIGEST
    for text in ["latest:", ":latest", "sha256:baddigeststring", "a:b"]:
        with pytest.raises(DigestInvalidError):
            Reference.parse(text)


def test_a_reference_is_exactly_one_of_the_two() -> None:
    for tag, digest in [(None, None), (Tag("a"), Digest.parse(DIGEST))]:
        with pytest.raises(TypeError):
            Reference(tag=tag, digest=digest)


@pytest.mark.parametrize(
    ("text", "project", "name"),
    [
        ("library/nginx", "library", "nginx"),
        ("a/b/c/d", "a", "b/c/d"),
        ("my.project/some_name/x__y/z---0", "my.project", "some_name/x__y/z---0"),
        ("0/0", "0", "0"),
        ("p/" + "a" * 253, "p", "a" * 253),
    ],
)
def test_repository_names_fall_into_project_and_name(text: str, project: str, name: str) -> None:
    repository = RepositoryName.parse(text)
    assert (repository.project, repository.name, str(repository)) == (project, name, text)
    assert RepositoryName.of(project, name) == repository


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "A/b",
        "a/B",
        "a/.b",
        "a/b.",
        "a/b..c",
        "a/b___c",
        "a/b_-c",
        "a/-b",
        "a/b-",
        "a/b\n",
        "a/\u00df",
        "a/b:c",
        "a/b c",
        "a/../b",
        "a/..",
        "a/b@c",
        "a/b%2fc",
        "a/\u0663",
        "a\0/b",
        "p/" + "a" * 254,
        "ex/" * 200 + "a",
    ],
)
def test_what_is_no_repository_name_is_refused(text: str) -> None:
    with pytest.raises(NameInvalidError) as refusal:
        RepositoryName.parse(text)
    assert refusal.value.reason == "NAME_INVALID"


@pytest.mark.parametrize("text", ["nginx", "a", "some-image"])
def test_a_name_without_a_project_is_told_the_form(text: str) -> None:
    with pytest.raises(NameInvalidError, match="<project>/<name>"):
        RepositoryName.parse(text)


@pytest.mark.parametrize("text", ["library", "a", "0", "a.b_c-d", "a" * 255])
def test_project_names_of_harbors_rule_are_accepted(text: str) -> None:
    assert str(ProjectName.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "A", "a__b", "a..b", "a--b", ".a", "a.", "-a", "a/b", "a\n", "a b", "é", "a" * 256]
)
def test_what_is_no_project_name_is_refused(text: str) -> None:
    with pytest.raises(NameInvalidError):
        ProjectName.parse(text)


@pytest.mark.parametrize(
    "hostile", ["a" * 254 + "!", "a-" * 127 + "!", "-" * 255, "a" + "-" * 253 + "!", "a_" * 1_000_000]
)
def test_hostile_names_are_refused_at_once(hostile: str) -> None:
    start = time.perf_counter()
    for parse in (Tag.parse, Reference.parse, ProjectName.parse, RepositoryName.parse):
        with pytest.raises(OciFormatError):
            parse(hostile if parse is not RepositoryName.parse else f"p/{hostile}")
    assert time.perf_counter() - start < 0.5
