"""Heads that read their fields side by side, trained by written-out gradients: many at once, on every processor thread.

Four things make it cheap. Heads with the same rows and seed see the same batches, so what they read is gathered once. A hidden
field adds nothing to its row, so products are made of the rows that it is shown in alone: a batch is sorted so that they stand
together, for the two widest fields. Weights stand with outputs first and scores are [B, C, n], so that B heads are one product,
one softmax and one step of Adam. And a chunk of heads keeps to one thread, which never waits for another.

All losses have the gradient (link(scores) - truth) share: softmax and cross-entropy, logistic and its own, identity and half
the squared error (canonical links, Nelder & Wedderburn 1972).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gobelin.engine import in_order
from gobelin.jobs import Job
from gobelin.networks import draws
from gobelin.networks.draws import HeadSettings
from gobelin.runtime import Progress, one_thread_each

WIDE = 2  # fields whose rows can stand together in one order
BLOCK = 25  # steps that are drawn at once
GROUPS = 16  # of a chunk: what they read in a step stays near the processor


@dataclass(frozen=True)
class Shared:
    """The rows of all heads, [N, ...], fields by falling width. wide: of the widest fields. rest: of the others side by side,
    then a one for every field and a last one, which become presence and bias. of: float32 [F + 1, K], which of these columns
    belongs to which. present: bool [F, N]. truth: float32 [N, C]. columns: of every part among [all fields, presence, bias]."""

    fields: tuple[int, ...]
    wide: tuple[Tensor, ...]
    rest: Tensor
    of: Tensor
    present: Tensor
    truth: Tensor
    link: Callable[[Tensor], Tensor]
    columns: tuple[Tensor, ...]

    @staticmethod
    def of_rows(features: Sequence[Tensor], present: Tensor, answers: Tensor, settings: HeadSettings) -> Shared:
        widths = [f.shape[1] for f in features]
        fields = tuple(sorted(range(len(widths)), key=lambda f: -widths[f]))
        wide, narrow = fields[:WIDE], fields[WIDE:]
        ends = np.cumsum([0, *widths])
        owner = [fields.index(f) for f in narrow for _ in range(widths[f])] + list(range(len(fields) + 1))
        places = [k for f in narrow for k in range(ends[f], ends[f + 1])] + [int(ends[-1]) + f for f in (*fields, len(fields))]
        ones = torch.ones(len(present), len(fields) + 1)
        truth, link = _target(answers, settings)
        return Shared(
            fields,
            tuple(features[f] for f in wide),
            torch.cat([*[features[f] for f in narrow], ones], 1),
            functional.one_hot(torch.tensor(owner), len(fields) + 1).T.float(),
            present.T[list(fields)].contiguous(),
            truth,
            link,
            (torch.tensor(places), *[torch.arange(int(ends[f]), int(ends[f + 1])) for f in wide]),
        )


def _target(answers: Tensor, settings: HeadSettings) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """float32 [N, C], and what makes scores [B, C, n] comparable with them."""
    if settings.numeric:
        return answers[:, None], lambda scores: scores
    if answers.dim() == 2:
        return answers, torch.sigmoid
    return functional.one_hot(answers.clamp_min(0), settings.outputs).float(), lambda scores: torch.softmax(scores, 1)


@dataclass(frozen=True)
class Block:
    """T steps of the G groups of a chunk. rows, share: of its B heads, int64 and float32 [T, B, n]. shared: int64 [T, G * n],
    the rows of each group. shown: float32 [T, G * n, F + 1], a last one always. wide: for each wide field and step the rows
    that it is shown in, group after group. spans: for each step, wide field and group, where in the batch these stand: (start,
    length)."""

    rows: Tensor
    share: Tensor
    shared: Tensor
    shown: Tensor
    wide: tuple[tuple[Tensor, ...], ...]
    spans: list[list[list[list[int]]]]


class Chunk:
    """Some of the heads. groups: heads with the same rows and seed, by number; start: the weights of all heads, [B, ...]."""

    def __init__(
        self, shared: Shared, groups: Sequence[Sequence[int]], jobs: Sequence[Job], start: Mapping[str, Tensor],
        settings: HeadSettings,
    ) -> None:  # fmt: skip
        self.shared, self.settings = shared, settings
        self.heads = [b for group in groups for b in group]
        self.jobs = [jobs[b] for b in self.heads]
        self.firsts = [jobs[group[0]] for group in groups]
        self.owner = torch.tensor([g for g, group in enumerate(groups) for _ in group])
        first = torch.cat([start["map1"], start["bias1"][:, None]], 1)[self.heads].transpose(1, 2)  # [B, H, K]
        self.parts = [first[:, :, c].contiguous() for c in shared.columns]
        self.last = []
        if "map2" in start:
            self.last = [start["map2"][self.heads].transpose(1, 2).contiguous(), start["bias2"][self.heads][..., None].clone()]
        self.weights = [*self.parts, *self.last]
        self.grads = [torch.zeros_like(w) for w in self.weights]
        for w, grad in zip(self.weights, self.grads, strict=True):
            w.grad = grad
        self.adam = torch.optim.Adam(self.weights, lr=settings.rate, fused=True)
        self.twice = 2 * torch.tensor([j.decay for j in self.jobs], dtype=torch.float32)[:, None, None]
        self.rows = [torch.from_numpy(j.rows) for j in self.firsts]
        self.shares = [torch.from_numpy(j.weights) for j in self.jobs]
        self.outputs = [len(group) * first.shape[1] for group in groups]  # of each group's first layer, its heads side by side
        self.scores = torch.empty(len(self.heads), first.shape[1], settings.batch)
        self.scores_of = self._by_group(self.scores)
        self.weights_of = list(zip(*[self._by_group(p) for p in self.parts], strict=True))
        self.grads_of = list(zip(*[self._by_group(grad) for grad in self.grads[: len(self.parts)]], strict=True))

    def _by_group(self, values: Tensor) -> tuple[Tensor, ...]:
        """[B, H, x] as [heads of the group * H, x] for every group."""
        return values.view(-1, values.shape[2]).split(self.outputs)

    def train(self) -> dict[str, Tensor]:
        """Weights by name, [heads of the chunk, ...], in the order of `heads`."""
        steps = self.settings.steps
        for first in range(0, steps, BLOCK):
            block = self.block(range(first, min(first + BLOCK, steps)))
            for t in range(len(block.rows)):
                self.adam.param_groups[0]["lr"] = self.settings.rate * (1 + np.cos(np.pi * (first + t) / steps)) / 2
                self.gradients(block, t)
                self.adam.step()
        return self.named(self.weights)

    def named(self, values: Sequence[Tensor]) -> dict[str, Tensor]:
        """`weights`, or others like them, by name and as the join has them."""
        first, last = values[: len(self.parts)], values[len(self.parts) :]
        whole = torch.empty(len(self.heads), sum(p.shape[2] for p in first), self.scores.shape[1])
        for part, columns in zip(first, self.shared.columns, strict=True):
            whole[:, columns] = part.transpose(1, 2)
        out = {"map1": whole[:, :-1], "bias1": whole[:, -1]}
        return out | ({"map2": last[0].transpose(1, 2), "bias2": last[1][..., 0]} if last else {})

    def block(self, steps: range) -> Block:
        """What these heads see in some steps."""
        settings, shared = self.settings, self.shared
        lengths_seeds = {(len(j.rows), j.seed) for j in self.firsts}
        orders = {one: draws.order(one[0], settings.batch, one[1], steps) for one in lengths_seeds}
        drawn = {s: draws.chances(len(shared.fields), settings.batch, s, steps) for s in {j.seed for j in self.firsts}}
        places = torch.stack([orders[len(j.rows), j.seed] for j in self.firsts], 1)  # [T, G, n]
        rows = torch.stack([r[orders[len(j.rows), j.seed]] for r, j in zip(self.rows, self.firsts, strict=True)], 1)
        chance = torch.stack([drawn[j.seed] for j in self.firsts], 2)[list(shared.fields)]  # [F, T, G, n]
        present = shared.present.index_select(1, rows.flatten()).view(chance.shape)
        shown = draws.shown(present, chance, settings.dropout)
        one = shown[0]
        other = shown[1] if len(shown) > 1 else torch.zeros_like(one)
        kind = torch.where(one, other.byte(), 3 - other.byte())  # the first alone, both, the second alone, neither
        sort = torch.from_numpy(np.argsort(kind.numpy(), axis=2, kind="stable"))
        places, rows, shown = places.gather(2, sort), rows.gather(2, sort), shown.gather(3, sort.expand_as(shown))
        lengths = shown[:WIDE].sum(3)  # [wide, T, G]
        starts = torch.stack([torch.zeros_like(lengths[0]), (one & ~other).sum(2)])
        spans = torch.stack([starts[: len(lengths)], lengths], 3).movedim(1, 0).tolist()  # [T, wide, G, 2]
        share = torch.stack([w[places[:, g]] for w, g in zip(self.shares, self.owner.tolist(), strict=True)], 1)
        ones = torch.ones_like(shown[:1])
        return Block(
            rows[:, self.owner],
            share * ((2 if settings.numeric else 1) / settings.batch),
            rows.flatten(1),
            torch.cat([shown, ones]).flatten(2).movedim(0, 2).float(),
            tuple(rows[field].split(k) for field, k in zip(shown[:WIDE], lengths.sum(2).tolist(), strict=True)),
            spans,
        )

    def gradients(self, block: Block, t: int) -> None:
        """Of the loss and its penalty, into the weights' `grad`."""
        shared, z = self.shared, self.scores  # z: [B, H, n] before the hidden layer's bend, or the scores
        narrow = shared.rest.index_select(0, block.shared[t]).mul_(block.shown[t] @ shared.of)
        x = [narrow.split(self.settings.batch)]
        for field, rows, spans in zip(shared.wide, block.wide, block.spans[t], strict=True):
            x.append(field.index_select(0, rows[t]).split([length for _, length in spans]))
        for out, weights, (read, *wide), *spans in zip(
            self.scores_of, self.weights_of, zip(*x, strict=True), *block.spans[t], strict=True
        ):
            torch.mm(weights[0], read.T, out=out)
            for w, some, span in zip(weights[1:], wide, spans, strict=True):
                out.narrow(1, *span).addmm_(w, some.T)
        if self.last:
            (weight, bias), (weight_grad, bias_grad) = self.last, self.grads[-2:]
            bent = functional.gelu(z)
            error = self._error(torch.baddbmm(bias, weight, bent), block, t)
            torch.sum(error, 2, keepdim=True, out=bias_grad)
            torch.bmm(error, bent.transpose(1, 2), out=weight_grad)
            weight_grad.addcmul_(weight, self.twice)
            error = torch.ops.aten.gelu_backward(torch.bmm(weight.transpose(1, 2), error), z)
        else:
            error = self._error(z, block, t)
        given = self._by_group(error)
        for one, grads, (read, *wide), *spans in zip(given, self.grads_of, zip(*x, strict=True), *block.spans[t], strict=True):
            torch.mm(one, read, out=grads[0])
            for grad, some, span in zip(grads[1:], wide, spans, strict=True):
                torch.mm(one.narrow(1, *span), some, out=grad)
        for k, (part, grad) in enumerate(zip(self.parts, self.grads, strict=False)):
            decayed = part.shape[2] - (k == 0)  # the last column of the first part is the bias, which is not
            grad[:, :, :decayed].addcmul_(part[:, :, :decayed], self.twice)

    def _error(self, scores: Tensor, block: Block, t: int) -> Tensor:
        """The gradient of the mean loss by scores, [B, C, n]."""
        truth = self.shared.truth.index_select(0, block.rows[t].flatten()).view(len(self.heads), -1, scores.shape[1])
        return (self.shared.link(scores) - truth.transpose(1, 2)) * block.share[t][:, None]


def train(
    start: Mapping[str, Tensor], features: Sequence[Tensor], present: Tensor, answers: Tensor, jobs: Sequence[Job],
    settings: HeadSettings, progress: Progress,
) -> list[dict[str, Tensor]]:  # fmt: skip
    """As `heads.train_heads`. start: weights of the heads, [B, ...]."""
    shared = Shared.of_rows(features, present, answers, settings)
    out: list[dict[str, Tensor]] = [{} for _ in jobs]
    with one_thread_each() as threads, torch.no_grad():

        def work(groups: list[list[int]]) -> tuple[list[int], dict[str, Tensor]]:
            with torch.no_grad():  # a setting of the thread
                chunk = Chunk(shared, groups, jobs, start, settings)
                return chunk.heads, chunk.train()

        done = 0
        for heads, weights in in_order(work, _chunks(jobs, threads), threads, ahead=threads):
            for k, b in enumerate(heads):
                out[b] = {name: w[k].clone() for name, w in weights.items()}
            done += len(heads)
            progress("train heads", done, len(jobs))
    return out


def _chunks(jobs: Sequence[Job], threads: int) -> list[list[list[int]]]:
    """Heads by group (the same rows and seed), groups by chunk: those of a seed side by side, as much work for every thread."""
    groups: dict[tuple[int, bytes], list[int]] = {}
    for b, job in enumerate(jobs):
        groups.setdefault((job.seed, job.rows.tobytes()), []).append(b)
    ordered = [groups[key] for key in sorted(groups, key=lambda key: key[0])]
    rounds = -(-len(ordered) // (GROUPS * threads))
    cuts = np.linspace(0, len(ordered), min(rounds * threads, len(ordered)) + 1).round().astype(int)
    return [ordered[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
