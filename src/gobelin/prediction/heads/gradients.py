"""Heads that read their fields side by side, trained by written-out gradients: many at once, on
every processor thread.

Five things make it cheap.
1. Heads with the same rows and seed see the same batches, so their inputs are gathered once.
2. A hidden field adds nothing to its row. A batch is sorted so that the rows that show one of the
   two widest fields lie together, and products take those rows alone.
3. Groups with as many heads are one product, over the rows that at least one of them shows.
4. Weights have the outputs first and scores are [B, C, n], so that B heads are one softmax and
   one step of Adam.
5. A chunk of heads keeps to one thread, which never waits for another. Operations are few and
   large, so threads don't wait for Python.

All losses have the gradient (link(scores) - truth) * share with respect to the scores (canonical
links, Nelder & Wedderburn 1972): softmax with cross-entropy, logistic with its own, identity with
half the squared error.

Letters: N rows of the data, F fields, K_p columns of part p of the first layer, K = all of them, C
outputs, H hidden units (H = C without a hidden layer), B heads of a chunk in G groups of P heads
(B = G P), n rows of a batch, T steps.
"""

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

WIDE_FIELDS = 2  # the widest fields: one order of rows puts those that show either of two together
STEPS_AT_ONCE = 25  # steps whose batches are drawn at once
HEADS_A_GROUP = 4  # at most: more gain nothing, and groups with as many heads are one product
GROUPS_A_CHUNK = 20  # few large operations, and the groups of one seed share their draws


@dataclass(frozen=True)
class HeadData:
    """The data that all heads share. Fields are ordered by falling width.

    The columns of the first layer's input are split into parts: part 0 is `rest`, parts 1 and 2 are
    the widest fields.
    fields: the fields' numbers in this order.
    wide: float32 [N, K_p] of each of the widest fields.
    rest: float32 [N, K_0], the other fields side by side, then F + 1 ones; times `shown`, these
    become the fields' presence and the bias.
    owner: float32 [F + 1, K_0], 1 where a column of `rest` belongs to a field (F + 1: the bias).
    present: bool [F, N].
    truth: float32 [C, N].
    link: scores [B, C, n] -> the expected truth [B, C, n].
    columns: int64 [K_p] for each part, its place among [all fields, presence, bias]."""

    fields: tuple[int, ...]
    wide: tuple[Tensor, ...]
    rest: Tensor
    owner: Tensor
    present: Tensor
    truth: Tensor
    link: Callable[[Tensor], Tensor]
    columns: tuple[Tensor, ...]

    @staticmethod
    def of(
        features: Sequence[Tensor], present: Tensor, answers: Tensor, settings: HeadSettings
    ) -> HeadData:
        """From the arguments of `train`."""
        widths = [f.shape[1] for f in features]
        fields = tuple(sorted(range(len(widths)), key=lambda f: -widths[f]))
        wide, narrow = fields[:WIDE_FIELDS], fields[WIDE_FIELDS:]
        ends = np.cumsum([0, *widths])  # where each field's columns begin in the join's order
        # of every column of `rest`: the place of its field in `fields`; then presence and bias
        owner = [fields.index(f) for f in narrow for _ in range(widths[f])]
        owner += list(range(len(fields) + 1))
        # of every column of `rest`: its place in the join's order
        columns = [k for f in narrow for k in range(ends[f], ends[f + 1])]
        columns += [int(ends[-1]) + f for f in (*fields, len(fields))]
        ones = torch.ones(len(present), len(fields) + 1)  # [N, F + 1]
        truth, link = _truth_and_link(answers, settings)
        return HeadData(
            fields,
            tuple(features[f] for f in wide),
            torch.cat([*[features[f] for f in narrow], ones], 1),
            functional.one_hot(torch.tensor(owner), len(fields) + 1).T.float(),
            present.T[list(fields)].contiguous(),
            truth.T.contiguous(),
            link,
            (torch.tensor(columns), *[torch.arange(int(ends[f]), int(ends[f + 1])) for f in wide]),
        )


def _truth_and_link(
    answers: Tensor, settings: HeadSettings
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The truth, float32 [N, C], and the link that makes scores [B, C, n] comparable with it."""
    if settings.numeric:
        return answers[:, None], lambda scores: scores
    if answers.dim() == 2:  # several labels a row
        return answers, torch.sigmoid
    truth = functional.one_hot(answers.clamp_min(0), settings.outputs).float()
    return truth, lambda scores: torch.softmax(scores, 1)


@dataclass(frozen=True)
class StepBatches:
    """The batches of T steps for the G groups of a chunk, B = G P heads.

    rows: int64 [T, G, n], numbers of rows. share: float32 [T, B, 1, n], the rows' weights over n.
    truth: float32 [T, G, 1, C, n]. shown: float32 [T, F + 1, G, n, 1], 1 where a field is shown;
    the last one, the bias, always is. spans: (start, length) for each step and wide field, the rows
    of the batch in which any group shows it."""

    rows: Tensor
    share: Tensor
    truth: Tensor
    shown: Tensor
    spans: list[list[list[int]]]


class Chunk:
    """Some of the heads, trained on one thread.

    groups: numbers of heads with the same rows and seed, equally many in each. start: the weights
    of all heads, {name: [all heads, ...]}."""

    def __init__(
        self,
        data: HeadData,
        groups: Sequence[Sequence[int]],
        jobs: Sequence[Job],
        start: Mapping[str, Tensor],
        settings: HeadSettings,
    ) -> None:
        self.data, self.settings = data, settings
        self.heads = [b for group in groups for b in group]
        self.jobs = [jobs[b] for b in self.heads]
        self.group_jobs = [jobs[group[0]] for group in groups]  # rows and seed of each group
        first = torch.cat([start["map1"], start["bias1"][:, None]], 1)[self.heads]  # [B, K, H]
        first = first.transpose(1, 2)  # [B, H, K]
        self.first = [first[:, :, c].contiguous() for c in data.columns]  # [B, H, K_p] of each part
        self.second: list[Tensor] = []  # [B, C, H] and [B, C, 1] where there is a hidden layer
        if "map2" in start:
            self.second = [
                start["map2"][self.heads].transpose(1, 2).contiguous(),
                start["bias2"][self.heads][..., None].clone(),
            ]
        self.weights = [*self.first, *self.second]
        self.grads = [torch.zeros_like(w) for w in self.weights]
        # Adam's running means of the gradients and of their squares, and its counts of steps.
        self.means = [torch.zeros_like(w) for w in self.weights]
        self.squares = [torch.zeros_like(w) for w in self.weights]
        self.counts = [torch.zeros(()) for _ in self.weights]
        # [B, 1, 1]: the gradient of decay |W|^2 is 2 decay W
        decays = torch.tensor([j.decay for j in self.jobs], dtype=torch.float32)
        self.twice_decay = 2 * decays[:, None, None]
        self.rows = [torch.from_numpy(j.rows) for j in self.group_jobs]
        self.shares = [torch.from_numpy(j.weights) for j in self.jobs]
        # Memory that every step uses again.
        batch = settings.batch
        self.hidden = torch.empty(len(self.heads), first.shape[1], batch)  # [B, H, n]
        self.activated = torch.empty(len(self.heads), first.shape[1], batch)  # [B, H, n]
        self.product = torch.empty(self.hidden.numel())
        self.inputs = [
            torch.empty(len(groups) * batch, x.shape[1]) for x in (data.rest, *data.wide)
        ]

    def _by_group(self, values: Tensor) -> Tensor:
        """[B, H, x] as [G, P H, x], the same memory: the heads of a group read the same rows."""
        return values.view(len(self.group_jobs), -1, values.shape[2])

    def train(self) -> dict[str, Tensor]:
        """Weights by name, {name: [B, ...]}, in the order of `heads`."""
        steps = self.settings.steps
        for first in range(0, steps, STEPS_AT_ONCE):
            batches = self.batches(range(first, min(first + STEPS_AT_ONCE, steps)))
            for t in range(len(batches.rows)):
                self.gradients(batches, t)
                # cosine schedule from `rate` to 0 (Loshchilov & Hutter 2017, equation 5)
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
        """`weights`, or tensors of the same shapes, by the names and in the shapes of the join."""
        first, second = values[: len(self.first)], values[len(self.first) :]
        width = sum(part.shape[2] for part in first)  # K
        whole = torch.empty(len(self.heads), width, self.hidden.shape[1])  # [B, K, H]
        for part, columns in zip(first, self.data.columns, strict=True):
            whole[:, columns] = part.transpose(1, 2)
        out = {"map1": whole[:, :-1], "bias1": whole[:, -1]}
        if second:
            out |= {"map2": second[0].transpose(1, 2), "bias2": second[1][..., 0]}
        return out

    def batches(self, steps: range) -> StepBatches:
        """The batches of these heads in some steps."""
        settings, data, jobs = self.settings, self.data, self.group_jobs
        heads_a_group = len(self.heads) // len(jobs)  # P
        # Draws depend on (row count, seed) and on the seed alone; groups share them.
        orders = {
            (rows, seed): draws.order(rows, settings.batch, seed, steps)
            for rows, seed in {(len(j.rows), j.seed) for j in jobs}
        }
        chances = {
            seed: draws.chances(len(data.fields), settings.batch, seed, steps)
            for seed in {j.seed for j in jobs}
        }
        # places among the group's own rows, and the numbers of these rows: [T, G, n]
        places = torch.stack([orders[len(j.rows), j.seed] for j in jobs], 1)
        rows = torch.stack(
            [r[orders[len(j.rows), j.seed]] for r, j in zip(self.rows, jobs, strict=True)], 1
        )
        chance = torch.stack([chances[j.seed] for j in jobs], 2)[list(data.fields)]  # [F, T, G, n]
        # numpy's take is faster than torch's here
        present = torch.from_numpy(data.present.numpy().take(rows.numpy(), axis=1))  # [F, T, G, n]
        shown = draws.shown(present, chance, settings.dropout)  # [F, T, G, n]
        first = shown[0]  # [T, G, n]
        second = shown[1] if len(shown) > 1 else torch.zeros_like(first)
        # Order of a batch: rows that show the widest field alone (0), both (1), the second widest
        # alone (2), neither (3). So each of the two fields is shown in one span of rows.
        kind = torch.where(first, second.byte(), 3 - second.byte())
        sort = torch.from_numpy(np.argsort(kind.numpy(), axis=2, kind="stable"))
        places, rows = places.gather(2, sort), rows.gather(2, sort)
        shown = shown.gather(3, sort.expand_as(shown))
        lengths = shown[:WIDE_FIELDS].sum(3)  # [wide, T, G]
        starts = torch.stack([torch.zeros_like(lengths[0]), (first & ~second).sum(2)])
        starts = starts[: len(lengths)]
        begin, end = starts.amin(2), (starts + lengths).amax(2)  # [wide, T], over all groups
        share = torch.stack(
            [w[places[:, k // heads_a_group]] for k, w in enumerate(self.shares)], 1
        )  # [T, B, n]
        truth = data.truth.index_select(1, rows.flatten()).view(-1, *rows.shape)  # [C, T, G, n]
        # The loss is a mean over n rows; the gradient of a squared error is twice the difference.
        factor = (2 if settings.numeric else 1) / settings.batch
        return StepBatches(
            rows,
            share[:, :, None] * factor,
            truth.movedim(0, 2)[:, :, None],
            torch.cat([shown, torch.ones_like(shown[:1])]).movedim(0, 1)[..., None].float(),
            torch.stack([begin, end - begin], 2).movedim(1, 0).tolist(),
        )

    def gradients(self, batches: StepBatches, t: int) -> None:
        """Writes into `grads` the gradient of step t's loss plus decay |W|^2, W all weights but
        biases.

        Forward: z = sum over parts of W_p x_p; with a hidden layer the scores are V gelu(z) + b,
        else z. Backward: the chain rule, line by line below."""
        data, rows, shown = self.data, batches.rows[t], batches.shown[t]  # [G, n], [F + 1, G, n, 1]
        parts = [self._by_group(w) for w in self.first]  # W_p, [G, P H, K_p]
        grads = [self._by_group(g) for g in self.grads[: len(self.first)]]  # dL/dW_p, as W_p
        z = self.hidden  # [B, H, n]: before the activation, or the scores
        z_by_group = self._by_group(z)  # [G, P H, n], the same memory

        # x_0 = rest * (which of its columns are shown), [G, n, K_0]
        column_shown = torch.matmul(shown[..., 0].permute(1, 2, 0), data.owner)  # [G, n, K_0]
        rest = self._inputs(0, data.rest, rows).mul_(column_shown)
        torch.bmm(parts[0], rest.transpose(1, 2), out=z_by_group)  # z = W_0 x_0
        wide = []
        for k, (field, span) in enumerate(zip(data.wide, batches.spans[t], strict=True)):
            # x_p on its span of m rows, [G, m, K_p]; elsewhere in the batch no group shows it
            x = self._inputs(k + 1, field, rows.narrow(1, *span)).mul_(shown[k].narrow(1, *span))
            size = (*z_by_group.shape[:2], span[1])
            product = self.product[: int(np.prod(size))].view(size)  # [G, P H, m]
            torch.bmm(parts[k + 1], x.transpose(1, 2), out=product)
            z_by_group.narrow(2, *span).add_(product)  # z += W_p x_p
            wide.append(x)

        if self.second:
            (weight, bias), (weight_grad, bias_grad) = self.second, self.grads[-2:]
            torch.ops.aten.gelu.out(z, out=self.activated)  # a = gelu(z), [B, H, n]
            scores = torch.baddbmm(bias, weight, self.activated)  # V a + b, [B, C, n]
            error = self._score_gradient(scores, batches, t)  # dL/dscores, [B, C, n]
            torch.sum(error, 2, keepdim=True, out=bias_grad)  # dL/db = sum_n error, [B, C, 1]
            torch.bmm(error, self.activated.transpose(1, 2), out=weight_grad)  # error a^T, [B,C,H]
            weight_grad.addcmul_(weight, self.twice_decay)  # + 2 decay V
            torch.bmm(weight.transpose(1, 2), error, out=self.activated)  # dL/da = V^T error
            # dL/dz = dL/da * gelu'(z), [B, H, n]
            error = torch.ops.aten.gelu_backward.grad_input(
                self.activated, z, grad_input=self.activated
            )
        else:
            error = self._score_gradient(z, batches, t)  # dL/dz, [B, C, n]

        z_grad = self._by_group(error)  # [G, P H, n]
        torch.bmm(z_grad, rest, out=grads[0])  # dL/dW_0 = dL/dz x_0^T, [G, P H, K_0]
        for x, grad, span in zip(wide, grads[1:], batches.spans[t], strict=True):
            torch.bmm(z_grad.narrow(2, *span), x, out=grad)  # dL/dW_p, on the span of x_p alone
        for k, (part, grad) in enumerate(zip(self.first, self.grads, strict=False)):
            # the last column of part 0 is the bias, which has no decay
            decayed = part.shape[2] - (k == 0)
            grad[:, :, :decayed].addcmul_(part[:, :, :decayed], self.twice_decay)  # + 2 decay W_p

    def _inputs(self, part: int, values: Tensor, rows: Tensor) -> Tensor:
        """float32 [G, m, K_p]: these rows (int64 [G, m]) of values [N, K_p], in the memory of their
        part."""
        out = self.inputs[part][: rows.numel()]
        torch.index_select(values, 0, rows.flatten(), out=out)
        return out.view(*rows.shape, values.shape[1])

    def _score_gradient(self, scores: Tensor, batches: StepBatches, t: int) -> Tensor:
        """float32 [B, C, n]: dL/dscores = (link(scores) - truth) * share."""
        expected = self.data.link(scores)  # [B, C, n]
        by_group = expected.view(len(self.group_jobs), -1, *scores.shape[1:])  # [G, P, C, n]
        return (by_group - batches.truth[t]).view(scores.shape).mul_(batches.share[t])


def train(
    start: Mapping[str, Tensor],
    features: Sequence[Tensor],
    present: Tensor,
    answers: Tensor,
    jobs: Sequence[Job],
    settings: HeadSettings,
    progress: Progress,
) -> list[dict[str, Tensor]]:
    """As `batched.train_heads`. start: weights of the heads, {name: [all heads, ...]}."""
    data = HeadData.of(features, present, answers, settings)
    out: list[dict[str, Tensor]] = [{} for _ in jobs]
    with one_thread_each() as threads:

        def work(groups: list[Sequence[int]]) -> tuple[list[int], dict[str, Tensor]]:
            with torch.no_grad():  # a setting of the thread
                chunk = Chunk(data, groups, jobs, start, settings)
                return chunk.heads, chunk.train()

        done = 0
        for heads, weights in in_order(work, _chunks(jobs, threads), threads, ahead=threads):
            for k, b in enumerate(heads):
                out[b] = {name: w[k].clone() for name, w in weights.items()}
            done += len(heads)
            progress("train heads", done, len(jobs))
    return out


def _chunks(jobs: Sequence[Job], threads: int) -> list[list[Sequence[int]]]:
    """Chunks of groups of heads, as much work for every thread. A group has the same rows and seed;
    the groups of a chunk have as many heads, and those of one seed lie side by side."""
    alike: dict[tuple[int, bytes], list[int]] = {}
    for b, job in enumerate(jobs):
        alike.setdefault((job.seed, job.rows.tobytes()), []).append(b)
    groups = [
        heads
        for key in sorted(alike, key=lambda key: key[0])
        for heads in blocks(alike[key], HEADS_A_GROUP)
    ]
    out = []
    for size in sorted({len(group) for group in groups}, reverse=True):
        same_size = [group for group in groups if len(group) == size]
        rounds = -(-len(same_size) // (GROUPS_A_CHUNK * threads))
        count = min(rounds * threads, len(same_size))
        cuts = np.linspace(0, len(same_size), count + 1).round().astype(int)
        out += [same_size[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    return out
