#!/bin/bash
# What a careless user does: one clear message, exit 2, and nothing on disk is harmed.
. "$(dirname "$0")/lib.sh"
cfg() { sed "$1" "$tiny" >"$work/c.yaml"; }

cfg 's/updates/updtes/';              expect 2 "did you mean.*updates\|updates" "$cox" train "$work/c.yaml" --out "$work/x" -j 1
cfg 's/updates: 60/updates: many/';    expect 2 "c.yaml:4" "$cox" train "$work/c.yaml" --out "$work/x" -j 1
cfg 's/updates: 60/updates: -6/';      expect 2 "updates" "$cox" train "$work/c.yaml" --out "$work/x" -j 1
cfg 's/family: nqm/family: nqn/';     expect 2 "nqm" "$cox" train "$work/c.yaml" --out "$work/x" -j 1
cfg 's/family: nqm/family: text/';    expect 2 "text" "$cox" train "$work/c.yaml" --out "$work/x" -j 1
cfg 's/tasks:/tasks: [/';             expect 2 "c.yaml" "$cox" train "$work/c.yaml" --out "$work/x" -j 1
expect 2 "none.yaml" "$cox" train "$work/none.yaml" --out "$work/x" -j 1
expect 2 "out" "$cox" train "$tiny" -j 1
expect 2 "resume" "$cox" train "$tiny" --out "$work/x" --resme
expect 2 "train" "$cox" trian
expect 2 "no more than" "$cox" train "$tiny" --out "$work/x" -j 100000
expect 2 "--out DIR: the value is empty" "$cox" train "$tiny" --out "" -j 1
expect 2 "updtes" "$cox" train "$tiny" --out "$work/x" --set updtes=3
[ -e "$work/x" ] && fail "a refused run left a folder behind"
# check tells all the faults, not the first one
cfg 's/updates: 60/updates: -6/; s/seed: 5/sed: 5/'
"$cox" check "$work/c.yaml" >"$work/log" 2>&1
[ $? = 2 ] && grep -q updates "$work/log" && grep -q sed "$work/log" || fail "check: $(cat "$work/log")"

# what is held out for evaluation is not trained on by accident, whatever its data
cfg 's/family: nqm/family: gpt2/; /inner_per_outer\|dimension\|conditioning\|noise/d'
expect 2 "tasks.0 (gpt2).*held out.*allow_held_out" "$cox" train "$work/c.yaml" --out "$work/x" -j 1
expect 2 "tasks.0 (gpt2).*data.gpt2 is empty" "$cox" train "$work/c.yaml" --out "$work/x" -j 1 --set allow_held_out=true --set tasks.0.vocabulary=256
expect 2 "heads" "$cox" check "$work/c.yaml" --set data.gpt2="$root/README.md" --set tasks.0.vocabulary=256 --set tasks.0.heads=7

# data: missing, truncated, wrong magic
images=/usr/share/datasets/fashion-mnist
cat >"$work/i.yaml" <<Y
updates: 1
data: {fashion_mnist: $work/data}
tasks: [{family: images, outer_steps: 2, resolution: 7, width: 4}]
Y
mkdir "$work/data"
expect 2 "$work/data" "$cox" train "$work/i.yaml" --out "$work/x" -j 1
if [ -e $images/train-images-idx3-ubyte.gz ]; then
    cp $images/*.gz "$work/data/"
    truncate -s 100000 "$work/data/train-images-idx3-ubyte.gz"
    expect 2 "train-images-idx3-ubyte.gz" "$cox" check "$work/i.yaml"
    cp $images/train-labels-idx1-ubyte.gz "$work/data/train-images-idx3-ubyte.gz"
    expect 2 "magic" "$cox" check "$work/i.yaml"
else
    echo "skip: no Fashion-MNIST in $images"
fi

# the batch scripts' variables
batch() { env -u SLURM_JOB_ID COXSWAIN_HOME="$root" "$@" bash "$root/slurm/train.sbatch" "$tiny" "$work/x"; }
expect 2 "COXSWAIN_MARGIN=2m: want a whole number" batch COXSWAIN_MARGIN=2m
expect 2 "COXSWAIN_REQUEUES=no: want a whole number" batch COXSWAIN_REQUEUES=no
expect 2 "want mpirun or srun" batch COXSWAIN_LAUNCHER=aprun
expect 2 "$work/nowhere/slurm/job.sh" batch COXSWAIN_HOME="$work/nowhere"

# a run's folder: not overwritten, not resumed with another configuration, locked
"$cox" train "$tiny" --out "$work/run" -j 1 --set updates=2 >/dev/null 2>&1 || fail "train"
sum() { (cd "$work/run" && find . -type f ! -name lock -exec md5sum {} + | sort); }
before=$(sum)
expect 2 "resume" "$cox" train "$tiny" --out "$work/run" -j 1
expect 2 "seed" "$cox" train "$tiny" --out "$work/run" --resume -j 1 --set seed=9
expect 2 "not the folder of a run" "$cox" train "$tiny" --out "$here" --resume -j 1
expect 2 "not the folder of a run" "$cox" status "$work"
# what cannot be written, and what is not to be replaced by a file
expect 1 "is a folder" "$cox" report "$work/run" --to "$work/run/checkpoints"
expect 1 "$work/none/m.csv" "$cox" export "$work/run" --csv "$work/none/m.csv"
expect 1 "/dev/full" "$cox" export "$work/run" --csv /dev/full
[ -c /dev/full ] || fail "/dev/full has become a file"
expect 0 "update,episodes" "$cox" export "$work/run" --csv /dev/stdout
mkdir "$work/nothing"
expect 2 "is it the folder of train or eval" "$cox" report "$work/nothing"
# a policy of another version, truncated, or of other actions
head -c 1000 "$work/run/policy.safetensors" >"$work/short"
expect 2 "short" "$cox" run "$tiny" --policy "$work/short"
echo nonsense >"$work/nonsense"
expect 2 "nonsense" "$cox" run "$tiny" --policy "$work/nonsense"
expect 2 "hidden" "$cox" run "$tiny" --policy "$work/run/policy.safetensors" --set policy.hidden=8
sed 's/\(semantics[^0-9]*\)1/\17/' "$work/run/policy.safetensors" >"$work/other"
cmp -s "$work/other" "$work/run/policy.safetensors" && fail "no version in the policy file to change"
expect 2 "version" "$cox" run "$tiny" --policy "$work/other"
# every checkpoint is damaged: said and refused; nothing is begun anew over it
cp -r "$work/run" "$work/all"
for f in "$work"/all/checkpoints/*/learner; do truncate -s 100 "$f"; done
expect 2 "no checkpoint is whole" "$cox" train "$tiny" --out "$work/all" --resume -j 1 --set updates=2
[ "$(wc -l <"$work/all/metrics.jsonl")" = 2 ] || fail "a refused resume cut the metrics"
# an evaluation that cannot begin ends at once, on any number of ranks
expect 2 "tasks" timeout 120 "$cox" eval "$tiny" --policy "$work/run/policy.safetensors" --out "$work/e" --rewards --tasks x -j 3
expect 1 "not a folder" timeout 120 "$cox" eval "$tiny" --policy "$work/run/policy.safetensors" --out "$work/short" --rewards --tasks 4 -j 3
expect 1 "not a folder" timeout 120 "$cox" eval "$tiny" --policy "$work/run/policy.safetensors" --out "$work/short" -j 3
expect 2 "folder of a training" "$cox" eval "$tiny" --policy "$work/run/policy.safetensors" --out "$work/run" -j 1
expect 2 "either --policy" "$cox" eval "$tiny" --out "$work/e" -j 1
expect 2 "either --policy" "$cox" eval "$tiny" --out "$work/e" -j 1 --policy "$work/run/policy.safetensors" --contestant adamw:0.1
expect 2 "nonsense" "$cox" eval "$tiny" --out "$work/e" -j 1 --policy "$work/nonsense"
expect 2 "adamw" "$cox" eval "$tiny" --out "$work/e" -j 1 --contestant adamv:0.1
expect 2 "RULE:LR" "$cox" eval "$tiny" --out "$work/e" -j 1 --contestant adamw:0.1 --baseline adamw
expect 2 "cosine" "$cox" eval "$tiny" --out "$work/e" -j 1 --contestant adamw:0.1 --baseline adamw:1:cosinus
expect 2 "seeds" "$cox" eval "$tiny" --out "$work/e" -j 1 --contestant adamw:0.1 --seeds 0
expect 2 "rewards" "$cox" eval "$tiny" --out "$work/e" -j 1 --contestant adamw:0.1 --tasks 3
expect 2 "learning_rates" "$cox" eval "$tiny" --out "$work/e" -j 1 --contestant adamw:0.1 --set "evaluation.learning_rates=[1, 0.1]"
[ -e "$work/e" ] && fail "a refused evaluation left a folder behind"
# a training does not take the folder of an evaluation for its own
"$cox" eval "$tiny" --contestant adamw:0.1 --baseline adamw:0.1 --seeds 1 --out "$work/eval" -j 1 \
    --set evaluation.static_control=false --set evaluation.sgd=false --set evaluation.trials=0 >/dev/null 2>&1 || fail "eval"
expect 2 "folder of an evaluation" "$cox" train "$tiny" --out "$work/eval" --resume -j 1
expect 2 "folder of an evaluation" "$cox" train "$tiny" --out "$work/eval" -j 1
# a worker that cannot start is told of, instead of waited for
sed "s|$work/data|$work/nodata|" "$work/i.yaml" >"$work/j.yaml"
expect 2 "nodata" timeout 120 mpirun --mca plm isolated --oversubscribe -n 2 "$cox" train "$work/j.yaml" --out "$work/w"
[ "$before" = "$(sum)" ] || fail "a refused command changed the run's folder"
# a second run on a folder that is in use
"$cox" train "$tiny" --out "$work/busy" -j 1 --set updates=1000000 >/dev/null 2>&1 </dev/null &
pid=$!
line_comes "$work/busy/metrics.jsonl" $pid
expect 2 "$pid" "$cox" train "$tiny" --out "$work/busy" --resume -j 1 --set updates=10000
kill -TERM $pid
wait $pid
[ $? = 75 ] || fail "the first run was disturbed"
finish
