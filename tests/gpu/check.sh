#!/usr/bin/env bash
# All that needs a GPU, in under nine minutes from a cold start: tests/gpu/check.sh FOLDER.
#
# Each step has a limit and leaves a file in FOLDER when it ends, so that a stop keeps what was found.
# Runs with the python3 of the machine. PACKAGES names a folder with what that one lacks (as from
# `pip install --target`); without pyautoattack in it the comparison with the reference is skipped.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:?usage: tests/gpu/check.sh FOLDER}
mkdir -p "$out"
export PYTHONPATH="$PWD${PACKAGES:+:$PACKAGES}" PYTHONUNBUFFERED=1
failed=0

step() { # name, seconds, command
    local name=$1 limit=$2
    shift 2
    printf '== %s\n' "$name"
    timeout "$limit" "$@" >"$out/$name.part" 2>&1
    local code=$?
    echo "exit $code" >>"$out/$name.part"
    mv "$out/$name.part" "$out/$name.txt"
    tail -n 5 "$out/$name.txt"
    [ "$code" -eq 0 ] || failed=1
}

step machine 20 python3 -c 'import torch; print(torch.__version__, torch.cuda.get_device_name())'
step tests 150 python3 -m pytest -p no:cacheprovider tests/gpu -s
step parity 200 python3 -m superdef_bench verify autoattack --limit 256 --device cuda \
    -o "$out/parity" --no-third-party
step cost 120 python3 -m superdef_bench cost superdef rcan edsr mustafa --size 224 --seconds 4 \
    --batch-size 64 --mode eager --mode channels_last+bf16+compiled --mode cuda_graphs --device cuda
exit "$failed"
