#!/bin/bash
# `coxswain tokenize`: learns, refuses to overwrite, uses what it has learned, and says the
# same of plain and packed files.
. "$(dirname "$0")/lib.sh"
export XDG_CACHE_HOME="$work/cache"
cd "$work" || exit 1
for i in $(seq 300); do echo "line $i of a text, with its spaces  and marks"; done >a.txt
printf 'broken \377 \303 bytes\r\n\0 end' >b.txt
gzip -c a.txt >c.txt.gz

expect 0 "tokenizer-300.bpe: 300 entries" "$cox" tokenize a.txt b.txt --vocab 300 --check
[ "$(head -n 1 tokenizer-300.bpe)" = "coxswain-bpe-1 300" ] || fail "the file: $(head -n 1 tokenizer-300.bpe)"
before=$(md5sum tokenizer-300.bpe)
expect 2 "force" "$cox" tokenize b.txt --vocab 300
[ "$(md5sum tokenizer-300.bpe)" = "$before" ] || fail "overwritten"
expect 0 "only 257 entries" "$cox" tokenize b.txt --vocab 300 --force
"$cox" tokenize c.txt.gz b.txt --vocab 300 --out other.bpe --json >log 2>&1 || fail "$(cat log)"
python3 - <<'P' || fail "the JSON object: $(cat log)"
import json, os
o = json.load(open("log"))
assert o["tokenizer"] == "other.bpe" and o["entries"] == 300 and o["learned"]
assert [f["bytes"] for f in o["files"]] == [os.path.getsize("a.txt"), os.path.getsize("b.txt")]
assert all(abs(f["tokens"] * f["bytes_per_token"] - f["bytes"]) < 1e-6 for f in o["files"])
P
[ "${before%% *}" = "$(md5sum other.bpe | cut -d' ' -f1)" ] || fail "packed and plain give two vocabularies"
n=$("$cox" tokenize a.txt --tokenizer other.bpe --ids 2>/dev/null | wc -l)
expect 0 " $n tokens" "$cox" tokenize a.txt --tokenizer other.bpe
expect 2 "learns and writes nothing" "$cox" tokenize a.txt --tokenizer other.bpe --vocab 300
expect 2 "none.txt" "$cox" tokenize none.txt
expect 2 "256" "$cox" tokenize a.txt --vocab 255
expect 2 "b.txt:1" "$cox" tokenize a.txt --tokenizer b.txt
expect 2 "usage\|FILES" "$cox" tokenize
finish
