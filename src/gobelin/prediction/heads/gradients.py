"""Heads that read their fields side by side, trained by written-out gradients: many at once, on
every processor thread.

Five things make it cheap. Heads with the same rows and seed see the same batches, so what they read
is gathered once. A hidden field adds nothing to its row: a batch is sorted so that the rows that
show one of the two widest fields stand together, and products take those rows alone. Groups with as
many heads are one product, over rows that at least one of them shows. Weights stand with outputs
first and scores are [B, C, n], so that B heads are one softmax and one step of Adam. And a chunk of
heads keeps to one thread, which never waits for another; few and large operations keep the threads
from waiting for Python.

All losses have the gradient (link(scores) - truth) share: softmax and cross-entropy, logistic and
its own, identity and half the squared error (canonical links, Nelder & Wedderburn 1972)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.adam import adam

from gobelin.core.machine import Progress, one_thread_each
from gobelin.core.workers import blocks, in_order
from gobelin.prediction.heads import draws
from gobelin.prediction.heads.draws import HeadSettings
from gobelin.prediction.heads.job import Job

WIDE = 2  # fields whose rows can stand together in one order
BLOCK = 25  # steps that are drawn at once
EACH = 4  # heads of a group: more gain nothing, and groups with as many are one product
GROUPS = 20  # of a chunk: few large operations, and those of a seed share what is drawn


@dataclass(frozen=True)
class Shared:
    """The rows of all heads, [N, ...], fields by falling width. wide: of the widest fields. rest:
    of the others side by side, then a one for every field and a last one, which become presence and
    bias. of: float32 [F + 1, K], which of these columns belongs to which. present: bool [F, N].
    truth: float32 [C, N]. columns: of every part among [all fields, presence, bias]."""

    fields: tuple[int, ...]
    wide: tuple[Tensor, ...]
    rest: Tensor
    of: Tensor
    present: Tensor
    truth: Tensor
    link: Callable[[Tensor], Tensor]
    columns: tuple[Tensor, ...]

    @staticmethod
    def of_rows(
        features: Sequence[Tensor], present: Tensor, answers: Tensor, settings: HeadSettings
    ) -> Shared:
        widths = [f.shape[1] for f in features]
        fields = tuple(sorted(range(len(widths)), key=lambda f: -widths[f]))
        wide, narrow = fields[:WIDE], fields[WIDE:]
        ends = np.cumsum([0, *widths])
        owner = [fields.index(f) for f in narrow for _ in range(widths[f])] + list(
            range(len(fields) + 1)
        )
        places = [k for f in narrow for k in range(ends[f], ends[f + 1])] + [
            int(ends[-1]) + f for f in (*fields, len(fields))
        ]
        ones = torch.ones(len(present), len(fields) + 1)
        truth, link = _target(answers, settings)
        return Shared(
            fields,
            tuple(features[f] for f in wide),
            torch.cat([*[features[f] for f in narrow], ones], 1),
            functional.one_hot(torch.tensor(owner), len(fields) + 1).T.float(),
            present.T[list(fields)].contiguous(),
            truth.T.contiguous(),
            link,
            (torch.tensor(places), *[torch.arange(int(ends[f]), int(ends[f + 1])) for f in wide]),
        )


def _target(answers: Tensor, settings: HeadSettings) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """float32 [N, C], and what makes scores [B, C, n] comparable with them."""
    if settings.numeric:
        return answers[:, None], lambda scores: scores
    if answers.dim() == 2:
        return answers, torch.sigmoid
    return functional.one_hot(
        answers.clamp_min(0), settings.outputs
    ).float(), lambda scores: torch.softmax(scores, 1)


@dataclass(frozen=True)
class Block:
    """T steps of the G groups of a chunk, whose B heads are P a group. rows: int64 [T, G, n].
    share, truth: float32 [T, B, 1, n] and [T, G, 1, C, n]. shown: float32 [T, F + 1, G, n, 1],
    always in the last place. spans: for each step and wide field where the rows stand that any
    group shows it in: (start, length)."""

    rows: Tensor
    share: Tensor
    truth: Tensor
    shown: Tensor
    spans: list[list[list[int]]]


class Chunk:
    """Some of the heads. groups: heads with the same rows and seed, by number, equally many in
    each; start: the weights of all heads, [B, ...]."""

    def __init__(
        self,
        shared: Shared,
        groups: Sequence[Sequence[int]],
        jobs: Sequence[Job],
        start: Mapping[str, Tensor],
        settings: HeadSettings,
    ) -> None:
        self.shared, self.settings = shared, settings
        self.heads = [b for group in groups for b in group]
        self.jobs = [jobs[b] for b in self.heads]
        self.firsts = [jobs[group[0]] for group in groups]
        first = torch.cat([start["map1"], start["bias1"][:, None]], 1)[self.heads].transpose(
            1, 2
        )  # [B, H, K]
        self.parts = [first[:, :, c].contiguous() for c in shared.columns]
        self.last = []
        if "map2" in start:
            self.last = [
                start["map2"][self.heads].transpose(1, 2).contiguous(),
                start["bias2"][self.heads][..., None].clone(),
            ]
        self.weights = [*self.parts, *self.last]
        self.grads = [torch.zeros_like(w) for w in self.weights]
        self.means, self.squares = (
            [torch.zeros_like(w) for w in self.weights] for _ in range(2)
        )  # of Adam
        self.counts = [torch.zeros(()) for _ in self.weights]
        self.twice = (
            2 * torch.tensor([j.decay for j in self.jobs], dtype=torch.float32)[:, None, None]
        )
        self.rows = [torch.from_numpy(j.rows) for j in self.firsts]
        self.shares = [torch.from_numpy(j.weights) for j in self.jobs]
        self.scores, self.bent = (
            torch.empty(len(self.heads), first.shape[1], settings.batch) for _ in range(2)
        )
        self.product = torch.empty(self.scores.numel())
        self.room = [
            torch.empty(len(groups) * settings.batch, v.shape[1])
            for v in (shared.rest, *shared.wide)
        ]

    def _by_group(self, values: Tensor) -> Tensor:
        """[B, H, x] as [G, P * H, x]."""
        return values.view(len(self.firsts), -1, values.shape[2])

    def train(self) -> dict[str, Tensor]:
        """Weights by name, [heads of the chunk, ...], in the order of `heads`."""
        steps = self.settings.steps
        for first in range(0, steps, BLOCK):
            block = self.block(range(first, min(first + BLOCK, steps)))
            for t in range(len(block.rows)):
                self.gradients(block, t)
                rate = self.settings.rate * (1 + np.cos(np.pi * (first + t) / steps)) / 2
                adam(
                    self.weights,
                    self.grads,
                    self.means,
                    self.squares,
                    [],
                    self.counts,
                    fused=True,
                    amsgrad=False,
                    beta1=0.9,
                    beta2=0.999,
                    lr=rate,
                    weight_decay=0.0,
                    eps=1e-8,
                    maximize=False,
                )
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
        settings, shared, each = self.settings, self.shared, len(self.heads) // len(self.firsts)
        lengths_seeds = {(len(j.rows), j.seed) for j in self.firsts}
        orders = {one: draws.order(one[0], settings.batch, one[1], steps) for one in lengths_seeds}
        drawn = {
            s: draws.chances(len(shared.fields), settings.batch, s, steps)
            for s in {j.seed for j in self.firsts}
        }
        places = torch.stack([orders[len(j.rows), j.seed] for j in self.firsts], 1)  # [T, G, n]
        rows = torch.stack(
            [r[orders[len(j.rows), j.seed]] for r, j in zip(self.rows, self.firsts, strict=True)], 1
        )
        chance = torch.stack([drawn[j.seed] for j in self.firsts], 2)[
            list(shared.fields)
        ]  # [F, T, G, n]
        present = torch.from_numpy(shared.present.numpy().take(rows.numpy(), axis=1))
        shown = draws.shown(present, chance, settings.dropout)
        one = shown[0]
        other = shown[1] if len(shown) > 1 else torch.zeros_like(one)
        kind = torch.where(
            one, other.byte(), 3 - other.byte()
        )  # the first alone, both, the second alone, neither
        sort = torch.from_numpy(np.argsort(kind.numpy(), axis=2, kind="stable"))
        places, rows, shown = (
            places.gather(2, sort),
            rows.gather(2, sort),
            shown.gather(3, sort.expand_as(shown)),
        )
        lengths = shown[:WIDE].sum(3)  # [wide, T, G]
        starts = torch.stack([torch.zeros_like(lengths[0]), (one & ~other).sum(2)])[: len(lengths)]
        begin, end = starts.amin(2), (starts + lengths).amax(2)
        share = torch.stack([w[places[:, k // each]] for k, w in enumerate(self.shares)], 1)
        truth = shared.truth.index_select(1, rows.flatten()).view(-1, *rows.shape)  # [C, T, G, n]
        return Block(
            rows,
            share[:, :, None] * ((2 if settings.numeric else 1) / settings.batch),
            truth.movedim(0, 2)[:, :, None],
            torch.cat([shown, torch.ones_like(shown[:1])]).movedim(0, 1)[..., None].float(),
            torch.stack([begin, end - begin], 2).movedim(1, 0).tolist(),
        )

    def gradients(self, block: Block, t: int) -> None:
        """Of the loss and its penalty, into the weights' `grad`."""
        shared, rows, shown = self.shared, block.rows[t], block.shown[t]
        z, groups = (
            self.scores,
            self._by_group(self.scores),
        )  # before the hidden layer's bend, or the scores
        parts, grads = [
            [self._by_group(w) for w in some[: len(self.parts)]]
            for some in (self.weights, self.grads)
        ]
        rest = self._read(0, shared.rest, rows).mul_(
            torch.matmul(shown[..., 0].permute(1, 2, 0), shared.of)
        )
        torch.bmm(parts[0], rest.transpose(1, 2), out=groups)
        wide = []
        for k, (field, span) in enumerate(zip(shared.wide, block.spans[t], strict=True)):
            read = self._read(k + 1, field, rows.narrow(1, *span)).mul_(shown[k].narrow(1, *span))
            product = self.product[: groups.shape[0] * groups.shape[1] * span[1]].view(
                *groups.shape[:2], span[1]
            )
            groups.narrow(2, *span).add_(torch.bmm(parts[k + 1], read.transpose(1, 2), out=product))
            wide.append(read)
        if self.last:
            (weight, bias), (weight_grad, bias_grad) = self.last, self.grads[-2:]
            torch.ops.aten.gelu.out(z, out=self.bent)
            error = self._error(torch.baddbmm(bias, weight, self.bent), block, t)
            torch.sum(error, 2, keepdim=True, out=bias_grad)
            torch.bmm(error, self.bent.transpose(1, 2), out=weight_grad)
            weight_grad.addcmul_(weight, self.twice)
            torch.bmm(weight.transpose(1, 2), error, out=self.bent)
            error = torch.ops.aten.gelu_backward.grad_input(self.bent, z, grad_input=self.bent)
        else:
            error = self._error(z, block, t)
        given = self._by_group(error)
        torch.bmm(given, rest, out=grads[0])
        for read, grad, span in zip(wide, grads[1:], block.spans[t], strict=True):
            torch.bmm(given.narrow(2, *span), read, out=grad)
        for k, (part, grad) in enumerate(zip(self.parts, self.grads, strict=False)):
            decayed = part.shape[2] - (
                k == 0
            )  # the last column of the first part is the bias, which is not
            grad[:, :, :decayed].addcmul_(part[:, :, :decayed], self.twice)

    def _read(self, place: int, values: Tensor, rows: Tensor) -> Tensor:
        """These rows, [G, length, K], in the memory that is kept for them."""
        out = self.room[place][: rows.numel()]
        return torch.index_select(values, 0, rows.flatten(), out=out).view(
            *rows.shape, values.shape[1]
        )

    def _error(self, scores: Tensor, block: Block, t: int) -> Tensor:
        """The gradient of the mean loss by scores, [B, C, n]."""
        by_group = self.shared.link(scores).view(len(self.firsts), -1, *scores.shape[1:])
        return (by_group - block.truth[t]).view(scores.shape).mul_(block.share[t])


def train(
    start: Mapping[str, Tensor],
    features: Sequence[Tensor],
    present: Tensor,
    answers: Tensor,
    jobs: Sequence[Job],
    settings: HeadSettings,
    progress: Progress,
) -> list[dict[str, Tensor]]:
    """As `heads.train_heads`. start: weights of the heads, [B, ...]."""
    shared = Shared.of_rows(features, present, answers, settings)
    out: list[dict[str, Tensor]] = [{} for _ in jobs]
    with one_thread_each() as threads, torch.no_grad():

        def work(groups: list[Sequence[int]]) -> tuple[list[int], dict[str, Tensor]]:
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


def _chunks(jobs: Sequence[Job], threads: int) -> list[list[Sequence[int]]]:
    """Heads by group (the same rows and seed), groups with as many heads by chunk: those of a seed
    side by side, as much work for every thread."""
    same: dict[tuple[int, bytes], list[int]] = {}
    for b, job in enumerate(jobs):
        same.setdefault((job.seed, job.rows.tobytes()), []).append(b)
    groups = [
        some for key in sorted(same, key=lambda key: key[0]) for some in blocks(same[key], EACH)
    ]
    out = []
    for size in sorted({len(group) for group in groups}, reverse=True):
        alike = [group for group in groups if len(group) == size]
        rounds = -(-len(alike) // (GROUPS * threads))
        cuts = np.linspace(0, len(alike), min(rounds * threads, len(alike)) + 1).round().astype(int)
        out += [alike[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    return out
