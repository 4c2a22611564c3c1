"""A run: a chain of small values, each made from those before it.

folder -> data -> encoders -> checked rows -> features -> space -> predictor -> generator. A value
is made when it is first used, and stored as a stage of the run folder under a key of its inputs. So
a run that was killed continues, and a finished run opens without its data where a verb needs none.
Another generator, or a resample of the training rows, is `dataclasses.replace` on the chain.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property

from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import write_json
from gobelin.core.machine import Progress, environment
from gobelin.core.shell import shell_word
from gobelin.core.stages import RunFolder
from gobelin.data.dataset import Dataset
from gobelin.embedding.columns import schema
from gobelin.prediction.fusion_choice import AUTO, BEST_OF_ALL
from gobelin.workbench.run import data_files, parts
from gobelin.workbench.run.checked_rows import CheckedRows, Resample
from gobelin.workbench.run.data import RunData
from gobelin.workbench.run.delivered import RunDelivered
from gobelin.workbench.run.encoders import RunEncoders, stage_of
from gobelin.workbench.run.features import RunFeatures
from gobelin.workbench.run.generator import RunGenerator
from gobelin.workbench.run.predictor import RunPredictor
from gobelin.workbench.run.settings import Settings, record
from gobelin.workbench.run.space import RunSpace

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
OTHER_RUN = "Choose another --run, or delete that folder."


@dataclass(frozen=True, eq=False)
class Run:
    """The values of one run."""

    folder: RunFolder
    settings: Settings  # with all decisions so far, such as the number of steps
    data: RunData
    encoders: RunEncoders
    checked: CheckedRows
    features: RunFeatures
    space: RunSpace
    predictor: RunPredictor
    generator: RunGenerator

    @staticmethod
    def of(
        folder: RunFolder, settings: Settings, progress: Progress, given: Dataset | None = None
    ) -> Run:
        """The chain of a run folder. Nothing is read or written yet."""
        settings.reading.use()
        data = RunData(folder, settings, progress, given)
        encoders = RunEncoders(data)
        checked = CheckedRows(data, encoders)
        features = RunFeatures(data, encoders, checked, settings.tune)
        space = RunSpace(folder, checked, features)
        predictor = RunPredictor(folder, checked, features, space, settings.fusion)
        generator = RunGenerator(folder, checked, features, space, settings.generator)
        return Run(folder, settings, data, encoders, checked, features, space, predictor, generator)

    @cached_property
    def delivered(self) -> RunDelivered:
        """The predictor that answers for records. Nothing else of the run rests on it."""
        return RunDelivered(self.predictor, self.settings.refit)

    def begin(self) -> Run:
        """Write settings, environment, schema and encoders, which make the folder a run.

        The data may have new rows since the folder was begun. Raises GobelinError for data that
        can't be used, or that are not those of the run; nothing is written then.
        """
        rows, folder, runtime = self.data.rows, self.folder, self.data.runtime
        new = not folder.exists() or self._grown()
        named = {k: v for k, v in resolved(self.settings).items() if k in parts.TAKING_OVER}
        if new:  # later each stage that takes something over looks at what it takes
            self.data.take_over(named)
        else:
            data_files.check(folder.folder, rows.dataset, rows.schema, runtime.threads)
        _ = self.checked.scan  # refuses data with too many bad cells before anything is written
        used = set(self.data.schema.field_names) - set(self.settings.leave_out)
        if self.settings.tune.fields:
            from gobelin.prediction.tuning import decision  # it loads torch

            decision.check(self.settings.tune, self.encoders.embedder, used)
        parts.write(folder, rows.record)
        if new:
            data_files.write(folder.folder, rows.dataset, rows.schema, runtime.threads)
        begun = replace(
            self.settings.data, fingerprint=rows.dataset.fingerprint, parts=rows.parts_key
        )
        run = self.record(replace(self.settings, data=begun))
        folder.hold()
        if new:
            self.data.take_over(named)  # the folder is a run now, and remembers
        write_json(folder.folder / "environment.json", environment())
        write_json(folder.folder / "schema.json", schema.described(rows.schema))
        self.encoders.save()
        return run

    def _grown(self) -> bool:
        """Whether the data of this run have new rows or another order than when it was begun.

        Raises GobelinError where they are other data, or have another target.
        """
        rows, folder = self.data.rows, self.folder
        stored = folder.stored("settings.json")["data"]
        same = stored["fingerprint"] == rows.dataset.fingerprint
        record = None if same else parts.recorded(folder)
        missing = [] if record is None else record.missing(rows.named)
        if not same and (record is None or len(missing) == len(record.part_of)):
            raise GobelinError(f"{folder.folder}: holds a run of another data set. {OTHER_RUN}")
        if stored["target"] != self.settings.data.target:
            raise GobelinError(
                f"{folder.folder}: holds a run with the target {stored['target']!r}, found"
                f" {self.settings.data.target!r}. {OTHER_RUN}"
            )
        if record is None:
            return False
        if missing:
            raise GobelinError(
                f"{folder.folder}: holds a run of another data set: {len(missing)} of its"
                f" {len(record.part_of)} groups are not in {rows.dataset.source} (first:"
                f" {missing[0]!r}). A run takes new rows and loses none. Choose another --run; its"
                f" rows keep their parts with --parts-from {shell_word(str(folder.folder))}."
            )
        if self.settings.data.fingerprint:
            raise GobelinError(
                f"{folder.folder}: {rows.dataset.source} has new rows. Run gobelin fit again."
            )
        LOG.warning(
            "%s: the data have %d new groups. The %d recorded groups keep their part, and what was"
            " fitted is fitted again.",
            folder.folder,
            len(set(rows.named.names)) - len(record.part_of),
            len(record.part_of),
        )
        return True

    def record(self, settings: Settings) -> Run:
        """The run with these settings, written to settings.json. A later start reads measured
        decisions from there.
        """
        record(self.folder.folder, settings)
        return self.with_settings(settings)

    def with_settings(self, settings: Settings) -> Run:
        """The run with another fusion, generator or study, or with the steps of tuning. Values
        independent of them stay.
        """
        features, space = self.features, self.space
        predictor, generator = self.predictor, self.generator
        if settings.tune != features.tune:
            features = replace(features, tune=settings.tune)
            space = replace(space, features=features)
            predictor = replace(predictor, features=features, space=space)
            generator = replace(generator, features=features, space=space)
        if settings.fusion != predictor.fusion:
            predictor = replace(predictor, fusion=settings.fusion)
        if settings.generator != generator.settings:
            generator = replace(generator, settings=settings.generator)
        return replace(
            self,
            settings=settings,
            features=features,
            space=space,
            predictor=predictor,
            generator=generator,
        )

    def with_tuning_decided(self) -> Run:
        """The run with a number of tuning steps, decided once and recorded."""
        tune, features = self.settings.tune, self.features
        if not tune.fields or tune.steps:
            return self
        if self.folder.has("tuned", features.key_of(self.checked)):
            return self  # of an earlier version, which recorded no number
        return self.record(replace(self.settings, tune=replace(tune, steps=features.steps())))

    def with_fusion_chosen(self) -> Run:
        """The run with a fusion in the place of 'auto' or 'all', chosen once and recorded."""
        if self.settings.fusion.name not in (AUTO, BEST_OF_ALL):
            return self
        return self.record(replace(self.settings, fusion=self.predictor.choose_fusion()))

    def with_steps_decided(self) -> Run:
        """The run with a number of generator steps, decided once and recorded."""
        if self.settings.generator.steps:
            return self
        steps, seconds = self.generator.limited_steps()
        generator = replace(self.settings.generator, steps=steps, ended=0)
        run = self.record(replace(self.settings, generator=generator))
        if not seconds or not (ended := run.generator.ended_after(seconds)):
            return run
        return run.record(replace(run.settings, generator=replace(generator, ended=ended)))

    def on_resample(self, folder: RunFolder, resample: Resample) -> Run:
        """The run on a bootstrap of its training rows, in a folder of its own.

        Encoders and features stay. Space, predictor and generator are made again.
        """
        checked = replace(self.checked, resample=resample)
        space = replace(self.space, folder=folder, checked=checked)
        return replace(
            self,
            folder=folder,
            checked=checked,
            space=space,
            predictor=replace(self.predictor, folder=folder, checked=checked, space=space),
            generator=replace(self.generator, folder=folder, checked=checked, space=space),
        )

    def keep(self) -> None:
        """Write as stages what later verbs need of the rows: as they were checked, and their
        features; of more than can be kept, as search finds them.
        """
        self.checked.keep()
        self.features.keep()
        if not self.features.are_kept:
            _ = self.space.stored_rows()

    def keys(self) -> dict[str, str]:
        """{stage: key} of the stages that predicting and generating need with these settings."""
        keys = {stage_of(field): self.data.key for field in self.data.schema.fields}
        if self.settings.tune.fields:
            keys["tuned"] = self.features.key_of(self.checked)
        keys |= {"alignment": self.space.key, "model": self.predictor.key}
        generator = self.generator
        seeds = range(self.settings.generator.seeds)
        return keys | {generator.stage(seed): generator.key(seed) for seed in seeds}
