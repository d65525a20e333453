"""Is what the user required still required once ours is laid over it?"""

from launch.builders import node_affinity
from trainyard.launch.affinity import among, avoiding, keeps_apart, pinned, together
from trainyard.model.podspec import node_terms, pinned_node


def test_terms_that_match_nothing_do_not_begin_to_match() -> None:
    assert pinned(node_affinity({}), "n") == node_affinity({})
    zone = {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}
    assert len(node_terms(pinned(node_affinity({}, zone), "n"))) == 1


def test_an_empty_selector_says_nothing_too() -> None:
    assert pinned_node(node_terms(pinned({"nodeAffinity": {}}, "n"))) == "n"


def test_no_nodes_to_avoid_is_no_wish() -> None:
    assert avoiding({}, ()) == {}
    assert avoiding({}, ["x" * 64]) == {}


def test_owned_nodes_are_asked_for_in_every_term() -> None:
    zones = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]} for zone in ("a", "b")]
    terms = node_terms(among(node_affinity(*zones), [("pool", "training")]))
    assert [[(r.key, r.values) for r in term] for term in terms] == [
        [("zone", ("a",)), ("pool", ("training",))],
        [("zone", ("b",)), ("pool", ("training",))],
    ]
    assert among({}, ()) == {}


def test_no_topology_is_no_wish() -> None:
    assert together({}, {"a": "b"}, "", "") == {}
    assert together({"podAffinity": {}}, {"a": "b"}, "", "") == {"podAffinity": {}}


def test_no_anti_affinity_keeps_nobody_apart() -> None:
    assert not keeps_apart({}, {"a": "b"})
