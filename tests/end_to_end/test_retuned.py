"""A study whose arms train the image encoder anew on their own rows. Oracle: each arm done alone,
step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_study import SETTINGS, digits  # noqa: E402

from gobelin import Workbench
from gobelin.augmentation.arms import Outcome
from gobelin.core.errors import GobelinError
from gobelin.core.machine import silent
from gobelin.prediction.tuning import decision
from gobelin.workbench.augment import tuned_arms

OVER = {
    "encoders": {"image": {"name": "convolution", "pixels": 12, "filters": 4, "patch": 3}},
    "tune": {"fields": ("image",), "steps": 3, "how": "full", "batch": 16},
    "generator": {**SETTINGS["generator"], "seeds": 1},
    "augment": {
        **SETTINGS["augment"],
        "generators": ("vaegan",),
        "rivals": ("copies",),
        "ratio": (0.2,),
        "tune": True,
    },
}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("retuned")
    made = Workbench(
        digits(folder, 300), target="digit", run=folder / "run", settings={**SETTINGS, **OVER}
    )
    made.fit()
    return made


def test_every_arm_has_encoders_of_its_own(
    fitted: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each head is what its rows give alone, its encoders trained by themselves and on nothing
    else."""
    asked, fit = [], tuned_arms.fit

    def told(*said: Any) -> Any:  # noqa: ANN401
        asked.append((said, fit(*said)))
        return asked[0][1]

    monkeypatch.setattr(tuned_arms, "fit", told)
    run = fitted.run
    found = fitted.augment()
    (((_, fusion, table, jobs, test), given),) = asked
    hits = Outcome.load(run.folder.checked("outcome")).hits
    assert len(jobs) == len(given) == len(hits) * SETTINGS["augment"]["seeds"] and set(hits) == {
        "real",
        "copies",
        "generated",
    }
    origins = table.dataset.with_origin().origins
    shared = tuned_arms._Rows(
        run, fusion, table, tuned_arms._groups(run, table.dataset), test, run.folder.folder
    )
    assert "generated" in origins[jobs[-1].rows] and not set(test) & set(
        run.checked.rows.part("train")
    )
    truth = run.checked.rows.target.values[test]
    for k, (name, seed) in enumerate([(n, s) for n in hits for s in range(2)]):
        job, predictor, seen = jobs[k], given[k].predictor, given[k].test
        which, place = np.unique(job.rows, return_inverse=True)
        material = shared.tuning_data(job)
        held = decision.held_back(run.settings.tune, material.training)
        assert (
            material.training.weights[held & (origins[which] != "real")] == 0
        ).all() and material.training.weights[~held].all()
        encoders, _, _ = decision.trained(run.settings.tune, material, None)
        reader = replace(
            run.encoders.embedder,
            encoders={**run.encoders.embedder.encoders, **encoders},
            cache=None,
        )
        own = reader.embed(material.dataset).keep(run.predictor.fields)
        basis = np.flatnonzero(origins[which] == "real")
        (alone,) = fusion.fit(
            own,
            table.target.rows(which),
            [replace(job, rows=place)],
            basis,
            run.data.runtime,
            silent,
        )
        scores = alone.scores(
            reader.embed(run.checked.rows.dataset.rows(test)).keep(run.predictor.fields)
        )
        assert np.allclose(scores, predictor.scores(seen), atol=1e-5)
        assert np.array_equal((scores.argmax(1) == truth) * 1.0, hits[name][0, 0, seed])
    assert len({one.test.space for one in given}) == len(given), "no two trainings share an encoder"
    assert (
        "encoders trained on the rows of the set"
        in next(f for f in found if f.name == "protocol").note
    )
    assert not (run.folder.folder / "work" / "arms").exists()


def test_what_a_study_with_tuned_arms_needs(fitted: Workbench) -> None:
    plan = {f.name: f for f in fitted.plan(augment=True)}["encoders_to_train"]
    assert plan.value == 3 * SETTINGS["augment"]["seeds"] and "3 steps each" in plan.note
    wrong = (
        ({"tune": {"fields": ()}}, "tunes no encoder"),
        ({"augment": {"study": "method"}}, "does not train encoders"),
    )
    for over, word in wrong:
        with pytest.raises(GobelinError, match=word):
            Workbench.open(fitted.folder, settings=over).plan(augment=True)
