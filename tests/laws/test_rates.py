"""Published rates and claims: each row says where it is from and what it counts."""

import re

from cmcore.theory import AS_OF, CAVEAT, CLAIMS, NOT_A_QUERY, RATES, claimed_rate, least_queries

OURS = "2505.01049"


def test_every_row_can_be_looked_up():
    for rate in RATES:
        assert re.fullmatch(r"\d{4}\.\d{5}", rate.arxiv)
        assert str(rate.year) in rate.work
        assert rate.basis in {"abstract", "recalled"}


def test_consistency_works_count_calls_of_the_model_and_the_others_of_the_score():
    for rate in RATES:
        assert (rate.counts == "model calls") == ("consistency" in rate.work)
    assert "calls of a model" in CAVEAT
    assert "calls of a score" in CAVEAT


def test_a_lower_bound_says_that_it_is_one_and_claims_say_when_they_were_made():
    below = [rate for rate in RATES if rate.iterations.startswith("at least")]
    assert [rate.arxiv for rate in below] == ["2604.10857"]
    assert least_queries(10_000) == 100
    assert "not a query" in NOT_A_QUERY
    (best,) = (claim.says for claim in CLAIMS if claim.key == "C5")
    assert AS_OF in best


def test_the_papers_two_rates_are_rows_of_the_table_and_what_its_claims_say():
    ours = [rate for rate in RATES if rate.arxiv == OURS]
    assert ours == [claimed_rate(smooth=True), claimed_rate(smooth=False)]
    says = {claim.key: claim.says for claim in CLAIMS}
    for key, rate in zip(("C2", "C3"), ours, strict=True):
        assert rate.iterations in says[key]
    assert list(says) == ["C1", "C2", "C3", "C4", "C5"]
