#!/bin/bash
# `coxswain export` and `status --follow` on a run's files; the event file is read by a reader of its own
# (python's struct; CRC-32C by the table method), which shares no code with the writer.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }
build/coxswain train tests/mpi/tiny.yaml --set updates=2 --out "$work/run" -j 1 >"$work/log" 2>&1 || { cat "$work/log"; fail "train"; }
build/coxswain export "$work/run" --csv "$work/m.csv" --tensorboard "$work/board" >"$work/log" || fail "export: exit $?"
python3 - "$work" <<'P' || fail "what was exported"
import csv, glob, json, struct, sys
work = sys.argv[1]
lines = [json.loads(l) for l in open(work + "/run/metrics.jsonl")]
rows = list(csv.DictReader(open(work + "/m.csv", newline="")))
assert len(rows) == len(lines) == 2, (len(rows), len(lines))
for row, line in zip(rows, lines):
    for key in ("update", "reward", "kl", "seconds", "episodes"):
        assert abs(float(row[key]) - line[key]) <= 1e-6 * abs(line[key]), (key, row[key], line[key])
    for head, value in line["head_entropy"].items():
        assert abs(float(row["entropy_" + head]) - value) < 1e-6

table = []
for i in range(256):
    for _ in range(8):
        i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
    table.append(i)
def masked(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
def fields(data):
    at = 0
    def varint():
        nonlocal at
        x = shift = 0
        while True:
            b = data[at]; at += 1
            x |= (b & 127) << shift; shift += 7
            if b < 128: return x
    while at < len(data):
        key = varint()
        if key & 7 == 0: yield key >> 3, varint()
        elif key & 7 == 1: yield key >> 3, struct.unpack_from("<d", data, at)[0]; at += 8
        elif key & 7 == 5: yield key >> 3, struct.unpack_from("<f", data, at)[0]; at += 4
        else:
            n = varint(); yield key >> 3, data[at:at + n]; at += n
[path] = glob.glob(work + "/board/events.out.tfevents.*")
data, at, events = open(path, "rb").read(), 0, []
while at < len(data):
    (n,), (c,) = struct.unpack_from("<Q", data, at), struct.unpack_from("<I", data, at + 8)
    assert c == masked(data[at:at + 8])
    body = data[at + 12:at + 12 + n]
    assert struct.unpack_from("<I", data, at + 12 + n)[0] == masked(body)
    events.append(dict(fields(body))); at += 16 + n
assert events[0][3] == b"brain.Event:2" and len(events) == 3
for event, line in zip(events[1:], lines):
    assert event[2] == line["update"]
    scalars = {}
    for number, value in fields(event[5]):
        v = dict(fields(value)); scalars[v[1].decode()] = v[2]
    assert abs(event[1] - events[0][1] - line["seconds"]) < 1e-3
    assert abs(scalars["coxswain/reward"] - line["reward"]) < 1e-5
    assert abs(scalars["entropy/lr"] - line["head_entropy"]["lr"]) < 1e-5
P
build/coxswain export "$work/run" >/dev/null && [ -s "$work/run/metrics.csv" ] || fail "the default file"
build/coxswain export "$work" >/dev/null 2>"$work/log"; [ $? = 2 ] && grep -q "not the folder of a run" "$work/log" || fail "no run's folder"
[ "$(timeout 60 build/coxswain status "$work/run" --follow | grep -c finished)" = 1 ] || fail "following a finished run"
# a run that is going on is followed to its end
build/coxswain train tests/mpi/tiny.yaml --set updates=12 --out "$work/second" -j 1 >/dev/null 2>&1 &
while [ ! -s "$work/second/episodes.jsonl" ] && kill -0 $! 2>/dev/null; do sleep 0.05; done
timeout 120 build/coxswain status "$work/second" --follow --json >"$work/followed" || fail "--follow: exit $?"
wait
tail -n 1 "$work/followed" | python3 -c 'import json, sys; o = json.loads(sys.stdin.read()); assert o["finished"], o' || fail "followed to the end"
# what a policy saw and did
build/coxswain run tests/mpi/tiny.yaml --policy "$work/second/policy.safetensors" --trace "$work/trace.jsonl" --json >"$work/log" 2>/dev/null || fail "--trace"
python3 - "$work" <<'P' || fail "the trace"
import json, sys
work = sys.argv[1]
trace = [json.loads(l) for l in open(work + "/trace.jsonl")]
shown = [json.loads(l) for l in open(work + "/log")][:-1]
assert len(trace) == len(shown) > 1
previous = None
for k, (t, s) in enumerate(zip(trace, shown)):
    assert t["outer_step"] == s["outer_step"] == k
    for (name, head), choice in zip(t["actions"].items(), s["choice"]):
        assert head["choice"] == choice and abs(sum(head["probabilities"]) - 1) < 1e-6
        assert head["probabilities"][choice] == max(head["probabilities"])
        if previous and "factors" in head:
            want = previous["hyper"][name] * head["factors"][choice]
            got = t["hyper"][name]
            bound = got <= 1.01e-8 or got >= 0.099 # where the product is cut
            assert bound or abs(got - want) <= 1e-6 * want, (name, got, want)
    assert t["hyper"]["lr"] > 0 and len(t["observations"]) > 50
    assert (t["features"]["log_noise_scale"] is None) == (k == 0)
    if previous: assert t["valid_loss_before"] == previous["valid_loss"]
    previous = t
P
build/coxswain run tests/mpi/tiny.yaml --policy "$work/second/policy.safetensors" --trace /dev/full >/dev/null 2>"$work/log"
[ $? = 1 ] && grep -q "cannot write the trace" "$work/log" || fail "--trace on a full disk"
build/coxswain run tests/mpi/tiny.yaml --optimizer adam --lr 0.01 --trace "$work/x" >/dev/null 2>&1; [ $? = 2 ] || fail "--trace without a policy"
echo ok
