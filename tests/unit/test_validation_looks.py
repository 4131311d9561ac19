"""Who is simulated within a budget: strong rows first, never more than it holds, and the same patients everywhere."""

from __future__ import annotations

import json
from math import inf, isinf, nan
from pathlib import Path

import pytest
from scipy import stats as oracle

from abm.validation import looks, score, targets
from abm.validation import statistics as stats
from abm.validation.cases import Case
from tests.unit.validation_case import PROTOCOLS, TARGET, asked_for, run, write

MICE = TARGET.replace("O04", "O07").replace('"human"', '"mouse"').replace('"adults"', '"mice"').replace("= 3", "= 2")


def row(name: str, cohort: str, weight: int = 3, *, n: int = 0, ci: tuple[float, float] | None = None,
        **changes: object) -> score.Row:  # fmt: skip
    stated = {
        "id": name, "what": "x", "species": "human", "weight": weight, "source": "x", "status": "read", "unit": "%",
        "protocol": cohort, "observable": "anc", "statistic": "mean", "band": [4, 6],
    }  # fmt: skip
    target = targets.Target.model_validate(stated | changes, context={"observables": list(targets.registry())})
    assert target.band is not None
    estimate = stats.Estimate(nan if ci is None else sum(ci) / 2, ci, n)
    return score.Row(target, stats.verdict(estimate, target.band), "", estimate)


def plan(budget_s: float = inf, most: int = 12, **work_s: float) -> looks.Plan:
    return looks.Plan(dict.fromkeys(work_s, most), work_s, budget_s)


def test_strong_rows_come_first_and_the_budget_holds() -> None:
    rows = [row("O01", "a", 2), row("O02", "b", 3), row("O03", "c", 3)]
    shared = plan(10.0, a=1.0, b=1.0, c=2.0)
    nobody = {"a": 0, "b": 0, "c": 0}
    first = shared.grown(rows, nobody)
    assert first == {"a": 0, "b": 3, "c": 3}, "9 of 10 s"
    assert shared.grown(rows[::-1], nobody) == first
    wide = [rows[0], *(row(f"O0{k}", cohort, n=3, ci=(1.0, 9.0)) for k, cohort in ((2, "b"), (3, "c")))]
    assert shared.grown(wide, first) == first, "nothing costs 1 s"
    large = plan(16.0, a=1.0, b=1.0, c=2.0)
    seen = large.grown(wide, first)
    assert seen == {"a": 3, "b": 3, "c": 3}, "every row is looked at before any is looked at closely"
    assert large.grown(wide, seen) == {"a": 3, "b": 6, "c": 3}, "the cheaper one"


def test_without_a_budget_all_rows_grow_together() -> None:
    rows = [row("O01", "a", 2, statistic="median"), row("O02", "b", 3, n=3, ci=(1.0, 9.0))]
    assert plan(a=1.0, b=9.0).grown(rows, {"a": 0, "b": 3}) == {"a": 6, "b": 6}
    assert plan(most=5, a=1.0, b=9.0).grown(rows, {"a": 0, "b": 3}) == {"a": 5, "b": 5}
    assert plan(most=5, a=1.0, b=9.0).grown(rows, {"a": 5, "b": 5}) == {"a": 5, "b": 5}, "complete"


def test_settled_rows_take_nothing_and_decided_ones_come_last() -> None:
    inside, outside, edge = (row("O01", "a", n=3, ci=ci) for ci in ((4.5, 5.5), (7.0, 9.0), (3.9, 5.1)))
    for settled in (inside, outside):
        assert plan(a=1.0).grown([settled], {"a": 3}) == {"a": 3}
    assert plan(a=1.0).grown([edge], {"a": 3}) == {"a": 6}
    weak = row("O02", "b", 1)
    assert plan(100.0, a=1.0, b=1.0).grown([edge, weak], {"a": 3, "b": 0}) == {"a": 3, "b": 3}


def test_a_cohort_grows_no_further_than_the_interval_asks() -> None:
    """From an interval of 2.6 by 10 patients to one of 2.0: 16, less than twice as many."""
    wide = row("O01", "a", n=10, ci=(3.7, 6.3))
    assert plan(100.0, 60, a=1.0).grown([wide], {"a": 10}) == {"a": 16}
    for n, holds in ((16, True), (15, False)):
        factor = oracle.t.ppf(0.975, n - 1) / n**0.5 / (oracle.t.ppf(0.975, 9) / 10**0.5)
        assert (2.6 * factor <= 2.0) == holds


def test_rows_out_of_reach_come_last() -> None:
    """A band of 3 % around 97 to 100 needs 125 patients, all of them hits."""
    share = {"statistic": "share", "band": [97, 100]}
    far, weak = row("O01", "a", 3, **share), row("O02", "b", 1)
    assert looks.fewest_for_share((97.0, 100.0), far.estimate, 200) == 125
    for n, narrow in ((125, True), (124, False)):
        ci = stats.share(n, n).ci
        assert ci is not None
        assert (ci[1] - ci[0] <= 3.0) == narrow
    assert isinf(looks.fewest_for_share((97.0, 100.0), far.estimate, 124))
    assert plan(100.0, a=1.0, b=1.0).grown([far, weak], {"a": 0, "b": 0}) == {"a": 0, "b": 3}
    assert plan(100.0, a=1.0, b=1.0).grown([far, weak], {"a": 0, "b": 12}) == {"a": 6, "b": 12}


def test_a_row_whose_first_patients_give_nothing_grows_like_others() -> None:
    """Platelets that never fell have no day of recovery; those of the next patients may."""
    nothing, weak = row("O01", "a", 3), row("O02", "b", 1)
    shared = plan(100.0, a=1.0, b=1.0)
    assert shared.grown([nothing, weak], {"a": 3, "b": 0}) == {"a": 3, "b": 3}, "first looks come first"
    wide = row("O02", "b", 2, n=3, ci=(1.0, 9.0))
    assert shared.grown([nothing, wide], {"a": 3, "b": 3}) == {"a": 6, "b": 3}, "before weaker rows"
    assert shared.grown([nothing], {"a": 12}) == {"a": 12}, "no further than the whole cohort"


def test_an_undecided_row_says_how_many_would_do() -> None:
    """A mean with an interval of 4 by 100 patients, a band of 2: four times as many but for the quantile."""
    wide = row("O01", "a", n=100, ci=(3.0, 7.0))
    assert looks.would_do(wide) == pytest.approx(400 * (stats.Z95 / oracle.t.ppf(0.975, 99)) ** 2, abs=1.0)
    assert looks.would_do(row("O01", "a", n=100, ci=(4.5, 5.5))) is None, "decided"
    assert looks.would_do(row("O01", "a")) is None
    assert looks.would_do(row("O01", "a", n=10, ci=(4.0, inf))) is None
    share = score.Row(row("O01", "a", statistic="share", band=[40, 60]).target, "undecided", "", stats.share(5, 10))
    needed = looks.would_do(share)
    assert needed == 93
    for n, narrow in ((needed, True), (needed - 3, False)):
        ci = stats.share(n // 2, n).ci
        assert ci is not None
        assert (ci[1] - ci[0] <= 20.0) == narrow


def test_shipped_cohorts_can_decide_their_rows() -> None:
    """Whole ones are large enough for the narrowest interval of a strong share; those of --quick for any interval."""
    catalogue = targets.read_catalogue()
    modelled = [wanted for wanted in catalogue.targets if not wanted.not_modelled]
    for wanted in modelled:
        sizes = {name: catalogue.protocols[name] for name in wanted.cohorts}
        quick, whole = ({name: getattr(p, key) for name, p in sizes.items()} for key in ("quick_seeds", "seeds"))
        ranks = wanted.contrast or wanted.statistic in ("median", "correlation")
        if ranks and all(quick.values()):
            own = sum(quick[name] for name in wanted.protocol)
            assert min(own, quick.get(wanted.reference, own)) >= looks.FIRST_OF_RANKS, wanted.name
        strong = wanted.statistic == "share" and wanted.weight == 3
        if strong and wanted.band and wanted.band[1] > wanted.band[0]:
            own = sum(whole[name] for name in wanted.protocol)
            assert not isinf(looks.fewest_for_share(wanted.band, stats.NOTHING, own)), wanted.name


# ---------------------------------------------------------------------------------------------- the command


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    return asked_for(monkeypatch)


def test_what_the_budget_does_not_reach_is_listed(tmp_path: Path, asked: list[Case]) -> None:
    folder = write(tmp_path, MICE + TARGET)
    assert run(folder, "--check").exit_code == 0
    need_s = sum(case.work_s for case in _patients(folder, "adults", 3))
    result = run(folder, "--budget", str(need_s / 60 * 1.01))
    assert result.exit_code == 0, result.output
    assert [case.protocol for case in asked] == ["adults"] * 3
    assert "undecided, not reached within the budget: O07.anc" in result.stdout
    document = json.loads((tmp_path / "out" / "validation.json").read_text())
    found = {entry["id"]: entry for entry in document["targets"]}
    assert (found["O07"]["result"], found["O07"]["n"], found["O07"]["reason"]) == (
        "undecided", 0, "not reached within the budget",
    )  # fmt: skip
    assert (document["totals"]["rows"], document["totals"]["in_band"]) == (2, 1), "it counts as a row"
    how = document["how"]
    assert (how["patients"], how["cpu_s"]) == (3, 3.0)
    assert how["estimated_s"] == pytest.approx(need_s, abs=0.06)
    assert "not reached within the budget" in (tmp_path / "out" / "validation.html").read_text()


def _patients(folder: Path, name: str, seeds: int) -> list[Case]:
    from abm.validation import cases

    return cases.cases(name, targets.read_catalogue(folder).protocols[name], quick=False, seeds=seeds)


def test_check_says_what_it_takes_and_writes_nothing(tmp_path: Path, asked: list[Case]) -> None:
    result = run(write(tmp_path, MICE + TARGET), "--check", "--budget", "0.001")
    assert result.exit_code == 0
    assert result.stdout.startswith("2 cohorts; complete they have 6 patients: about ")
    assert "budget 0.001 min of processor time" in result.stdout
    assert not asked
    assert not (tmp_path / "out").exists()


def test_a_budget_lifts_the_number_of_quick_patients(tmp_path: Path, asked: list[Case]) -> None:
    folder = write(tmp_path, TARGET.replace("[2, 7]", "[3.3, 3.5]"), PROTOCOLS.replace("seeds = 3", "seeds = 5", 1))
    run(folder, "--quick")
    assert len(asked) == 2
    run(folder, "--quick", "--budget", "1000")
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--budget", "0"], "Invalid value for '--budget'"),
        (["--budget", "5", "--seeds", "3"], "--budget: expected without --seeds"),
    ],
)
def test_wrong_budgets_are_one_line(tmp_path: Path, asked: list[Case], args: list[str], words: str) -> None:
    result = run(write(tmp_path), *args)
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not asked
    assert not (tmp_path / "out").exists()
