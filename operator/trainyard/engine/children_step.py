"""Records, hosts, Services and claims: created under their computed names, read back, deleted by UID.

What is stored is the truth: a record that exists already is the record, whatever the draft said (W3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.engine.guards import nothing_live
from trainyard.engine.hands import Hands, Outcome, Pass, create_owned, keeps_out
from trainyard.kube.client import Object
from trainyard.kube.errors import ApiError, Conflict, NotFound
from trainyard.kube.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, SERVICES, TRAINING_JOBS, Resource
from trainyard.launch import claim_name
from trainyard.model.plan import (
    ConfirmRecord,
    CreateHosts,
    CreateRecord,
    DeleteHosts,
    DeleteJob,
    DeleteRecord,
    ObjectRefusal,
)
from trainyard.model.translate import child_view, claim_view, record_view
from trainyard.model.views import JobView


async def create_record(hands: Hands, step: Pass, create: CreateRecord) -> Outcome:
    """The first of the three commits of an opening."""
    job, draft = step.job, create.draft
    if not _as_planned(hands, job):
        return Outcome.MOOT
    if not await nothing_live(hands, step, dead=frozenset(draft.dead), strangers=True):
        return Outcome.BLOCKED
    if not _as_planned(hands, job):  # a live look at ten thousand pods takes its time
        return Outcome.MOOT
    raw = await _create(hands, step, CONFIG_MAPS, hands.manifests.record(job, draft))
    if raw is None:
        return Outcome.MOOT
    hands.store.upsert_record(child_view(raw), record_view(raw))
    step.log.info("attempt recorded", opening=draft.attempt, pods=draft.size)
    return Outcome.DONE


def _as_planned(hands: Hands, job: JobView) -> bool:
    held = hands.store.jobs.get(job.key)
    return held is not None and held.resource_version == job.resource_version and held.deletion is None


async def create_hosts(hands: Hands, step: Pass, create: CreateHosts) -> Outcome:
    """Answered before the first pod's POST is sent: a pod that comes without it can never start (W10)."""
    job = hands.store.job_of(step.snapshot.uid)
    record = hands.store.children.records(step.snapshot.uid).get(create.attempt)
    if job is None or record is None or not job.status.open or job.status.attempt != create.attempt:
        return Outcome.MOOT
    raw = await _create(hands, step, CONFIG_MAPS, hands.manifests.hosts(job, record))
    if raw is None:
        return Outcome.MOOT
    view = child_view(raw)
    hands.store.upsert_hosts(view)
    return Outcome.BLOCKED if view.deleting else Outcome.DONE


async def create_service(hands: Hands, step: Pass) -> Outcome:
    raw = await _create(hands, step, SERVICES, hands.manifests.service(step.job))
    if raw is None:
        return Outcome.MOOT
    hands.store.upsert_service(child_view(raw))
    return Outcome.DONE


async def create_claim(hands: Hands, step: Pass) -> Outcome:
    """A retained claim belongs to nobody: one that is there already is adopted."""
    body = hands.manifests.claim(step.job)
    adopt = not body["metadata"].get("ownerReferences")
    raw = await _create(hands, step, PERSISTENT_VOLUME_CLAIMS, body, adopt=adopt)
    if raw is None:
        return Outcome.MOOT
    hands.store.claim_answered(claim_view(raw))
    step.log.info("claim is there", claim=claim_name(step.job))
    return Outcome.DONE


async def _create(
    hands: Hands, step: Pass, resource: Resource, body: Mapping[str, Any], *, adopt: bool = False
) -> Object | None:
    """As `create_owned`; a refusal is noted too, for the job to tell and to try again later."""
    notes = hands.store.memory.of(step.snapshot.uid)
    try:
        raw = await create_owned(hands, step, resource, body, adopt=adopt)
    except ApiError as error:
        if not keeps_out(error):
            raise
        name, attempt = body["metadata"]["name"], step.job.status.attempt
        notes.object_refused = ObjectRefusal(
            attempt, body["kind"], name, error.status, error.message, hands.client.clock.now()
        )
        step.log.warning("an object is refused", resource=str(resource), name=name, error=str(error))
        return None
    notes.object_refused = None
    return raw


async def delete_hosts(hands: Hands, step: Pass, delete: DeleteHosts) -> Outcome:
    return await _delete_config_map(hands, step, delete.name, delete.uid)


async def delete_record(hands: Hands, step: Pass, delete: DeleteRecord) -> Outcome:
    return await _delete_config_map(hands, step, delete.name, delete.uid)


async def _delete_config_map(hands: Hands, step: Pass, name: str, uid: str) -> Outcome:
    try:
        answer = await hands.client.delete(CONFIG_MAPS, name, step.snapshot.key.namespace, uid=uid)
    except (NotFound, Conflict):
        answer = {}
    if "metadata" in answer and answer["metadata"].get("deletionTimestamp"):
        return Outcome.DONE  # somebody's finalizer keeps it; the watch will tell
    hands.store.delete_config_map(uid)
    return Outcome.DONE


async def confirm_record(hands: Hands, step: Pass, confirm: ConfirmRecord) -> Outcome:
    """Whether the record of the open attempt is really gone: only the API server's own word counts."""
    uid = step.snapshot.uid
    try:
        raw = await hands.client.get(CONFIG_MAPS, confirm.name, step.snapshot.key.namespace)
    except NotFound as error:
        if not error.is_object_missing(confirm.name):
            raise
        hands.store.memory.of(uid).record_missing = confirm.attempt
        step.log.warning("the record of the open attempt is gone", record=confirm.name)
        return Outcome.DONE
    view, record = child_view(raw), record_view(raw)
    if view.owner_uid == uid == record.job_uid:
        hands.store.upsert_record(view, record)
    else:
        hands.store.memory.of(uid).record_missing = confirm.attempt
    return Outcome.DONE


async def delete_job(hands: Hands, step: Pass, delete: DeleteJob) -> Outcome:
    """Its time to live is over. The version is a precondition too: somebody may just have prolonged it."""
    job = step.job
    try:
        await hands.client.delete(
            TRAINING_JOBS,
            job.name,
            job.namespace,
            uid=delete.uid,
            resource_version=job.resource_version,
            propagation_policy="Background",
        )
    except NotFound:
        return Outcome.DONE
    except Conflict:
        return Outcome.BLOCKED
    step.log.info("job deleted, its time to live is over")
    return Outcome.DONE
