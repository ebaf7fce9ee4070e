"""What a user does in the instant after the intent was written and before the create is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.manifests import nova_lite_2_lora
from tests.unit.world import World


def right_after_the_intent(world: World, then: Callable[[], object]) -> None:
    """Does something when the API server has taken the intent and its answer is still on its way."""
    patch_status = world.cluster.patch_status

    async def patched(metadata: Mapping[str, Any], patch: Mapping[str, Any]) -> Mapping[str, Any]:
        await patch_status(metadata, patch)
        if patch.get("jobName"):
            then()
            world.cluster.patch_status = patch_status  # type: ignore[method-assign]
        return await patch_status(metadata, {})

    world.cluster.patch_status = patched  # type: ignore[method-assign]


def test_a_job_deleted_before_its_create_was_sent_goes_without_a_long_look_for_it() -> None:
    with World() as world:
        right_after_the_intent(world, lambda: world.cluster.delete(world.key))
        world.apply(settle=5)
        assert world.gone
        assert world.aws.created == []


def test_a_job_suspended_before_its_create_was_sent_is_suspended_without_a_long_look_for_it() -> None:
    with World() as world:
        suspended = nova_lite_2_lora({"runPolicy.suspend": True})
        right_after_the_intent(world, lambda: world.cluster.apply(suspended))
        world.apply(settle=5)
        assert world.phase == "Suspended"
        assert world.aws.created == []
        world.apply({"runPolicy.suspend": False})
        assert world.phase == "Starting"
        assert len(world.aws.created) == 1


def test_a_run_found_again_is_stopped_although_its_resource_was_deleted_before_it_was_attached() -> None:
    with World() as world:
        world.apply({"runPolicy.deletionPolicy": "Orphan"})
        world.aws.run()
        world.delete()
        assert world.gone
        right_after_the_intent(world, lambda: world.cluster.delete(world.key))
        world.apply({"runPolicy.deletionPolicy": "Stop"}, settle=120)
        assert world.gone
        assert world.aws.live() == []


def test_a_watch_that_is_faster_than_the_answer_to_a_write_hides_no_event() -> None:
    with World() as world:
        patch_status = world.cluster.patch_status

        async def overtaken(metadata: Mapping[str, Any], patch: Mapping[str, Any]) -> Mapping[str, Any]:
            body = await patch_status(metadata, patch)
            world.store.put(body)
            return body

        world.cluster.patch_status = overtaken  # type: ignore[method-assign]
        world.apply(settle=60)
        world.aws.complete()
        world.until("Succeeded")
        assert world.events.count("Launched") == 1
        assert world.events.count("Succeeded") == 1
