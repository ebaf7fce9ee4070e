"""A job's whole life, as its user sees it."""

from __future__ import annotations

from tests.cluster.story import World
from tests.manifests import nova_lite_2_lora


def test_a_job_runs_from_apply_to_its_checkpoint(world: World) -> None:
    job = world.apply(nova_lite_2_lora())
    status = job.until_finished()
    assert status["phase"] == "Succeeded"
    assert status["progress"]["display"] == "200/200 (100%)"
    assert status["artifacts"]["checkpoint"].startswith("s3://customer-escrow-111122223333-smtj-")
    assert [reason for reason, _ in job.events() if reason != "Warning"] == ["Launched", "Succeeded"]
    assert job.creates() == 1


def test_applying_again_changes_nothing_and_launches_nothing(world: World) -> None:
    manifest = nova_lite_2_lora()
    job = world.apply(manifest)
    job.until("Running")
    job = world.apply(manifest)
    job.until_finished()
    assert job.creates() == 1
