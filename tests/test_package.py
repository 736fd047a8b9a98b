"""The wheel is complete and runs in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lomit

ROOT = Path(__file__).parents[1]


def run(*command: object, cwd: Path) -> str:
    """The command's standard output; where it fails, the test fails with what it wrote."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the working tree, with the backend that is installed, so without network."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment: the wheel's own lomit, everything else from this one."""
    home = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home)
    python = home / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=home)
    fresh = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    # Folders named in a .pth file come after site-packages and their own .pth files are not read, so an editable
    # lomit in the outer environment stays out of sight.
    outer = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (fresh / "outer.pth").write_text("\n".join(outer), "utf-8")
    return python.parent


def test_wheel_holds_code_weights_and_licences(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    source = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "lomit").rglob("*.py")}
    assert source <= names
    for file in ("model.safetensors", "config.json", "README.md"):
        assert f"lomit/pretrained/avatars/{file}" in names
    study = {f"lomit/apps/study/{file}" for file in ("vendor/jspsych.js", "vendor/LICENSE", "vendor/README.md")}
    app = ROOT / "src" / "lomit" / "apps" / "study"
    pages = {str(path.relative_to(ROOT / "src")) for path in (*app.glob("static/*"), *app.parent.glob("templates/*"))}
    assert len(pages) >= 10
    assert study | pages <= names
    info = f"lomit-{lomit.__version__}.dist-info"
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/docs/credits-avatars.md"} <= names
    strays = {name for name in names if not name.startswith(("lomit/", f"{info}/")) or "__pycache__" in name}
    assert not strays


def test_wheel_stays_small(wheel: Path) -> None:
    # The weights may take 12 MB; the code takes a fraction of one.
    assert wheel.stat().st_size < 13 * 2**20


def test_installed_wheel_reports_its_version(installed: Path, tmp_path: Path) -> None:
    origin = run(installed / "python", "-c", "import lomit; print(lomit.__file__)", cwd=tmp_path).strip()
    assert Path(origin).is_relative_to(installed.parent)
    assert run(installed / "lomit", "--version", cwd=tmp_path).split()[-1] == lomit.__version__
    assert run(installed / "python", "-m", "lomit", "--version", cwd=tmp_path).split()[-1] == lomit.__version__


def test_installed_wheel_translates_with_its_own_weights(installed: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("input", "exemplar"):
        flat = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))  # as renderings are
        flat.resize((96, 80), Image.Resampling.NEAREST).save(tmp_path / f"{name}.png")
    run(
        *(installed / "lomit", "translate", "input.png", "exemplar.png", "--out", "out"),
        cwd=tmp_path,
    )
    (result,) = (tmp_path / "out").glob("*.png")
    assert Image.open(result).size == (96, 80)
