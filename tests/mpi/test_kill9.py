"""Ranks killed at any moment, one or all, lose nothing: the run goes on to the state of an undisturbed one.

Half of the moments come after a random delay. The others lie inside the writing of a checkpoint: a rank holds still
when it is about to touch a file under its temporary name, and is killed there.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from abm import io
from tests.conftest import find_backend
from tests.mpi.launches import PATIENCE_S, abm, kill, last_word, launch, started

pytestmark = pytest.mark.mpi

N_MOMENTS, N_BY_DEFAULT = 50, 8
BACKENDS = [name for name in ("host", "numpy") if find_backend(name)[0] is not None]
SCENARIO = """
seed = 11
[patch]
shape = [15, 8, 9]
[time]
start_day = -1
end_day = 0.25
[patient]
disease = "aml"
blast_fraction = 0.3
donor = "haplo"
[output]
series_h = 1
checkpoint_h = 2
keep = 1
[[events]]
day = -0.5
action = "graft"
source = "blood"
cd34_per_kg = 2e8
cd3_per_kg = 2e9
"""
#: What happens to a file on its way, in order: it is opened, opened again to be synced, and given its name.
OPENED, WRITTEN, SYNCED = 0, 1, 2
#: The program, holding still when the temporary file of ``name`` is touched for the n-th time.
STILL = f"""
import json, os, runpy, sys, time
name, count, place = sys.argv.pop(1), int(sys.argv.pop(1)), sys.argv.pop(1)
seen = []
def watch(event, values):
    if event not in ("open", "os.rename") or not isinstance(values[0], (str, bytes, os.PathLike)):
        return
    file = os.path.basename(os.fsdecode(values[0]))
    if not (file.startswith(name + ".") and file.endswith(".tmp")):
        return
    seen.append(event)
    if len(seen) == count:
        with open(place + ".new", "w") as file:
            json.dump(dict(pid=os.getpid(), event=event), file)
        os.rename(place + ".new", place)
        time.sleep({PATIENCE_S})
sys.addaudithook(watch)
runpy.run_module("abm", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Moment:
    """When ranks are killed, which, and how the run goes on; all drawn at random, the same every time."""

    ranks: int
    all_die: bool
    backend: str
    delay: float  #: as a share of the time of a whole run
    file: str  #: empty: after the delay
    checkpoint: int
    progress: int
    next_ranks: int
    next_backend: str

    @classmethod
    def draw(cls, number: int) -> Moment:
        """Return one of the moments."""
        rng = random.Random(number)
        ranks = rng.choice((2, 3))
        files = [*(f"shard-{rank:05d}.h5" for rank in range(ranks)), "body.h5", "manifest.json"]
        return cls(
            ranks=ranks,
            all_die=rng.random() < 0.5,
            backend=rng.choice(BACKENDS),
            delay=rng.random(),
            file=rng.choice(files) if number % 2 else "",
            checkpoint=rng.randrange(3),
            progress=rng.choice((OPENED, WRITTEN, SYNCED)),
            next_ranks=rng.choice((1, 2, 3)),
            next_backend=rng.choice(BACKENDS),
        )


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("scenario") / "kill.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def undisturbed(scenario: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    """Return the final hash, and how long two ranks take, s."""
    began = time.monotonic()
    out = str(tmp_path_factory.mktemp("whole") / "run")
    return last_word(abm(2, "run", scenario, "--quiet", "--out", out)), time.monotonic() - began


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[pytest.mark.slow] * (n >= N_BY_DEFAULT)) for n in range(N_MOMENTS)]
)
def test_a_killed_run_goes_on(scenario: str, undisturbed: tuple[str, float], tmp_path: Path, number: int) -> None:
    moment, (whole, duration_s) = Moment.draw(number), undisturbed
    out = tmp_path / "run"
    command = ["run", scenario, "--quiet", "--out", str(out), "--backend", moment.backend]
    if moment.file:
        die_while_writing(moment, command, tmp_path / "still")
        assert half_written(out, moment), "the moment was not inside the writing of a checkpoint"
    else:
        die_after(moment, command, moment.delay * duration_s)
    again = ["resume", str(out), "--set", "output.checkpoint_h=24"]
    if not (out / "config.toml").exists():  # killed before there was a run
        again = ["run", scenario, "--out", str(out)]
    done = abm(moment.next_ranks, *again, "--quiet", "--backend", moment.next_backend)
    assert last_word(done) == whole, f"{moment}\n{done.stderr}"
    path, _ = io.newest_good(out)
    assert io.verify(path) == []
    assert not list(out.rglob("*.tmp"))


def die_while_writing(moment: Moment, command: list[str], place: Path) -> None:
    """Kill the rank that holds still at a file, or all ranks while it does."""
    count = 3 * moment.checkpoint + moment.progress + 1
    program = ["-c", STILL, moment.file, str(count), str(place)]
    with started(launch(moment.ranks, *command, program=program)) as process:
        end = time.monotonic() + PATIENCE_S
        while not place.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.002)
        found = json.loads(place.read_text(encoding="utf-8"))
        assert found["event"] == ("os.rename" if moment.progress == SYNCED else "open")
        victims = process.ranks()
        assert len(victims) == moment.ranks
        assert found["pid"] in victims
        kill(victims if moment.all_die else [found["pid"]])
        process.await_end()
        assert process.wait() != 0


def half_written(out: Path, moment: Moment) -> bool:
    """Whether a checkpoint without its manifest is there, and in it the file under its temporary name, if begun."""
    torn = [path for path in out.glob("checkpoint-*") if not (path / "manifest.json").exists()]
    begun = list(out.glob(f"checkpoint-*/{moment.file}.*.tmp"))
    return len(torn) == 1 and len(begun) == (moment.progress != OPENED)


def die_after(moment: Moment, command: list[str], delay_s: float) -> None:
    """Kill one rank or all after a delay; a run that has ended by then is done again and killed earlier."""
    killed = False
    while not killed:
        with started(launch(moment.ranks, *command, "--overwrite")) as process:
            time.sleep(delay_s)
            if process.poll() is None:
                victims = process.ranks() or [process.pid]  # the launcher, while it has not launched any
                kill(victims if moment.all_die else random.Random(len(victims)).sample(victims, 1))
                process.await_end()
                killed = process.wait() != 0
        delay_s *= 0.5
