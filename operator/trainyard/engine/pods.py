"""All pods the operator may see, indexed once per event by owner, by name of the job and by node.

Kept incrementally: what each node's pods use, which nodes carry foreign accelerator pods, and, for each owner, how many
pods are live, unbound and not ready. It decides nothing; it only tells what an event changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import TypeVar

from trainyard.model.views import Key, PodView, Resources

_K = TypeVar("_K", Key, str)
_C = TypeVar("_C", str, int)
_ONE_POD: Resources = (("pods", 1),)
_content = attrgetter(*(f.name for f in fields(PodView) if f.name not in ("resource_version", "spec_hash")))


@dataclass(slots=True)
class Gang:
    """The pods of one owner. `collected` holds the last states of deleted ones that its status has not outlived."""

    pods: dict[str, PodView] = field(default_factory=dict)
    collected: dict[str, PodView] = field(default_factory=dict)
    news: int = 0
    """Grows with everything about a pod of the current attempt that is more than a matter of counting."""
    live: int = 0
    unbound: int = 0
    unready: int = 0


@dataclass(slots=True, eq=False)
class PodChange:
    """What one event did. `settled` says that a count of its owner that people wait for reached zero. Never changed,
    but not frozen: every event makes one, and a frozen one costs three times as much to make."""

    before: PodView | None
    after: PodView | None
    freed: bool = False
    """A node has more room than before."""
    settled: bool = False
    vacated: bool = False
    """So did that of its live pods, or of the unbound ones: jobs other than its own may wait for that."""
    shared: frozenset[str] = frozenset()
    """Nodes that got their first foreign accelerator pod, or lost their last."""


class PodTable:
    """Owned by the store; one event costs the same at ten pods and at ten thousand."""

    def __init__(self, accelerators: Iterable[str]) -> None:
        self.pods: dict[str, PodView] = {}
        self.gangs: dict[str, Gang] = {}
        self.usage: dict[str, Mapping[str, int]] = {}
        """Values are replaced, never changed: a shallow copy is a snapshot."""
        self.resident: dict[str, Mapping[str, int]] = {}
        """The part of it that is there for as long as its node."""
        self.host_ports: dict[str, frozenset[int]] = {}
        self._port_users: dict[str, dict[int, int]] = {}
        self.foreign: dict[str, int] = {}
        self._owners_by_name: dict[Key, dict[str, int]] = {}
        self._left_behind: dict[Key, dict[str, int]] = {}
        """Job's name → UIDs of the pods that carry it and that nobody owns."""
        self._owners_by_node: dict[str, dict[str, int]] = {}
        self._accelerators = set(accelerators)

    def upsert(self, view: PodView) -> PodChange | None:
        """Take in a newer state; None where it tells nothing new."""
        before = self.pods.get(view.uid)
        if before is not None:
            if view.resource_version <= before.resource_version:
                return None
            if before.failed_version:
                view = replace(view, failed_version=before.failed_version, undisturbed=before.undisturbed)
            if view.ready == before.ready and _content(view) == _content(before):
                self._renew(view)
                return None
        view = _first_seen_ended(view)
        self.pods[view.uid] = view
        freed, shared = self._count_usage(before, view)
        settled, vacated = self._index(before, view)
        return PodChange(before, view, freed, settled, vacated, shared)

    def disown(self, uid: str) -> None:
        """Its owner turned out not to be one: from here on it is a stranger."""
        before = self.pods[uid]
        after = self.pods[uid] = owned_by_nobody(before)
        self._count_usage(before, after)
        self._index(before, after)

    def _renew(self, view: PodView) -> None:
        """Only its version moved: somebody wrote what nobody here looks at."""
        self.pods[view.uid] = view
        if view.job_uid:
            self.gangs[view.job_uid].pods[view.uid] = view

    def delete(self, uid: str, final: PodView | None) -> PodChange | None:
        """It is gone. Its last state is kept as collected; the final object does not overwrite an exit seen before."""
        before = self.pods.pop(uid, None)
        if before is None:
            return None
        freed, shared = self._count_usage(before, None)
        settled, vacated = self._index(before, None)
        last = before
        if final is not None and not before.exited:
            last = _first_seen_ended(final)
        if before.job_uid:
            self.gangs.setdefault(before.job_uid, Gang()).collected[uid] = last
        return PodChange(before, None, freed, settled, vacated, shared)

    def gang(self, owner: str) -> Gang:
        """The pods of one owner; empty for an unknown one, and then not kept."""
        return self.gangs.get(owner) or Gang()

    def note_news(self, owner: str) -> None:
        gang = self.gangs.get(owner)
        if gang is not None:
            gang.news += 1

    def forget_collected(self, owner: str, before_attempt: int | None) -> None:
        """Drop last states of attempts before that one; of all attempts where None."""
        gang = self.gangs.get(owner)
        if gang is None or not gang.collected:
            return
        gang.collected = {
            uid: pod
            for uid, pod in gang.collected.items()
            if before_attempt is not None and pod.incarnation >= before_attempt
        }
        self._drop_if_empty(owner, gang)

    def owners_named(self, key: Key) -> Iterable[str]:
        """UIDs of the owners of pods whose label names this job."""
        return self._owners_by_name.get(key, ())

    def left_behind(self, key: Key) -> list[PodView]:
        """Pods that a job of this name left to nobody."""
        return [self.pods[uid] for uid in self._left_behind.get(key, ())]

    def all_left_behind(self) -> Iterable[PodView]:
        """Those of every name."""
        return (self.pods[uid] for uids in self._left_behind.values() for uid in uids)

    def owners_on(self, node: str) -> tuple[str, ...]:
        """UIDs of the owners of pods bound to this node."""
        return tuple(self._owners_by_node.get(node, ()))

    @property
    def accelerators(self) -> frozenset[str]:
        """Resources that count as accelerators."""
        return frozenset(self._accelerators)

    def learn_accelerators(self, names: Iterable[str]) -> None:
        """Resources that count as accelerators; a new one has the foreign pods counted again."""
        new = set(names) - self._accelerators
        if not new:
            return
        self._accelerators |= new
        self.foreign.clear()
        for pod in self.pods.values():
            if self._is_foreign(pod):
                _bump(self.foreign, pod.node, 1)

    # indices

    def _index(self, before: PodView | None, after: PodView | None) -> tuple[bool, bool]:
        for pod, by in ((before, -1), (after, 1)):
            if pod is not None and pod.left_behind:
                self._count_owner(self._left_behind, Key(pod.namespace, pod.job), pod.uid, by)
        owner_before = before.job_uid if before is not None else ""
        owner_after = after.job_uid if after is not None else ""
        reached = _NOTHING_REACHED
        if before is not None and owner_before != owner_after:
            if owner_before:
                reached = self._leave(owner_before, before)
            before = None
        if owner_after and after is not None:
            reached = self._join(owner_after, before, after)
        return reached

    def _join(self, owner: str, before: PodView | None, after: PodView) -> tuple[bool, bool]:
        gang = self.gangs.get(owner)
        if gang is None:
            gang = self.gangs[owner] = Gang()
        gang.pods[after.uid] = after
        if before is None or before.job != after.job:
            if before is not None:
                self._count_owner(self._owners_by_name, Key(before.namespace, before.job), owner, -1)
            self._count_owner(self._owners_by_name, Key(after.namespace, after.job), owner, 1)
        node_before = before.node if before is not None else ""
        if after.node != node_before:
            if node_before:
                self._count_owner(self._owners_by_node, node_before, owner, -1)
            if after.node:
                self._count_owner(self._owners_by_node, after.node, owner, 1)
        return _recount(gang, before, after)

    def _leave(self, owner: str, before: PodView) -> tuple[bool, bool]:
        gang = self.gangs[owner]
        del gang.pods[before.uid]
        self._count_owner(self._owners_by_name, Key(before.namespace, before.job), owner, -1)
        if before.node:
            self._count_owner(self._owners_by_node, before.node, owner, -1)
        reached = _recount(gang, before, None)
        self._drop_if_empty(owner, gang)
        return reached

    def _drop_if_empty(self, owner: str, gang: Gang) -> None:
        if not gang.pods and not gang.collected:
            self.gangs.pop(owner, None)

    @staticmethod
    def _count_owner(index: dict[_K, dict[str, int]], at: _K, owner: str, by: int) -> None:
        owners = index.setdefault(at, {})
        _bump(owners, owner, by)
        if not owners:
            del index[at]

    # capacity

    def _count_usage(self, before: PodView | None, after: PodView | None) -> tuple[bool, frozenset[str]]:
        """Move the pod's share from where it was to where it is: whether some node got room, and which nodes came to
        be shared with strangers or ceased to be."""
        place_before = _place(before) if before is not None else ""
        place_after = _place(after) if after is not None else ""
        if place_before == place_after and (not place_after or _counts_alike(before, after)):
            return False, frozenset()
        strangers: dict[str, int] = {}
        if before is not None and place_before:
            self._add_usage(place_before, before, -1)
            if self._is_foreign(before):
                _bump(strangers, before.node, -1)
        if after is not None and place_after:
            self._add_usage(place_after, after, 1)
            if self._is_foreign(after):
                _bump(strangers, after.node, 1)
        shared = frozenset(node for node, by in strangers.items() if self.foreign.get(node, 0) in (0, -by))
        for node, by in strangers.items():
            _bump(self.foreign, node, by)
        return bool(place_before), shared

    def _add_usage(self, node: str, pod: PodView, sign: int) -> None:
        _add(self.usage, node, pod.resources, sign)
        if pod.resident:
            _add(self.resident, node, pod.resources, sign)
        if pod.host_ports:
            self._use_ports(node, pod.host_ports, sign)

    def _use_ports(self, node: str, ports: tuple[int, ...], sign: int) -> None:
        users = self._port_users.setdefault(node, {})
        for port in ports:
            _bump(users, port, sign)
        if users:
            self.host_ports[node] = frozenset(users)
        else:
            del self._port_users[node], self.host_ports[node]

    def _is_foreign(self, pod: PodView) -> bool:
        if pod.job_uid or not pod.node or pod.terminal:
            return False
        return any(value > 0 and name in self._accelerators for name, value in pod.resources)


def owned_by_nobody(pod: PodView) -> PodView:
    """The pod as a stranger: it takes room, and belongs to no job."""
    return replace(pod, job="", job_uid="", left_behind="")


def _counts_alike(before: PodView | None, after: PodView | None) -> bool:
    """Neither what it uses nor whether it is a stranger has changed."""
    if before is None or after is None:
        return False
    return (
        before.resources == after.resources
        and before.host_ports == after.host_ports
        and before.resident == after.resident
        and bool(before.job_uid) == bool(after.job_uid)
        and bool(before.node) == bool(after.node)
    )


def _first_seen_ended(pod: PodView) -> PodView:
    """Note the first sight of its end, and whether somebody was deleting or evicting it by then."""
    if not pod.exited or pod.failed_version:
        return pod
    calm = pod.deletion is None and pod.disruption == ""
    return replace(pod, failed_version=pod.resource_version, undisturbed=calm)


def _place(pod: PodView) -> str:
    """The node on which the scheduler counts it: until a terminating pod is gone, it is there."""
    return "" if pod.terminal else pod.node or pod.nominated


def _add(usage: dict[str, Mapping[str, int]], node: str, resources: Resources, sign: int) -> None:
    used = dict(usage.get(node, {}))
    for name, value in (*resources, *_ONE_POD):
        _bump(used, name, sign * value)
    if used:
        usage[node] = used
    else:
        usage.pop(node, None)


def _bump(counts: dict[_C, int], name: _C, by: int) -> None:
    value = counts.get(name, 0) + by
    if value:
        counts[name] = value
    else:
        counts.pop(name, None)


_NOTHING_REACHED = (False, False)


def _recount(gang: Gang, before: PodView | None, after: PodView | None) -> tuple[bool, bool]:
    """Keep the owner's counts: whether one of them has just reached zero, and whether that is one that others await."""
    live = _live(after) - _live(before)
    unbound = _unbound(after) - _unbound(before)
    unready = _unready(after) - _unready(before)
    gang.live += live
    gang.unbound += unbound
    gang.unready += unready
    vacated = (live < 0 and gang.live == 0) or (unbound < 0 and gang.unbound == 0)
    return vacated or (unready < 0 and gang.unready == 0), vacated


def _live(pod: PodView | None) -> int:
    return int(pod is not None and not pod.terminal)


def _unbound(pod: PodView | None) -> int:
    return int(pod is not None and not pod.terminal and not pod.node)


def _unready(pod: PodView | None) -> int:
    return int(pod is not None and not pod.terminal and not pod.ready)
