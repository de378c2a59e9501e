"""The plan of a seed."""

from lab.cycle import OFF_S, plan

SERVERS = ["router", "storage1", "compute1"]


def test_a_seed_gives_the_same_plan_again_and_more_rounds_go_on_from_fewer() -> None:
    first = list(plan(7, SERVERS, 20))
    assert first == list(plan(7, SERVERS, 30))[:20]
    assert first != list(plan(8, SERVERS, 20))


def test_every_server_has_its_turn_within_the_times() -> None:
    cuts = list(plan(1, SERVERS, 200))
    assert {cut.server for cut in cuts} == set(SERVERS)
    assert all(OFF_S[0] <= cut.seconds <= OFF_S[1] for cut in cuts)
