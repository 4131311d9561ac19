#!/usr/bin/env bash
# What a machine with an NVIDIA GPU can tell, in one command of at most eight minutes: do the CUDA tests pass, is the
# state of a large lattice that of the CPU, how fast is every workload, with and without each form that only a GPU has,
# does a patch of 1e9 sites run.
#
#   benchmarks/gpu.sh              everything
#   benchmarks/gpu.sh --dry-run    print the stages and their time limits, do nothing
#
# The Python of the system is used as it is where it has all packages; else those of the folder $WHEELS, if it is set, are
# put beside them without a network; else what is missing is installed from the package index into a virtual environment.
#
# Each stage has its own time limit and is noted as passed, failed, timeout or skipped; none stops the others. Written
# into $OUT: <date>-gpu.json (results of `abm bench`), <date>-gpu-forms.json (full rules without each form, which "detail"
# names), <date>-gpu-peers.json (array expressions of CuPy), <date>-gpu-stages.jsonl, <date>-gpu.log.
#
# Environment: OUT (default: benchmarks/results), WHEELS, PYTHON (python3), BUDGET_S (480), HASH_SIZE (480: 1.1e8 sites),
# LARGE_SIZE (1000: 1e9 sites).
set -uo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

dry_run=0
for argument in "$@"; do
    case $argument in
        --dry-run) dry_run=1 ;;
        -h | --help) usage && exit 0 ;;
        *) echo "error: $argument: expected --dry-run or --help" >&2 && exit 2 ;;
    esac
done
for name in BUDGET_S HASH_SIZE LARGE_SIZE; do
    if [[ ! ${!name:-1} =~ ^[1-9][0-9]*$ ]]; then
        echo "error: $name=${!name}: expected a whole number >= 1" >&2 && exit 2
    fi
done
if [[ -n ${WHEELS:-} && ! -d $WHEELS ]]; then
    echo "error: WHEELS=$WHEELS: expected a folder of wheels" >&2 && exit 2
fi

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$(realpath -m "${OUT:-$top/benchmarks/results}")
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
stem=$out/$(date -u +%Y-%m-%d)-gpu
log=$stem.log
stages=$stem-stages.jsonl
if [[ $dry_run == 0 ]]; then
    mkdir -p "$out" && : >"$log" && : >"$stages" || exit 2
fi
budget=${BUDGET_S:-480}
python=$(command -v "${PYTHON:-python3}") || exit 2
worst=0
export PYTHONUNBUFFERED=1 ABM_CACHE_DIR=$work/cache
export PYTHONPATH=$top${PYTHONPATH:+:$PYTHONPATH} # the checkout itself, not an installed copy
cd "$top" || exit 2

# note NAME RESULT SECONDS: write down how a stage went.
note() {
    printf '{"stage": "%s", "result": "%s", "seconds": %s}\n' "$1" "$2" "$3" >>"$stages"
    printf '%-24s %-8s %4s s\n' "$1" "$2" "$3"
    [[ $2 == passed || $2 == skipped ]] || worst=1
}

# stage NAME LIMIT_S COMMAND...: run a command, for at most so long.
stage() {
    local name=$1 limit=$2 left=$((budget - SECONDS)) began=$SECONDS code
    shift 2
    if [[ $dry_run == 1 ]]; then
        printf '%-24s <= %3s s  %s\n' "$name" "$limit" "$*"
        return
    fi
    if ((left < 10)); then
        note "$name" timeout 0
        return
    fi
    printf '\n== %s: %s\n' "$name" "$*" >>"$log"
    timeout --kill-after=5 $((limit < left ? limit : left)) "$@" >>"$log" 2>&1
    code=$?
    case $code in
        0) note "$name" passed $((SECONDS - began)) ;;
        124 | 137) note "$name" timeout $((SECONDS - began)) ;;
        *) note "$name" failed $((SECONDS - began)) ;;
    esac
}

# tool PROGRAM NAME LIMIT_S COMMAND...: a stage that needs a program which may not be here.
tool() {
    if [[ $dry_run == 1 ]] || command -v "$1" >/dev/null; then
        stage "${@:2}"
    else
        note "$2" skipped 0
    fi
}

# The functions below run inside a stage, each in a shell of its own.

# shellcheck disable=SC2329
make_environment() {
    "$python" -c "import $packages" && return
    if [[ -n ${WHEELS:-} ]]; then
        "$python" -m pip install -q --no-index --no-deps --target "$work/site" "$WHEELS"/*.whl
    else
        "$python" -m venv --system-site-packages "$work/venv" || return 1
        "$work/venv/bin/python" -m pip install -q h5py pydantic click tqdm tomli-w pytest hypothesis
    fi
    if [[ -x $work/venv/bin/python ]]; then python=$work/venv/bin/python; fi
    "$python" -c "import cupy, $packages; print('CuPy', cupy.__version__)"
}

# shellcheck disable=SC2329
compare_with_cupy() {
    "$python" -m benchmarks.run --only-peers --peer cupy --backend cuda --repeats 5 --out "$stem-peers.json"
}

export -f make_environment compare_with_cupy
packages='h5py, pydantic, click, tqdm, tomli_w, pytest, hypothesis'
export python work stem packages PYTHONPATH=$PYTHONPATH:$work/site

abm() { stage "$1" "$2" "$python" -m abm "${@:3}"; }

# bench NAME LIMIT_S ARGUMENTS...: `abm bench`, its result kept for merge.
bench() { abm "bench $1" "$2" bench "${@:3}" --out "$work/bench-$1.json"; }

tool nvidia-smi 'gpu' 20 nvidia-smi
stage 'environment' 60 bash -c make_environment
if [[ -x $work/venv/bin/python ]]; then python=$work/venv/bin/python; fi
abm 'doctor' 30 doctor
"$python" -c 'import xdist' 2>/dev/null && parallel=(-n 8) || parallel=()
stage 'tests' 120 env ABM_REQUIRE=cuda "$python" -m pytest -q -m cuda -p no:cacheprovider -p no:benchmark "${parallel[@]}" \
    --continue-on-collection-errors tests/kernels tests/law tests/golden tests/unit/test_bench.py
bench 'hsct-full-large' 60 hsct-full --size 480 --repeats 5 --backend cuda
bench 'homeostasis-large' 60 homeostasis-256 --size 480 --repeats 5 --backend cuda
stage 'same state' 120 "$python" -m benchmarks.same_state aml_hsct "${HASH_SIZE:-480}" 3 cuda host
bench 'marrow-lite-100' 60 marrow-lite --backend cuda
bench 'marrow-lite-256' 60 marrow-lite --size 256 --backend cuda
bench 'hsct-full' 60 hsct-full --backend cuda
bench 'homeostasis-256' 90 homeostasis-256 --backend cuda
bench 'fields' 60 fields --backend cuda
bench 'motile-heavy' 60 motile-heavy --backend cuda
bench 'marrow-lite-large' 150 marrow-lite --size "${LARGE_SIZE:-1000}" --repeats 5 --backend cuda
stage 'peers' 60 bash -c compare_with_cupy
# the machine code must not fuse what the source keeps apart
tool cuobjdump 'fused multiply-add' 60 "$python" -m pytest -q -p no:cacheprovider -p no:benchmark tests/kernels/test_nvrtc.py
tool compute-sanitizer 'sanitizer' 60 compute-sanitizer --error-exitcode 9 "$python" -m abm run aml_hsct --backend cuda --quiet \
    --set 'patch.shape=[24,20,16]' --steps 2 --out "$work/run"
for size in 64 192; do # full rules; in a small patch launches count, in a large one kernels
    stage "forms $size" 60 "$python" -m benchmarks.forms hsct-full $size 10 "$work/forms-$size.json"
done
bench 'host-marrow-lite-100' 60 marrow-lite --backend host
bench 'host-hsct-full' 60 hsct-full --backend host
budget=$((budget > SECONDS + 20 ? budget : SECONDS + 20)) # what was measured must not be lost for want of a second
stage 'merge' 20 "$python" -m benchmarks.merge "$stem.json" "$work"/bench-*.json
stage 'merge forms' 20 "$python" -m benchmarks.merge "$stem-forms.json" "$work"/forms-{64,192}.json

[[ $dry_run == 1 ]] || echo "$SECONDS s; written: $stem.json, $stem-forms.json, $stem-peers.json, $stages, $log"
exit $worst
