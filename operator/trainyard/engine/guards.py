"""The live looks before what cannot be taken back: no cache is trusted where a stale one could do harm (W8, W9).

They ask the API server and answer; what they find goes into the store, so that the next plan knows.
"""

from __future__ import annotations

from contextlib import aclosing

from trainyard.api.constants import LABEL_JOB, LABEL_JOB_UID
from trainyard.engine.hands import Hands, Outcome, Pass
from trainyard.kube.client import METADATA_PAGE_SIZE, Object
from trainyard.kube.errors import Gone, NotFound
from trainyard.kube.resources import CONFIG_MAPS, NODES, PODS, TRAINING_JOBS
from trainyard.model.plan import ConfirmJobGone
from trainyard.model.translate import child_view, job_view
from trainyard.model.views import ChildView

MANY_NODES = 20
"""More than so many are looked for in one list of all."""
_NOT_TERMINAL = "status.phase!=Succeeded,status.phase!=Failed"


async def nothing_live(hands: Hands, step: Pass, *, dead: frozenset[str], strangers: bool) -> bool:
    """W8: hosts are gone, and no pod of the job is live but the dead ones; with `strangers`, none of an earlier job
    of its name either, nor one that such a job left to nobody."""
    if await _hosts_left(hands, step):
        return False
    uid = step.snapshot.uid
    selector = f"{LABEL_JOB}={step.snapshot.key.name}" if strangers else f"{LABEL_JOB_UID}={uid}"
    listed = await _children(hands, _NOT_TERMINAL, step.snapshot.key.namespace, selector)
    counted = [p for p in listed if p.owner_uid == uid or (strangers and (p.owner_uid or p.left_behind))]
    live = [p.name for p in counted if p.name not in dead]
    # A pod whose labels somebody took off is missed by the selector, not by the store.
    live += [p.name for p in hands.store.gang(uid).pods.values() if not p.terminal and p.name not in dead]
    if live:
        step.log.info("a live look found pods that have not ended", pods=len(live), first=live[0])
    return not live


async def pod_absent(hands: Hands, step: Pass, name: str) -> bool:
    """A pod of the job that was never seen to go may stand behind a watch that fell silent; then that has to wake."""
    listed = await hands.client.list(PODS, step.snapshot.key.namespace, fields=f"metadata.name={name}")
    there = any(child_view(raw).owner_uid == step.snapshot.uid for raw in listed.items)
    if there:
        step.log.warning("a pod that seemed lost is there: the watch of pods is behind", pod=name)
    return not there


async def nodes_told(hands: Hands, names: frozenset[str]) -> bool:
    """Whether all of these nodes that exist have been told of; those that do not are noted. Nothing else is taken from
    the live look: what the watch tells in the meantime is newer."""
    if len(names) > MANY_NODES:
        existing, _ = await hands.client.read_all(_name, NODES, metadata_only=True)
    else:
        pages = [await hands.client.list(NODES, fields=f"metadata.name={name}") for name in names]
        existing = [_name(raw) for page in pages for raw in page.items]
    untold = names - hands.store.nodes.keys()
    hands.store.note_gone_nodes(untold - set(existing))
    return untold.isdisjoint(existing)


def _name(raw: Object) -> str:
    return str(raw["metadata"]["name"])


async def job_gone(hands: Hands, step: Pass, confirm: ConfirmJobGone) -> Outcome:
    """W9: only the API server's own word that this very job does not exist, or another UID under its name."""
    key = step.snapshot.key
    if not key.name or hands.store.job_of(confirm.uid) is not None:
        return Outcome.MOOT if key.name else Outcome.BLOCKED
    try:
        raw = await hands.client.get(TRAINING_JOBS, key.name, key.namespace)
    except NotFound as error:
        if not error.is_object_missing(key.name):
            raise
    else:
        job = job_view(raw, hands.store.jobs.get(key))
        hands.store.upsert_job(job)
        if job.uid == confirm.uid:
            return Outcome.MOOT
    pods = await _children(hands, None, key.namespace, f"{LABEL_JOB_UID}={confirm.uid}")
    step.confirmed = frozenset(p.uid for p in pods if p.owner_uid == confirm.uid)
    step.log.info("the job is gone", uid=confirm.uid, pods=len(step.confirmed))
    return Outcome.DONE


async def _hosts_left(hands: Hands, step: Pass) -> bool:
    uid = step.snapshot.uid
    listed = await hands.client.list(
        CONFIG_MAPS, step.snapshot.key.namespace, labels=f"{LABEL_JOB_UID}={uid}", metadata_only=True
    )
    views = [child_view(raw) for raw in listed.items]
    hosts = [view for view in views if view.owner_uid == uid and view.name.endswith("-hosts")]
    for view in hosts:
        hands.store.upsert_hosts(view)
    if hosts:
        step.log.info("a live look found hosts that are not gone", name=hosts[0].name)
    return bool(hosts)


async def _children(hands: Hands, fields: str | None, namespace: str, selector: str) -> list[ChildView]:
    """Metadata, page by page: ten thousand pods need not be held as dicts to know their names."""
    try:
        return await _paged(hands, fields, namespace, selector, METADATA_PAGE_SIZE)
    except Gone:  # reading took longer than the server remembers: once more, in one piece
        return await _paged(hands, fields, namespace, selector, None)


async def _paged(
    hands: Hands, fields: str | None, namespace: str, selector: str, page_size: int | None
) -> list[ChildView]:
    views: list[ChildView] = []
    pages = hands.client.list_pages(
        PODS, namespace, labels=selector, fields=fields, metadata_only=True, page_size=page_size
    )
    async with aclosing(pages):
        async for page in pages:
            views += map(child_view, page.items)
    return views
