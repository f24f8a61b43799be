"""metasvc believes the store that holds its blobs, and no other, until an operator says otherwise."""

from dataclasses import replace

from metasvc.domain.blob_store import forget_store
from metasvc.domain.model import BlobKey
from metasvc.domain.quarantine import quarantine_found
from metasvc.domain.store_memory import StoreMemory
from svckit.tokens import Finding
from tests.contract.metasvc.test_healing import DIGEST, FIRST, ONE, live, reason_of, tombstones
from tests.contract.metasvc.world import World, blob_digest


async def test_another_blob_store_than_the_known_one_is_believed_nothing(world: World) -> None:
    """As when blobsvc is started while its disk is not mounted: it makes a new store, where everything is missing."""
    await world.push("alpha/app", ONE, "v1")
    world.rights.named = {"alpha/app": 1}
    world.bytes.store_id = "another"
    world.bytes.files = dict.fromkeys((FIRST, BlobKey(blob_digest("config of one"), 1)))
    finding = Finding(subject="service:blobsvc", digest=DIGEST, generation=1, damage="missing", store_id="another")
    for _ in range(2):
        assert await reason_of(quarantine_found(world.ports, finding)) == "UNAVAILABLE"
        assert await reason_of(world.link("alpha/app", DIGEST, generation=2)) == "UNAVAILABLE"
        assert await world.mount("alpha/other", DIGEST, "alpha/app") is None
    assert (await world.put("alpha/app", ONE, "v2")).existed
    assert (await live(world), await tombstones(world), world.findings.found) == ((1, "live"), {}, [])
    assert set(world.findings.other_stores) == {("store", "another")}

    world.bytes.store_id = "store"
    assert await quarantine_found(world.ports, replace(finding, store_id="store"))


async def test_a_store_that_an_operator_has_replaced_is_believed_and_the_next_push_fills_it(world: World) -> None:
    await world.push("alpha/app", ONE, "v1")
    world.bytes.store_id = "another"
    world.bytes.files = dict.fromkeys((FIRST, BlobKey(blob_digest("config of one"), 1)))

    await forget_store(world.ports)
    await world.link("alpha/app", DIGEST, generation=2)

    assert await live(world) == (2, "live")
    assert world.findings.forgotten_stores == ["store"]
    assert world.findings.other_stores == []
    # From now on, this is the right one.
    world.bytes.store_id = "store"
    world.ports = replace(world.ports, store_memory=StoreMemory())
    assert await reason_of(world.link("alpha/app", DIGEST, generation=3)) == "UNAVAILABLE"


async def test_the_store_is_remembered_by_the_next_process(world: World) -> None:
    await world.push("alpha/app", ONE, "v1")
    world.bytes.store_id = "another"
    world.ports = replace(world.ports, store_memory=StoreMemory())
    assert await reason_of(world.link("alpha/app", DIGEST, generation=2)) == "UNAVAILABLE"
