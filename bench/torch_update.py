#!/usr/bin/env python3
"""Times one whole PPO update of the learner's kind in PyTorch (CPU), for bench/compare-torch.

usage: bench/torch_update.py THREADS STEPS --inputs N --privileged N --heads 5,3,...
                             [--hidden 256] [--episodes 128] [--length 64]

What `coxswain bench learner` does in an update of one minibatch: statistics of the inputs; values of all
episodes; generalized advantage estimation; a gradient step of the policy (clipped surrogate and entropy),
and one of the value function, each with clipping and Adam. Two networks as in src/policy/network.c:
normalized and clipped inputs, linear + tanh, layer-normalized LSTM, linear + tanh, outputs that read the
inputs, too. The products with the inputs of all time steps are one; values are computed without a graph.

One line of JSON as bench_torch.py prints it: res.ms is the median of STEPS updates, values_ms, policy_ms
and value_ms are its parts'."""
import argparse
import json
import os
import statistics
import time

parser = argparse.ArgumentParser()
parser.add_argument("threads", type=int)
parser.add_argument("steps", type=int)
parser.add_argument("--inputs", type=int, required=True)
parser.add_argument("--privileged", type=int, required=True)
parser.add_argument("--heads", required=True)
parser.add_argument("--hidden", type=int, default=256)
parser.add_argument("--episodes", type=int, default=128)
parser.add_argument("--length", type=int, default=64)
options = parser.parse_args()
for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[key] = str(options.threads)

import torch  # noqa: E402
import torch.nn as nn  # noqa: E402

torch.set_num_threads(options.threads)
torch.manual_seed(0)
GAMMA, LAMBDA, CLIP, ENTROPY, CLIP_NORM, WARM = 1.0, 0.95, 0.2, 0.01, 0.5, 2
HEADS = [int(n) for n in options.heads.split(",")]
T, B = options.length, options.episodes


class Net(nn.Module):
    def __init__(self, inputs, outputs, d):
        super().__init__()
        self.pre, self.post = nn.Linear(inputs, d), nn.Linear(d, d)
        self.wx, self.wh = nn.Linear(d, 4 * d, bias=False), nn.Linear(d, 4 * d, bias=False)
        self.lx, self.lh, self.lc = nn.LayerNorm(4 * d), nn.LayerNorm(4 * d), nn.LayerNorm(d)
        self.out, self.direct = nn.Linear(d, outputs), nn.Linear(inputs, outputs, bias=False)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("variance", torch.ones(inputs))
        self.d = d

    def renew(self, x):
        """Each episode enters the statistics once, as if one after another."""
        weight = 0.001 * 0.999 ** torch.arange(B - 1, -1, -1.0).unsqueeze(1)
        square = 0.999 ** B * (self.variance + self.mean ** 2) + (weight * x.square().mean(0)).sum(0)
        self.mean = 0.999 ** B * self.mean + (weight * x.mean(0)).sum(0)
        self.variance = square - self.mean ** 2

    def forward(self, x):
        x = ((x - self.mean) / torch.sqrt(self.variance + 1e-5)).clamp(-2, 2)
        h = c = x.new_zeros(x.shape[1], self.d)
        hs = []
        for ax in self.lx(self.wx(torch.tanh(self.pre(x)))).unbind(0):
            i, f, g, o = (ax + self.lh(self.wh(h))).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.lc(c))
            hs.append(h)
        return self.out(torch.tanh(self.post(torch.stack(hs)))) + self.direct(x)


def advantages(values, reward):
    """Of episodes whose only reward comes at the end; and the values' targets."""
    out, last = torch.empty_like(values), torch.zeros(B)
    for t in range(T - 1, -1, -1):
        delta = (GAMMA * values[t + 1] if t + 1 < T else reward) - values[t]
        last = delta + GAMMA * LAMBDA * last
        out[t] = last
    target = out + values
    return (out - out.mean()) / (out.std() + 1e-8), (target - target.mean()) / (target.std() + 1e-8)


policy, value = Net(options.inputs, sum(HEADS), options.hidden), Net(options.privileged, 1, options.hidden)
optimizers = {net: torch.optim.Adam(net.parameters(), lr=2e-4) for net in (policy, value)}
seen = torch.randn(T, B, options.privileged)
acted = torch.stack([torch.randint(n, (T, B)) for n in HEADS])
old = -torch.tensor([float(n) for n in HEADS]).log().sum().expand(T, B)


def descend(net, loss):
    optimizers[net].zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), CLIP_NORM)
    optimizers[net].step()


def policy_loss(x, advantage):
    log_prob, entropy = 0, 0
    for choice, logits in zip(acted, policy(x).split(HEADS, -1)):
        log_p = torch.log_softmax(logits, -1)
        log_prob = log_prob + log_p.gather(-1, choice.unsqueeze(-1)).squeeze(-1)
        entropy = entropy - (log_p.exp() * log_p).sum(-1)
    ratio = (log_prob - old).exp()
    surrogate = torch.min(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage)
    return -(surrogate + ENTROPY * entropy).mean()


def update():
    """Times of: the whole, values, policy, value function."""
    at = [time.perf_counter()]
    x = seen[:, :, :options.inputs].contiguous()
    policy.renew(x)
    value.renew(seen)
    with torch.no_grad():
        values = value(seen).squeeze(-1)
        advantage, target = advantages(values, torch.randn(B))
    at.append(time.perf_counter())
    descend(policy, policy_loss(x, advantage))
    at.append(time.perf_counter())
    descend(value, 0.25 * (value(seen).squeeze(-1) - target).pow(2).mean())
    at.append(time.perf_counter())
    return [at[3] - at[0]] + [b - a for a, b in zip(at, at[1:])]


times = [update() for _ in range(WARM + options.steps)][WARM:]
result = {name: round(1e3 * statistics.median(column), 3)
          for name, column in zip(("ms", "values_ms", "policy_ms", "value_ms"), zip(*times))}
result["min_ms"] = round(1e3 * min(t[0] for t in times), 3)
print(json.dumps({"task": "update", "threads": options.threads, "episodes": B, "length": T,
                  "params": sum(p.numel() for net in (policy, value) for p in net.parameters()), "res": result}))
