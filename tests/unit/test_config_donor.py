"""Who gives the graft: donor and matched HLA alleles choose a row of donors.csv, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from abm import resources
from abm.config import Config, load_config
from abm.config_models import MATCHED
from abm.errors import ConfigError
from abm.model.body.organs import read_donors


def load(folder: Path, patient: str) -> Config:
    path = folder / "case.toml"
    path.write_text(f"[patient]\n{patient}\n", encoding="utf-8")
    return load_config(path)


@pytest.mark.parametrize(
    ("patient", "row"),
    [
        ('donor = "unrelated"', "unrelated"),
        ('donor = "unrelated"\nhla_match = 8', "unrelated"),
        ('donor = "unrelated"\nhla_match = 7', "mismatched"),
        ('donor = "haplo"\nhla_match = 4', "haplo"),
    ],
)
def test_the_match_chooses_the_row(tmp_path: Path, patient: str, row: str) -> None:
    assert load(tmp_path, patient).patient.donor_type == row


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_every_match_has_its_row(species: str) -> None:
    donors = read_donors(resources.folder("scenarios") / "rules" / species)
    assert {row for rows in MATCHED.values() for row in rows.values()} == set(donors)


@pytest.mark.parametrize(
    ("patient", "said"),
    [
        ('donor = "cord"\nhla_match = 3', ">= 4 and <= 8 (of 8), found 3"),
        ('donor = "cord"\nhla_match = 9', ">= 4 and <= 8 (of 8), found 9"),
        ('donor = "sibling"\nhla_match = 7', "8 (of 8) for this donor, found 7"),
        ('donor = "unrelated"\nhla_match = 6', "7 or 8 (of 8) for this donor, found 6"),
    ],
)
def test_a_match_outside_of_what_the_donor_has_is_refused(tmp_path: Path, patient: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, patient)
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(f"{tmp_path}/case.toml:3: patient.hla_match: expected ")
    assert said in str(caught.value)


def test_tissue_without_susceptibility_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"case.toml:2: patient.gvhd_susceptibility: expected a number > 0") as caught:
        load(tmp_path, "gvhd_susceptibility = 0")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("stroma_tenderness", "-1", "expected a number >= 0 and <= 100, found -1"),
        ("stroma_tendernes", "1", "unknown key (did you mean stroma_tenderness?)"),
        (
            "donor_antibodies",
            "1",
            "expected 0 for a donor with the HLA of the patient (or a donor such as mismatched, haplo, cord), found 1",
        ),
        ("t_cells", "0", "expected a number > 0 and <= 10, found 0"),
        ("t_cells", '"few"', 'expected a number > 0 and <= 10, found "few"'),
    ],
)
def test_a_patient_before_the_graft_that_cannot_be(tmp_path: Path, key: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"{key} = {value}")
    assert caught.value.exit_code == 2
    assert str(caught.value) == f"{tmp_path}/case.toml:2: patient.{key}: {said}"
