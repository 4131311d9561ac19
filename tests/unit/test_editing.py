"""Gene-edited grafts: who carries what, what descends from it, what the body makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from abm.cells import HOT, LOSS_ANTIGENS, Antigen, EditBit, Kind, Origin, pack_hot
from abm.config import load_config
from abm.config_graft import Edit
from abm.errors import ConfigError
from abm.model.body.edited import read_transgenes
from abm.model.editing import Product, altered_bits, read_editing
from abm.notes import notes
from abm.setup import load_model
from tests.unit.body_case import tables
from tests.unit.table_case import change, copied

SCENARIO = """[patch]
shape = [24, 24, 24]
[time]
start_day = 0
end_day = 1
[[events]]
day = 0
action = "graft"
source = "edited"
edit = {edit}
"""
CELLS = 40_000
NEUTRAL = {
    "allele_correlation": 0.0,
    "break_engraftment": 1.0,
    "off_target": 0.0,
    "off_target_activation": 0.0,
    "lentiviral_activation": 0.0,
    "gammaretroviral_activation": 0.0,
    "hdr_engraftment": 1.0,
    "hdr_stem_ratio": 0.2,
    "large_deletion": 0.0,
    "translocation": 0.0,
}
SHIFT = {field.name: np.uint32(field.shift) for field in HOT}


def product(
    kind: Kind = Kind.GMP, values: dict[str, float] = NEUTRAL, n: int = CELLS, seed: int = 1, **edit: object
) -> NDArray[np.uint32]:
    """Return the hot words of edited cells of one kind."""
    hot = np.full(n, pack_hot(kind=kind, origin=Origin.DONOR), np.uint32)
    return Product(Edit.model_validate(edit), values, seed, 5, 0)(hot, np.zeros(n, np.uint32))[0]


def edits(hot: NDArray[np.uint32], bit: EditBit) -> NDArray[np.bool_]:
    return (hot >> SHIFT["edits"] >> np.uint32(bit) & np.uint32(1)) != 0


def losses(hot: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return hot >> SHIFT["loss"] & np.uint32((1 << len(LOSS_ANTIGENS)) - 1)


def within(found: NDArray[np.bool_], share: float) -> bool:
    """Whether a share lies within four standard deviations of a binomial draw."""
    return abs(float(found.mean()) - share) <= 4 * np.sqrt(share * (1 - share) / found.size)


@pytest.mark.parametrize("efficiency", [0.0, 0.3, 0.88, 1.0])
def test_alleles_are_cut_independently(efficiency: float) -> None:
    hot = product(locus="CD33", efficiency=efficiency)
    bit = np.uint32(1 << LOSS_ANTIGENS.index(Antigen.CD33))
    assert set(np.unique(losses(hot))) <= {0, bit}
    both, some = losses(hot) == bit, edits(hot, EditBit.EDITED)
    assert within(both, efficiency**2)
    assert within(some, 1 - (1 - efficiency) ** 2)
    assert not (both & ~some).any()
    np.testing.assert_array_equal(hot & np.uint32(0xFF), np.uint32(pack_hot(kind=Kind.GMP, origin=Origin.DONOR)))


def loses(hot: NDArray[np.uint32], antigen: Antigen) -> NDArray[np.bool_]:
    return losses(hot) >> np.uint32(LOSS_ANTIGENS.index(antigen)) & np.uint32(1) != 0


def test_genes_are_cut_independently_but_for_cells_that_take_the_editor_up() -> None:
    """Both alleles of two genes: e^4 of the cells where all draw for themselves, r e + (1 - r) e^4 otherwise."""
    twice = {"locus": "CD33", "also": ["CD123"], "efficiency": 0.7}
    for r in (0.0, 0.8):
        hot = product(values=NEUTRAL | {"allele_correlation": r}, **twice)
        first, second = loses(hot, Antigen.CD33), loses(hot, Antigen.CD123)
        for one in (first, second):
            assert within(one, r * 0.7 + (1 - r) * 0.7**2)
        assert within(first & second, r * 0.7 + (1 - r) * 0.7**4)
        assert within(edits(hot, EditBit.EDITED), r * 0.7 + (1 - r) * (1 - 0.3**4))


def test_a_second_gene_leaves_the_first_as_it_is() -> None:
    one, two = (product(locus="CD33", efficiency=0.7, also=also) for also in ([], ["CCR5"]))
    np.testing.assert_array_equal(loses(one, Antigen.CD33), loses(two, Antigen.CD33))
    assert not loses(one, Antigen.CCR5).any()


def test_each_gene_adds_its_breaks() -> None:
    broken = NEUTRAL | {"break_engraftment": 0.8}
    two = product(Kind.HSC, broken, locus="CD33", also=["CD123"], efficiency=1.0)
    assert two.size == pytest.approx(CELLS * 0.8**4, rel=0.02)


def test_an_enhancer_needs_both_alleles_and_loses_no_antigen() -> None:
    hot = product(locus="ENHANCER", efficiency=0.8)
    assert within(edits(hot, EditBit.ENHANCER), 0.64)
    assert not losses(hot).any()


def test_a_gene_is_added_where_a_cut_is_repaired_from_the_template() -> None:
    """Stem cells do so five times less; the switch comes with the gene."""
    for kind, ratio in ((Kind.GMP, 1.0), (Kind.HSC, 0.2)):
        hot = product(kind, locus="TRANSGENE", efficiency=0.8, hdr=0.5, receptor="TCR_TRANSGENE", switch=True)
        carries = edits(hot, EditBit.TRANSGENE)
        assert within(carries, 1 - (1 - 0.4 * ratio) ** 2)
        np.testing.assert_array_equal(carries, edits(hot, EditBit.SWITCH))
        assert within(edits(hot, EditBit.EDITED), 1 - 0.2**2)


def test_a_large_deletion_takes_an_inserted_copy_along() -> None:
    gene = {"locus": "TRANSGENE", "efficiency": 1.0, "hdr": 0.5, "receptor": "TCR_TRANSGENE"}
    hot = product(values=NEUTRAL | {"large_deletion": 1.0}, **gene)
    assert within(edits(hot, EditBit.TRANSGENE), 0.25)


def test_vector_copies_are_a_poisson_number() -> None:
    hot = product(locus="TRANSGENE", vcn=1.5, receptor="TCR_TRANSGENE")
    assert within(edits(hot, EditBit.TRANSGENE), 1 - np.exp(-1.5))


def test_what_editing_costs() -> None:
    """Stem cells with a template repair lodge less; a translocation kills edited cells only."""
    cut = {"locus": "CD33", "efficiency": 0.5}
    half = NEUTRAL | {"translocation": 0.5}
    assert product(values=half, **cut).size == pytest.approx(CELLS * (0.25 + 0.75 * 0.5), rel=0.02)
    assert within(edits(product(values=half, **cut), EditBit.EDITED), 0.375 / 0.625)
    slow = NEUTRAL | {"hdr_engraftment": 0.5, "hdr_stem_ratio": 1.0}
    hdr = {"locus": "CD33", "efficiency": 1.0, "hdr": 1.0}
    assert product(Kind.HSC, slow, **hdr).size == pytest.approx(CELLS / 2, rel=0.03)
    assert product(Kind.GMP, slow, **hdr).size == CELLS
    broken = NEUTRAL | {"break_engraftment": 0.5}
    assert product(Kind.HSC, broken, **(hdr | {"hdr": 0.0})).size == pytest.approx(CELLS / 4, rel=0.05)
    assert product(Kind.GMP, broken, **(hdr | {"hdr": 0.0})).size == CELLS


def test_seed_and_graft_decide_who_is_edited() -> None:
    one, again, other = (product(locus="CD33", efficiency=0.5, seed=seed, n=200) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            '{ locus = "CD33", efficiency = 1.2 }',
            r"case.toml:10: events\[0\].edit.efficiency: expected a number >= 0 and <= 1, found 1.2",
        ),
        (
            '{ locus = "CD32", efficiency = 0.5 }',
            r"edit.locus: expected an antigen with a loss bit, TRANSGENE or ENHANCER, found .CD32. \(did you mean CD33",
        ),
        ('{ locus = "CD33" }', "edit: expected exactly one of efficiency, vcn; found none"),
        (
            '{ locus = "TRANSGENE", efficiency = 0.5, vcn = 1, switch = true }',
            "exactly one of efficiency, vcn; found both",
        ),
        (
            '{ locus = "CD33", efficiency = 0.5, switch = true }',
            'vcn, receptor and switch with locus = "TRANSGENE" only; found "CD33"',
        ),
        ('{ locus = "TRANSGENE", vcn = 1 }', "receptor or switch: what the transgene is; found none"),
        ('{ locus = "TRANSGENE", efficiency = 0.5, switch = true }', "hdr > 0: a cut adds a gene only where"),
        (
            '{ locus = "TRANSGENE", vcn = 1, receptor = "TCR" }',
            r"edit.receptor: expected a receptor class of transgenes.csv, found \"TCR\"",
        ),
        (
            '{ locus = "TRANSGENE", vcn = 1, switch = true, activation = 2 }',
            r"edit.activation: expected a number >= 0 and <= 1, found 2",
        ),
        (
            '{ locus = "TRANSGENE", vcn = 1, switch = true, vector = "retroviral" }',
            r"edit.vector: .*found .retroviral.",
        ),
        (
            '{ locus = "CD33", efficiency = 0.5, activation = 0.1 }',
            "edit: expected vector and activation with vcn only",
        ),
        (
            '{ locus = "CD33", efficiency = 0.5, also = ["CD20"] }',
            r"edit.also: expected antigens with a loss bit, other than the locus, found .*; it holds CD20",
        ),
        (
            '{ locus = "CD33", efficiency = 0.5, also = ["CD33"] }',
            r"edit.also: expected antigens with a loss bit, other than the locus, found .*; it holds CD33",
        ),
        (
            '{ locus = "CD33", efficiency = 0.5, also = ["CCR5", "CCR5"] }',
            r"edit.also: expected each antigen once",
        ),
        (
            '{ locus = "ENHANCER", efficiency = 0.5, also = ["CCR5"] }',
            r"edit: expected also with an antigen as the locus only; found \"ENHANCER\"",
        ),
        ('"CD33"', r"events\[0\].edit: expected a table, found \"CD33\""),
        ('{ locus = "CD33", efficient = 0.5 }', r"edit.efficient: unknown key \(did you mean efficiency\?\)"),
    ],
)
def test_wrong_edits_are_one_line(tmp_path: Path, edit: str, message: str) -> None:
    path = tmp_path / "case.toml"
    path.write_text(SCENARIO.format(edit=edit))
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_shipped_tables_are_read(species: str) -> None:
    found = tables(species)
    assert 0 < found.editing["hdr_stem_ratio"] < 1
    assert all(0 <= share <= 1 for kinds in found.transgenes.values() for share in kinds.values())


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        (
            "editing.csv",
            "hdr_stem_ratio,0.2",
            "hdr_stem_ratio,1.2",
            "value: expected a number >= 0 and <= 1, found '1.2'",
        ),
        (
            "editing.csv",
            "hdr_stem_ratio,0.2",
            "hdr_stem,0.2",
            r"unknown name 'hdr_stem' \(did you mean hdr_stem_ratio\?\)",
        ),
        ("editing.csv", "large_deletion,0.03,fraction", "large_deletion,0.03,%", "expected in 'fraction', found '%'"),
        ("transgenes.csv", "CD8_NAIVE,0.9", "CD8_NAIVE,1.9", "share: expected a number >= 0 and <= 1"),
        (
            "transgenes.csv",
            "TCR_TRANSGENE,CD8_MEMORY",
            "TCR_TRANSGENE,CD8_NAIVE",
            "CD8_NAIVE of TCR_TRANSGENE stands twice",
        ),
        ("transgenes.csv", "TCR_TRANSGENE,CD8_MEMORY", "TCR_TRANSGENE,HSC", "unknown name 'HSC'"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, table: str, old: str, new: str, message: str) -> None:
    folder = copied(tmp_path)
    line = change(folder, table, old, new)
    with pytest.raises(ConfigError, match=message) as caught:
        read_editing(folder) and read_transgenes(folder)
    assert str(caught.value).startswith(f"{folder / table}:{line}: ")


def test_bits_that_an_edit_sets() -> None:
    assert altered_bits(Edit(locus="CCR5", efficiency=0.5)) == pack_hot(loss=1 << LOSS_ANTIGENS.index(Antigen.CCR5))
    both = Edit(locus="CCR5", also=("CD33",), efficiency=0.5)
    assert altered_bits(both) == sum(altered_bits(Edit(locus=name, efficiency=0.5)) for name in ("CCR5", "CD33"))
    assert altered_bits(Edit(locus="ENHANCER", efficiency=0.5)) == pack_hot(edits=1 << EditBit.ENHANCER)


@pytest.mark.parametrize(("locus", "said"), [("BCMA", True), ("CD33", False), ("HOST_MINOR_HAEMATOPOIETIC", True)])
def test_a_gene_that_no_cell_expresses_is_noted(tmp_path: Path, locus: str, said: bool) -> None:
    path = tmp_path / "case.toml"
    path.write_text(SCENARIO.format(edit=f'{{ locus = "{locus}", efficiency = 0.5 }}'))
    message = f"{path}:10: events[0].edit.locus: no cell of the graft shows {locus} (expression.csv, origins.csv)"
    assert any(note.startswith(message) for note in notes(load_config(path))) == said


@pytest.mark.parametrize(
    ("edit", "more", "said"),
    [
        ('{ locus = "CCR5", efficiency = 0.5 }', "", "10: events[0].edit.locus: only HIV enters by CCR5"),
        (
            '{ locus = "CD33", also = ["CCR5"], efficiency = 0.5 }',
            "",
            "10: events[0].edit.locus: only HIV enters by CCR5",
        ),
        (
            '{ locus = "CD33", efficiency = 0.5 }',
            "ccr5_null = 1.0\n",
            "11: events[0].ccr5_null: only HIV enters by CCR5",
        ),
        (
            '{ locus = "TRANSGENE", vcn = 1, receptor = "TCR_TRANSGENE", lineage = "myeloid" }',
            "",
            "10: events[0].edit.lineage: no cell in which a promoter of lineage myeloid works shows TCR_TRANSGENE",
        ),
    ],
)
def test_what_changes_nothing_in_this_patient_is_noted(tmp_path: Path, edit: str, more: str, said: str) -> None:
    path = tmp_path / "case.toml"
    path.write_text(SCENARIO.format(edit=edit) + more)
    assert any(note.startswith(f"{path}:{said}") for note in notes(load_config(path)))
    if "CCR5" in said:
        path.write_text(path.read_text() + '[patient]\ninfection = "hiv"\n')
    else:
        path.write_text(path.read_text().replace("TCR_TRANSGENE", "CAR_CD19"))
    assert not [note for note in notes(load_config(path)) if "events[0].edit" in note or "ccr5" in note]


def test_grafts_of_one_donor_are_edited_alike(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    first, second = (SCENARIO.format(edit=f'{{ locus = "{locus}", efficiency = 0.5 }}') for locus in ("CD33", "CCR5"))
    other = second[second.index("[[events]]") :]
    path.write_text(first + other)
    message = (
        r"case.toml:15: events\[1\].edit: expected the edit of the earlier graft of the first donor, found another"
    )
    with pytest.raises(ConfigError, match=message):
        load_model(load_config(path))
    path.write_text(first + other + 'donor = "second"\n')
    assert len(load_model(load_config(path)).config.events) == 2


def test_a_switch_needs_a_graft_that_carries_one(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    thrown = '[[events]]\nday = 0.5\naction = "switch"\n'
    path.write_text(SCENARIO.format(edit='{ locus = "CD33", efficiency = 0.5 }') + thrown)
    message = r"case.toml:13: events\[1\].action: expected an earlier graft with edit.switch = true, found none"
    with pytest.raises(ConfigError, match=message):
        load_model(load_config(path))
    path.write_text(SCENARIO.format(edit='{ locus = "TRANSGENE", vcn = 1, switch = true }') + thrown)
    (dose,) = (dose for doses in load_model(load_config(path)).schedule for dose in doses if dose.kind == "switch")
    assert dose.amount == tables().editing["switch_kill"]
