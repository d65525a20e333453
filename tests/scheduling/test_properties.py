"""What must hold for every cluster and every queue: judged by plain arithmetic, not by the scheduler's own parts."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.builders import GPU, NOW, POLICY, Cluster, Gang, decide, make_cluster, make_gang, node
from trainyard.model.cluster import NOTHING_AVOIDED, Avoided, Decision, GangRequest, RoleRequest
from trainyard.model.views import NodeReady, NodeView, Taint, Toleration

TAINT = Taint("dedicated", "x", "NoSchedule")
TOLERATION = Toleration("dedicated", "Exists")


@st.composite
def nodes(draw: st.DrawFn, name: str) -> NodeView:
    return node(
        name,
        gpus=draw(st.sampled_from((0, 4, 8))),
        cpu=draw(st.sampled_from(("16", "64"))),
        rack=draw(st.sampled_from(("", "r1", "r2", "r3"))),
        block=draw(st.sampled_from(("", "b1", "b2"))),
        pods=draw(st.sampled_from((2, 110))),
        labels={"pool": draw(st.sampled_from("xy"))},
        ready=draw(st.sampled_from((NodeReady.TRUE,) * 6 + (NodeReady.FALSE, NodeReady.UNKNOWN))),
        unschedulable=draw(st.sampled_from((False,) * 6 + (True,))),
        taints=draw(st.sampled_from(((), (), (), (TAINT,)))),
    )


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    names = [f"n{i}" for i in range(draw(st.integers(1, 9)))]
    cluster = make_cluster().nodes(*(draw(nodes(name)) for name in names)).priority("high", 10)
    for name in names:
        if draw(st.booleans()):
            cluster = cluster.used(name, gpus=draw(st.integers(0, 8)), cpu=draw(st.integers(0, 16)) * 1000)
    if draw(st.booleans()):
        cluster = cluster.reserved(draw(st.sampled_from(names)), draw(st.integers(1, 8)))
    for name in draw(st.sets(st.sampled_from(names), max_size=2)):
        cluster = cluster.ports(name, 29501)
    return cluster


@st.composite
def gangs(draw: st.DrawFn, name: str, roles: int = 2) -> Gang:
    gang = make_gang(
        name,
        age=draw(st.integers(0, 7200)),
        priority_class=draw(st.sampled_from(("", "", "high"))),
        required_level=draw(st.sampled_from(("", "", "rack", "block", "host"))),
        preferred_level=draw(st.sampled_from(("", "rack"))),
        duration_bound=draw(st.sampled_from((None, None, 60.0, 4000.0))),
        avoid=draw(st.sampled_from((NOTHING_AVOIDED, Avoided(frozenset({"n1"})), Avoided(away=frozenset({"n1"}))))),
        not_before=draw(st.sampled_from((0.0, 0.0, 0.0, NOW + 5))),
    )
    for role in range(draw(st.integers(1, roles))):
        gang = gang.role(
            f"role-{role}",
            draw(st.integers(1, 5)),
            gpus=draw(st.sampled_from((0, 1, 4, 8))),
            cpu=draw(st.sampled_from(("1", "8", "32"))),
            node_selector=draw(st.sampled_from(((), (), (("pool", "x"),)))),
            tolerations=draw(st.sampled_from(((), (TOLERATION,)))),
            spread_hosts=draw(st.sampled_from((False, False, True))),
            host_ports=draw(st.sampled_from(((), (), (29500,)))),
            coordinator_ports=draw(st.sampled_from(((), (), (29501,)))),
        )
    if draw(st.booleans()):
        ranks = st.integers(0, gang.request.size - 1)
        kept = draw(st.dictionaries(ranks, st.sampled_from(("n0", "n1", "n2", "gone"))))
        gang = gang.having(keep=kept, held_until=NOW + draw(st.sampled_from((-1.0, 60.0))))
    return gang


@st.composite
def queues(draw: st.DrawFn) -> list[Gang]:
    return [draw(gangs(f"j{i}")) for i in range(draw(st.integers(1, 6)))]


def role_of(request: GangRequest, rank: int) -> RoleRequest:
    return next(r for r in request.roles if r.first_rank <= rank < r.first_rank + r.replicas)


def suits(role: RoleRequest, view: NodeView) -> bool:
    """By the job's wish and the node's health."""
    return (
        all(view.labels.get(k) == v for k, v in role.node_selector)
        and (not view.taints or TOLERATION in role.tolerations)
        and view.ready is NodeReady.TRUE
        and not view.unschedulable
    )


def holds(role: RoleRequest, view: NodeView) -> bool:
    """One pod fits when nothing else runs."""
    have = dict(view.allocatable)
    return suits(role, view) and all(value <= have.get(name, 0) for name, value in role.resources)


def placed(decision: Decision, queue: list[Gang]) -> list[tuple[GangRequest, RoleRequest, str]]:
    requests = {g.request.uid: g.request for g in queue}
    return [
        (requests[g.uid], role_of(requests[g.uid], rank), name)
        for g in decision.grants
        for rank, name in enumerate(g.nodes)
    ]


@given(clusters(), queues())
@settings(max_examples=300, deadline=None)
def test_every_job_gets_exactly_one_outcome_and_its_whole_gang_or_nothing(cluster: Cluster, queue: list[Gang]) -> None:
    decision = decide(cluster, *queue)
    sizes = {g.request.uid: g.request.size for g in queue}
    assert sorted(sizes) == sorted([g.uid for g in decision.grants] + [r.uid for r in decision.refusals])
    assert all(len(g.nodes) == sizes[g.uid] and all(g.nodes) for g in decision.grants)
    assert all(r.message and r.reason for r in decision.refusals)


@given(clusters(), queues())
@settings(max_examples=300, deadline=None)
def test_no_node_is_ever_given_more_than_it_has_free(cluster: Cluster, queue: list[Gang]) -> None:
    snapshot = cluster.snapshot
    wanted: dict[str, Counter[str]] = {}
    for _, role, name in placed(decide(cluster, *queue), queue):
        wanted.setdefault(name, Counter()).update(dict(role.resources))
        wanted[name]["pods"] += 1
    for name, total in wanted.items():
        free = Counter(dict(snapshot.nodes[name].allocatable))
        free.subtract(dict(snapshot.usage.get(name, {})))
        for reservation in snapshot.reservations:
            if reservation.node == name:
                free.subtract({**dict(reservation.resources), "pods": 1})
        assert all(value <= free[resource] for resource, value in total.items()), (name, total, free)


@given(clusters(), queues())
@settings(max_examples=300, deadline=None)
def test_only_suitable_nodes_levels_ports_and_spread_are_respected(cluster: Cluster, queue: list[Gang]) -> None:
    decision = decide(cluster, *queue)
    views = cluster.snapshot.nodes
    for request, role, name in placed(decision, queue):
        assert holds(role, views[name])
        assert name not in request.avoid.failed
    labels = dict(POLICY.levels)
    requests = {g.request.uid: g.request for g in queue}
    for grant in decision.grants:
        level = requests[grant.uid].required_level
        if level:
            wider = [label for name, label in POLICY.levels if POLICY.levels.index((name, label)) <= _at(level)]
            assert len({tuple(views[n].labels.get(label) for label in wider) for n in grant.nodes}) == 1
            assert all(views[n].labels.get(labels[level]) for n in grant.nodes)
    ports = Counter((name, port) for name, used in cluster.snapshot.host_ports.items() for port in used)
    for grant in decision.grants:
        for role in requests[grant.uid].roles:
            for index, name in enumerate(grant.nodes[role.first_rank : role.first_rank + role.replicas]):
                ports.update((name, port) for port in role.ports_of(index))
    assert all(count == 1 for count in ports.values())
    spread = Counter((r.uid, role.name, name) for r, role, name in placed(decision, queue) if role.spread_hosts)
    assert all(count == 1 for count in spread.values())


def _at(level: str) -> int:
    return [name for name, _ in POLICY.levels].index(level)


@given(clusters(), queues(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_arrival_changes_nothing(cluster: Cluster, queue: list[Gang], chance: random.Random) -> None:
    first = decide(cluster, *queue)
    shuffled = list(queue)
    chance.shuffle(shuffled)
    views = list(cluster.snapshot.nodes.items())
    chance.shuffle(views)
    again = Cluster(replace(cluster.snapshot, nodes=dict(views)))
    assert decide(again, *shuffled) == first


@given(clusters(), queues())
@settings(max_examples=150, deadline=None)
def test_time_alone_changes_no_message(cluster: Cluster, queue: list[Gang]) -> None:
    first, later = decide(cluster, *queue), decide(cluster, *queue, now=NOW + 0.5)
    if [g.uid for g in first.grants] == [g.uid for g in later.grants]:
        assert later.refusals == first.refusals


@given(clusters(), queues())
@settings(max_examples=300, deadline=None)
def test_whoever_passes_a_waiting_job_ends_in_time_or_stands_elsewhere(cluster: Cluster, queue: list[Gang]) -> None:
    """A passer that may last too long stands on no node where the waiting job, alone on healthy nodes, could stand.

    Judged for waiting jobs without a required level: there every node that holds one of their pods is useful to them.
    """
    decision = decide(cluster, *queue)
    waiting = {r.uid for r in decision.refusals if r.reason.value in ("InsufficientCapacity", "BehindOtherJob")}
    queue = sorted(queue, key=lambda g: (-10 * bool(g.request.priority_class), g.request.queued, g.request.key))
    order = [g.request for g in queue]
    for ahead in (r for r in order if r.uid in waiting and not r.required_level):
        useful = {n for n, v in cluster.snapshot.nodes.items() if any(holds(role, v) for role in ahead.roles)}
        behind = {r.uid for r in order[order.index(ahead) + 1 :]}
        if not could_ever_start(cluster, ahead):
            continue
        for grant in (g for g in decision.grants if g.uid in behind):
            bound = next(r for r in order if r.uid == grant.uid).duration_bound
            in_time = bound is not None and NOW + bound <= ahead.queued + POLICY.backfill_bound
            assert in_time or not useful & set(grant.nodes), (ahead.key, grant)


def could_ever_start(cluster: Cluster, request: GangRequest) -> bool:
    """On the healthy nodes, were they empty."""
    bare = Cluster(replace(cluster.snapshot, usage={}, reservations=()))
    free = replace(request, avoid=NOTHING_AVOIDED, not_before=0.0, keep={})
    return bool(decide(bare, Gang(free)).grants)


@given(clusters(), gangs("head", roles=1), nodes("extra"))
@settings(max_examples=300, deadline=None)
def test_more_capacity_never_turns_a_grant_into_a_refusal(cluster: Cluster, gang: Gang, extra: NodeView) -> None:
    if decide(cluster, gang).grants:
        assert decide(cluster.nodes(extra), gang).grants
        name = next(iter(cluster.snapshot.nodes))
        grown = {k: v * 2 for k, v in cluster.snapshot.nodes[name].allocatable}
        assert decide(cluster.change(name, allocatable=tuple(sorted(grown.items()))), gang).grants


@given(clusters(), gangs("head", roles=1))
@settings(max_examples=300, deadline=None)
def test_one_role_is_refused_only_where_its_pods_cannot_all_stand(cluster: Cluster, gang: Gang) -> None:
    """Alone in the queue and without topology, or ports that all of them take, the answer is exact."""
    role = replace(gang.request.roles[0], host_ports=())
    request = replace(gang.request, roles=(role,), required_level="", not_before=0.0)
    room, coordinates = 0, not role.coordinator_ports
    for name, view in cluster.snapshot.nodes.items():
        if name in request.avoid.failed or not suits(role, view):
            continue
        free = Counter(dict(view.allocatable))
        free.subtract(dict(cluster.snapshot.usage.get(name, {})))
        for reservation in cluster.snapshot.reservations:
            free.subtract({**dict(reservation.resources), "pods": 1} if reservation.node == name else {})
        fit = max(0, min(free[k] // v for k, v in {**dict(role.resources), "pods": 1}.items()))
        room += min(fit, 1) if role.spread_hosts else fit
        coordinates |= fit > 0 and name not in cluster.snapshot.host_ports
    assert bool(decide(cluster, Gang(request)).grants) == (room >= role.replicas and coordinates)


@given(clusters(), gangs("again", roles=1))
@settings(max_examples=300, deadline=None)
def test_a_gang_that_was_just_placed_is_placed_there_again(cluster: Cluster, gang: Gang) -> None:
    """Every rank healthy: nobody moves; one rank lost: the others stay if the whole fits around them."""
    for given_ in decide(cluster, gang).grants:
        where = dict(enumerate(given_.nodes))
        assert decide(cluster, gang.having(keep=where)).grants[0].nodes == given_.nodes
        rest = {rank: name for rank, name in where.items() if rank}
        after = decide(cluster, gang.having(keep=rest)).grants[0].nodes
        assert after[1:] == given_.nodes[1:]


@given(clusters(), queues())
@settings(max_examples=150, deadline=None)
def test_held_nodes_go_to_nobody_behind(cluster: Cluster, queue: list[Gang]) -> None:
    """What the holder kept still fits after the round, if it fitted before and nobody was ahead of it."""
    holder = make_gang("holder", age=9000, priority_class="high", not_before=NOW + 9, held_until=NOW + 60)
    spot = next((n for n, v in cluster.snapshot.nodes.items() if v.ready is NodeReady.TRUE and not v.taints), "")
    holder = holder.workers(1, gpus=1, cpu="1").kept(spot)
    ready = holder.having(not_before=0.0)
    if not spot or not decide(cluster, ready).grants or decide(cluster, ready).grants[0].nodes != (spot,):
        return
    decision = decide(cluster, holder, *queue)
    after = cluster
    for _, role, name in placed(decision, queue):
        wants = dict(role.resources)
        after = after.used(name, gpus=wants.get(GPU, 0), cpu=wants.get("cpu", 0))
    assert decide(after, ready).grants[0].nodes == (spot,)
