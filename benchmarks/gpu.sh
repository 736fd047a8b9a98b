#!/usr/bin/env bash
# What a borrowed GPU should run, each part in one call that loses nothing when it is cut off.  docs/gpu.md explains it.
#
#   OUT=results benchmarks/gpu.sh check     # tests marked cuda, then the sweep: under five minutes
#   OUT=results benchmarks/gpu.sh tables    # the other benchmarks: two minutes
#   OUT=results RUN=run PACK=faces.pack benchmarks/gpu.sh train    # trains, saves and ends; again: goes on
#   OUT=results RUN=run benchmarks/gpu.sh finish    # half-precision weights
#
# Results go into OUT.  RUN (with the caches beside it) must outlast a call.  PRESET, MINUTES, COMPILE and TRAIN (more
# options of lomit train) choose the run, IMAGES names a folder of images to translate, EACH the seconds that a benchmark
# may take, PYTHON the interpreter; WHEELS names a folder of wheels to install first, for a machine without a package
# index.
set -euo pipefail
cd "$(dirname "$0")/.."

stage=${1:-check}
out=${OUT:-gpu}
run=${RUN:-runs/gpu}
python=${PYTHON:-python3}
preset=${PRESET:-celeba-all-quick}
minutes=${MINUTES:-9}
mode=${COMPILE:-auto}
mkdir -p "$out" "$run"
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
# Beside the run, so that a second call finds its images decoded and its kernels compiled.
export LOMIT_CACHE="${LOMIT_CACHE:-$run/cache}" TORCHINDUCTOR_CACHE_DIR="${TORCHINDUCTOR_CACHE_DIR:-$run/kernels}"

if [ -n "${WHEELS:-}" ]; then
    site=$(mktemp -d)
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl
    export PYTHONPATH="$PYTHONPATH:$site"
fi
lomit() { "$python" -m lomit "$@"; }

check() {
    {
        "$python" -c 'import sys, torch; print(sys.version.split()[0], torch.__version__, torch.version.cuda)'
        command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
        command -v gcc || echo "no gcc: torch.compile will not work"
    } 2>&1 | tee "$out/machine.txt"
    # A failing test must not keep the measurements from being made; its time is bounded, too.
    mapfile -t files < <(grep -rlE 'mark\.cuda' tests)
    timeout "${TESTS:-120}" "$python" -m pytest -m cuda -q -p no:cacheprovider "${files[@]}" 2>&1 |
        tail -n 40 | tee "$out/tests.txt" || echo "tests failed or took too long; see $out/tests.txt"
    lomit bench sweep --preset "${SWEEP_PRESET:-celeba-hair-smile}" --minutes "${SWEEP_MINUTES:-2.5}" \
        --rounds 5 --json "$out/sweep.json" --overwrite ${SWEEP:-} 2>&1 | tee "$out/sweep.txt"
}

tables() {
    measure step --preset "$preset" --compile graphs
    measure r1 --limit-gib 20
    if [ -n "${PACK:-}" ]; then measure data --preset "$preset" --root "$PACK" --compile graphs; fi
    if [ -n "${IMAGES:-}" ]; then measure translate --model avatars --batch-size 64 --images "$IMAGES" --against plain; fi
}

# One that takes too long must not cost the others.
measure() {
    timeout "${EACH:-60}" "$python" -m lomit bench "$@" --rounds 5 --json "$out/bench-$1.json" --overwrite 2>&1 |
        tee "$out/bench-$1.txt" || echo "bench $1 failed or took too long"
}

train() {
    local resume=()
    if [ -e "$run/checkpoints/latest" ]; then resume=(--resume); fi
    lomit train "$preset" ${PACK:+--data.root "$PACK" --data.kind pack} --out "$run" "${resume[@]}" \
        --train.max-minutes "$minutes" --train.compile "$mode" ${TRAIN:-} 2>&1 | tee -a "$out/train.txt"
    cp "$run/log.jsonl" "$run/config.json" "$out/"
    find "$run/samples" -name '*.png' | sort | tail -n 1 | xargs -r -I{} cp {} "$out/"
}

finish() {
    lomit weights "$run" --out "$out/weights" --half --overwrite
}

case "$stage" in
check | tables | train | finish) "$stage" ;;
*) echo "unknown part '$stage': check, tables, train or finish" >&2; exit 2 ;;
esac
