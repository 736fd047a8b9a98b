"""ONNX Runtime Web: the two files that a page needs, fetched once from npm, known by their hashes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lomit.data.cache import cache_root
from lomit.errors import LomitError, line_of
from lomit.images import write_bytes

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
FILES: Mapping[str, str] = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""SHA-256 of the files of the package's `dist` that a page needs."""
LICENCES = {"LICENSE.txt": "LICENSE", "ThirdPartyNotices.txt": "ThirdPartyNotices.txt"}
"""Name here -> file of the Python package, which has ONNX Runtime's terms; the npm package leaves them out."""
_WAIT = 600


def runtime_files(given: Path | None = None) -> dict[str, bytes]:
    """Name -> content of the files, and of the terms that they come under.

    Args:
        given: the package, unpacked or as npm packed it; None: from lomit's cache, else by `npm pack` into it.

    Raises:
        LomitError: where the package can't be had, or isn't the one that is pinned.
    """
    kept = cache_root(None) / f"{PACKAGE}-{VERSION}"
    if given is not None:
        files = _checked(_read(given), str(given))
    elif all((kept / name).is_file() for name in FILES):
        files = _checked({name: (kept / name).read_bytes() for name in FILES}, str(kept))
    else:
        files = _checked(_fetched(), f"what npm packed as {PACKAGE}@{VERSION}")
        for name, content in files.items():
            write_bytes(kept / name, content, overwrite=True)
    return files | _licences()


def _checked(files: Mapping[str, bytes], source: str) -> dict[str, bytes]:
    for name, expected in FILES.items():
        if name not in files:
            raise LomitError(f"{source} has no dist/{name}; give the package {PACKAGE} {VERSION} as --runtime")
        if hashlib.sha256(files[name]).hexdigest() != expected:
            raise LomitError(
                f"{name} of {source} is not that of {PACKAGE} {VERSION} (its SHA-256 differs); remove it, or give "
                "the package of that version as --runtime"
            )
    return {name: files[name] for name in FILES}


def _read(path: Path) -> dict[str, bytes]:
    """The files that are there, of an unpacked or a packed package."""
    if not path.exists():
        raise LomitError(f"no such file or folder: {path} (--runtime)")
    try:
        if path.is_dir():
            return {name: (path / "dist" / name).read_bytes() for name in FILES if (path / "dist" / name).is_file()}
        with tarfile.open(path) as archive:
            packed = set(archive.getnames())
            members = {name: f"package/dist/{name}" for name in FILES if f"package/dist/{name}" in packed}
            found = {name: archive.extractfile(member) for name, member in members.items()}
            return {name: file.read() for name, file in found.items() if file is not None}
    except (OSError, EOFError, tarfile.TarError) as error:
        raise LomitError(f"{path} can't be read as the package {PACKAGE} (--runtime): {line_of(error)}") from error


def _fetched() -> dict[str, bytes]:
    """The files, by npm, which checks the package against the registry's own hash."""
    npm = shutil.which("npm")
    if npm is None:
        raise LomitError(
            f"a page needs {PACKAGE} {VERSION}, which npm fetches, and there is no npm: install it, or give the "
            "package as --runtime DIR or FILE.tgz"
        )
    with tempfile.TemporaryDirectory() as folder:
        words = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent"]
        try:
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=_WAIT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LomitError(f"npm did not fetch {PACKAGE}@{VERSION}: {line_of(error)}") from error
        packed = sorted(Path(folder).glob("*.tgz"))
        if done.returncode or not packed:
            said = next((line for line in done.stderr.splitlines() if line.strip()), f"exit code {done.returncode}")
            raise LomitError(f"npm did not fetch {PACKAGE}@{VERSION} ({said}); give the package as --runtime")
        return _read(packed[0])


def _licences() -> dict[str, bytes]:
    """ONNX Runtime's licence and notices, from the Python package of the same project."""
    import onnxruntime

    folder = Path(onnxruntime.__file__).parent
    try:
        return {name: (folder / file).read_bytes() for name, file in LICENCES.items()}
    except OSError as error:
        raise LomitError(f"the package onnxruntime is damaged ({line_of(error)}): install it again") from error
