"""The comparison itself: patients are simulated by plan until every row is settled or the budget is spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from abm.validation import cases, looks, score, work
from abm.validation.cases import Case
from abm.validation.patient import Result
from abm.validation.protocols import Protocol
from abm.validation.score import Row
from abm.validation.targets import Catalogue, Target

NOT_REACHED = "not reached within the budget"
#: Takes what a look asks for; returns what is told how far it is.
Teller = Callable[["Look"], work.Tell]


@dataclass(frozen=True)
class Size:
    """How large cohorts may be.

    Attributes:
        quick: small patches and short runs.
        seeds: patients of each cohort, instead of a plan.
        budget_min: processor minutes of all patients, by estimate.
    """

    quick: bool = False
    seeds: int | None = None
    budget_min: float | None = None

    @property
    def budget_s(self) -> float:
        """Processor time of all patients, by estimate."""
        if self.budget_min is not None:
            return 60.0 * self.budget_min
        return 60.0 * looks.QUICK_MIN if self.quick and not self.seeds else inf

    def most(self, protocol: Protocol) -> int:
        """Return how many patients a cohort may have; a stated budget alone limits those of ``--quick``."""
        if self.seeds:
            return self.seeds
        return protocol.quick_seeds if self.quick and self.budget_min is None else protocol.seeds


@dataclass(frozen=True)
class Look:
    """What one look asks for.

    Attributes:
        number: from 1 on.
        later_s: processor time of all that may still be asked for after it, about.
    """

    number: int
    later_s: float


@dataclass
class Cohorts:
    """The cohorts that some targets need; their patients are made when they are asked for."""

    catalogue: Catalogue
    wanted: Sequence[Target]
    size: Size
    members: dict[str, list[Case]] = field(default_factory=dict)
    plan: looks.Plan = field(init=False)

    def __post_init__(self) -> None:
        """Make the first patient of each: what does not fit is told before the work.

        Raises:
            ConfigError: an override or prior does not fit the scenario.
        """
        protocols = self.catalogue.protocols
        names = score.needed(self.wanted, protocols)
        self.members = {name: [] for name in names}
        most = {name: self.size.most(protocols[name]) for name in names}
        self.up_to({name: min(1, n) for name, n in most.items()})
        work_s = {name: members[0].work_s for name, members in self.members.items() if members}
        self.plan = looks.Plan(most, work_s, self.size.budget_s)

    def up_to(self, sizes: Mapping[str, int]) -> list[Case]:
        """Return the first patients of every cohort."""
        for name, n in sizes.items():
            members, protocol = self.members[name], self.catalogue.protocols[name]
            members += cases.cases(name, protocol, quick=self.size.quick, seeds=n, first=len(members) + 1)
        return [case for name, n in sizes.items() for case in self.members[name][:n]]

    def scored(
        self, found: Mapping[Case, Result], sizes: Mapping[str, int]
    ) -> tuple[list[Row], dict[str, list[Result]]]:
        """Return a row for every target, and the results by protocol."""
        results = {name: [found[case] for case in self.members[name][:n]] for name, n in sizes.items()}
        return [score.score(target, results) for target in self.wanted], results

    def later_s(self, now: Mapping[str, int]) -> float:
        """Return the processor time of all that may still be asked for after a look, about."""
        whole = min(self.plan.spent_s(self.plan.most), self.plan.budget_s)
        return max(whole - self.plan.spent_s(now), 0.0)


def compare(
    cohorts: Cohorts, store: work.Store, workers: work.Workers, teller: Teller
) -> tuple[list[Row], dict[str, list[Result]]]:
    """Simulate what the targets need; return a row for each, and the results of all patients by protocol."""
    plan, fixed = cohorts.plan, cohorts.size.seeds is not None
    now, number = dict.fromkeys(plan.most, 0), 0
    rows, results = cohorts.scored({}, now)
    while (following := dict(plan.most) if fixed else plan.grown(rows, now)) != now:
        number += 1
        now = following
        tell = teller(Look(number, cohorts.later_s(now)))
        rows, results = cohorts.scored(work.run_all(cohorts.up_to(now), store, workers, tell), now)
    return [_explained(row, now) for row in rows], results


def _explained(row: Row, sizes: Mapping[str, int]) -> Row:
    """Return a row that says so if a cohort of it was not simulated, or else how many patients would decide it."""
    unreached = not row.reason and any(sizes[name] == 0 for name in row.target.cohorts)
    return replace(row, reason=NOT_REACHED) if unreached else replace(row, would_do=looks.would_do(row))
