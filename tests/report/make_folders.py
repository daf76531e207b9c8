"""Folders for the test of the report's pages: what a real evaluation and a real run left, made
larger, longer, poorer and stranger.

make_folders.py EVALUATION RUN OUT: writes OUT/NAME/evaluation.json, OUT/NAME/metrics.jsonl."""
import copy, json, os, sys

LONG = "images_with_a_name_that_is_much_too_long_for_any_margin <b>&amp; \"quoted\""


def folder(out, name, **files):
    path = os.path.join(out, name)
    os.makedirs(path)
    for file, data in files.items():
        with open(os.path.join(path, file.replace("_", ".")), "w") as f:
            f.write(data if isinstance(data, str) else json.dumps(data))


def entrants(r):
    return (c for t in r["tasks"] for c in t.get("contestants", []))


def scaled(x, k):
    return [v if v is None else v * k for v in x]


def many(r, n):
    """n tasks with long names; the speedups spread from far below to far above."""
    first, r["tasks"] = r["tasks"], []
    for i in range(n):
        t = copy.deepcopy(first[i % len(first)])
        t.update(number=i, entry=LONG if i % 3 == 0 else "entry%d" % i, one_split=False, text=t["text"] + " " + LONG)
        t["metric"] = {"name": "accuracy", "share": True}
        for c in t["contestants"]:
            c.update(gap=[0.1, -0.2, 0.3 + i], gap_difference=[0.01, -0.02, 0.04 + 0.01 * i], test_metric=[0.5, 0.4, 0.6])
            s = c["speedup"]
            s["value"] = scaled([1.1, 0.9, 1.3], 2.0 ** (i % 4 - 1.5))
            s["in_time"], s["bound"], s["text"] = s["value"][0] * 0.07, "exact", "%.2f x" % s["value"][0]
            if i % 5 == 1:
                s.update(value=[4, 4, 4], bound="above", text="> 4 x")
            if i % 5 == 2:
                s.update(value=[0.5, 0.5, 0.5], bound="below", text="< 1/2 x")
            if i % 5 == 3:
                s.update(bound="at least" if i % 2 else "about", text=">= %.2f x" % s["value"][0])
        r["tasks"].append(t)
    old({"tasks": r["tasks"][4:]})  # curves of a few are enough
    for c in r["groups"][0]["contestants"]:
        c["tasks"] = n
    return r


def diverged(r):
    """Some runs of every contestant end early, all of the first task's policy at once."""
    for t in r["tasks"]:
        for c in t["contestants"]:
            hard = t["number"] == 0 and c["id"] == "policy"
            for s, seed in enumerate(c["seeds"]):
                if s and not hard:
                    continue
                seed.update(diverged=True, speedup=None, test_loss=None, validation_loss=None)
                for k in ("train_loss", "validation_loss"):
                    if "curve" in c:
                        keep = c["curve"][k][s][:0 if hard else 2]
                        c["curve"][k][s] = keep + [None, 1e300, -1e300][:0 if hard else 3]
                for k, v in c.get("hyperparameters", {}).items():
                    if k != "progress":
                        v[s] = v[s][:0 if hard else 2]
            c["diverged"] = c["runs"] if hard else 1
            if hard:
                for k in ("test_loss", "validation_loss", "train_loss", "gap", "gap_difference", "difference", "loss_ratio"):
                    c[k] = [None, None, None]
                c["speedup"] = {"value": [0.5, 0.5, 0.5], "bound": "below", "text": "< 1/2 x", "in_time": None}
    return r


def old(r):
    for c in entrants(r):
        c.pop("curve", None)
        c.pop("hyperparameters", None)
    return r


def strange(r):
    """JSON, but nothing of the kind that is expected."""
    kinds = [None, "x", -1, 1e308, [], {}, True, [None, "a", {}], [[1], [2], "3"]]
    count = [0]

    def spoil(x, depth):
        if depth > 3:
            count[0] += 1
            if count[0] % 3 == 0:
                return kinds[count[0] // 3 % len(kinds)]
        if isinstance(x, dict):
            return {k: v if k in ("id", "complete", "format", "version") else spoil(v, depth + 1) for k, v in x.items()}
        return [spoil(v, depth + 1) for v in x] if isinstance(x, list) else x

    return spoil(r, 0)


def main():
    evaluation, run, out = sys.argv[1:]
    r = json.load(open(os.path.join(evaluation, "evaluation.json")))
    new = lambda: copy.deepcopy(r)
    one = new()
    one["tasks"] = one["tasks"][:1]
    folder(out, "one", evaluation_json=one, config_yaml="seed: 1\n")
    folder(out, "many", evaluation_json=many(new(), 32))
    folder(out, "diverged", evaluation_json=diverged(new()))
    folder(out, "old", evaluation_json=old(new()))
    folder(out, "strange", evaluation_json=strange(new()))
    empty = new()
    empty.update(complete=False, groups=[], warnings=["test and validation split seem to be the same data"])
    for t in empty["tasks"]:
        t.clear()
        t.update(number=0, complete=False)
    folder(out, "empty", evaluation_json=empty)
    part = new()
    part["complete"] = part["tasks"][0]["complete"] = False
    folder(out, "part", evaluation_json=part)

    lines = [json.loads(l) for l in open(os.path.join(run, "metrics.jsonl"))]
    episodes = open(os.path.join(run, "episodes.jsonl")).read()
    long = []
    for u in range(3000):
        l = dict(lines[u % len(lines)], update=u + 1, episodes=37 * (u + 1), seconds=11.0 * u)
        l["kl"] = None if u % 50 < 10 else 1e-9 * (u + 1)
        l["gradient_norm"] = 10.0 ** (u % 13 - 6)
        l["head_entropy"] = {"head_%d_of_a_policy_with_long_names" % h: 1.0 + h * u / 3000 for h in range(14)}
        long.append(json.dumps(l))
    folder(out, "long_run", metrics_jsonl="\n".join(long) + "\n", episodes_jsonl=episodes)
    folder(out, "first_update", metrics_jsonl=json.dumps(lines[0]) + "\n", episodes_jsonl=episodes)
    nothing = {k: None for k in lines[0] if k != "update"}
    folder(out, "null_run", metrics_jsonl=json.dumps(dict(nothing, update=1)) + "\nno JSON\n", episodes_jsonl="")
    folder(out, "episodes_only", metrics_jsonl="", episodes_jsonl=episodes)


main()
