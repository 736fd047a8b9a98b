"""What comes from outside, damaged at random: read, or refused in one line, soon; never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lomit.classifier.config import ClassifierConfig
from lomit.classifier.network import AttributeClassifier, ClassifierCard, load_classifier, save_classifier
from lomit.config import DataConfig, to_dict
from lomit.data.cache import build_cache
from lomit.data.open import open_root, open_source
from lomit.data.pack import write_pack
from lomit.engine import data_record
from lomit.engine.fabric import make_fabric
from lomit.engine.log import RunLog
from lomit.engine.loop import Loop
from lomit.engine.start import start_from
from lomit.engine.train import read_run_config, train
from lomit.errors import LomitError
from lomit.evaluation.results import Results, Row, read_results
from lomit.images import read_image
from lomit.images.exif import MARK, add_to_tiff, read_metadata
from lomit.images.tiff import Entry
from lomit.inference.editing import Edit
from lomit.inference.predictor import Predictor
from lomit.inference.weights import find_model, load_pretrained, save_pretrained
from lomit.models import method_of
from lomit.photo.faces import Face
from lomit.photo.files import read_photograph, write_photograph
from lomit.recipe import Portrait, Recipe, Scene, read_recipe
from lomit.recipe.file import Origin, gather
from lomit.report.curves import read_log
from lomit.reproduce.costs import Cost
from lomit.reproduce.run import Plan, read_plan
from lomit.reproduce.stages import Ledger, Stage
from lomit.stats.estimate import Estimate
from support import fuzz
from support.files import TURNED, exif, rational, srgb_profile, text, tiff_file
from support.tiny import real_methods, tiny_run, tiny_translator, write_folder

SLOWEST = 1.0
"""Seconds of a core that any input may take."""
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
METADATA = exif(TURNED | {0x8298: text("© Müller"), 0x011A: rational(72, 1), 0x927C: Entry(7, 300, bytes(300))})
LENGTHS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


@dataclass
class Tally:
    """What became of the inputs of one kind."""

    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        tried = self.read + self.refused + len(self.failures)
        return (
            f"{tried} tried, {self.read} read, {self.refused} refused, {len(self.failures)} tracebacks, "
            f"slowest {self.slowest:.2f} s"
        )


SMALL = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((48, 36))
DEEP = Image.fromarray(np.random.default_rng(1).integers(0, 65536, (12, 16), dtype=np.uint16))
KINDS: dict[str, tuple[Image.Image, dict[str, object]]] = {
    # Name of a file: what it shows, and how it is saved.
    "jpg": (SMALL, {"quality": 90}),
    "progressive.jpg": (SMALL, {"progressive": True}),
    "grey.jpg": (SMALL.convert("L"), {}),
    "cmyk.jpg": (SMALL.convert("CMYK"), {}),
    "png": (SMALL, {}),
    "alpha.png": (SMALL.convert("RGBA"), {}),
    "palette.png": (SMALL.quantize(16), {}),
    "16.png": (DEEP, {}),
    "webp": (SMALL, {}),
    "lossless.webp": (SMALL.convert("RGBA"), {"lossless": True}),
    "tif": (SMALL, {"compression": "tiff_lzw"}),
    "plain.tif": (SMALL, {}),
    "16.tif": (DEEP, {}),
    "bmp": (SMALL, {}),
    "palette.bmp": (SMALL.quantize(16), {}),
    "gif": (SMALL.quantize(64), {"transparency": 1}),
}
FLOATS = tiff_file(np.random.default_rng(2).random((12, 16, 3)).astype(np.float32), 2)


def saved(name: str, metadata: bytes, profile: bytes, xmp: bytes) -> bytes:
    """A picture of a kind with these blocks beside its pixels, where the kind has room for them."""
    image, options = KINDS[name]
    kind, file = name.split(".")[-1], io.BytesIO()
    if kind in ("jpg", "png", "webp"):
        options = {**options, "exif": metadata, "icc_profile": profile}
        if kind == "png":
            info = PngInfo()
            info.add_itxt("XML:com.adobe.xmp", xmp.decode("latin-1"))
            info.add_text("Comment", "a picture", zip=True)
            options["pnginfo"] = info
        else:
            options["xmp"] = xmp
    elif kind == "tif":
        options = {**options, "icc_profile": profile}
    image.save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()), **options)
    if kind == "tif":
        add_to_tiff(file, read_metadata(io.BytesIO(metadata.removeprefix(MARK))))
    return file.getvalue()


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The content with something changed: bits, lengths, pieces cut out, put in twice or elsewhere, an end cut off."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not out:
            break
        at = int(rng.integers(len(out)))
        # Half of the damage goes where headers and metadata are.
        at = at % 512 % len(out) if rng.random() < 0.5 else at
        length = int(rng.integers(1, 40))
        match int(rng.integers(8)):
            case 0:
                out[at] ^= 1 << int(rng.integers(8))
            case 1:
                out[at] = int(rng.integers(256))
            case 2:
                size = int(rng.choice([1, 2, 4]))
                value = int(rng.choice(LENGTHS)) & (256**size - 1)
                out[at : at + size] = value.to_bytes(size, "big" if rng.random() < 0.5 else "little")
            case 3:
                del out[at : at + length]
            case 4:
                out[at:at] = out[at : at + length]
            case 5:
                out[at : at + length] = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
            case 6:
                there = int(rng.integers(len(out)))
                out[at : at + length] = out[there : there + length]
            case _:
                del out[max(at, 1) :]
    return bytes(out)


WORDS = (
    "",
    "1",
    "0",
    "-1",
    "nan",
    "?",
    "999",
    "ja",
    "\0",
    '"',
    "'",
    ";",
    "\t",
    "..",
    "/",
    "\\",
    "a" * 300,
    "é",
    "\ufeff",
    "9" * 30,
)


def damaged_text(data: bytes, rng: np.random.Generator) -> bytes:
    """A table or list with a line or a cell changed, or damaged as any file."""
    if rng.random() < 0.4:
        return damaged(data, rng)
    lines = data.decode("utf-8").split("\n")
    for _ in range(int(rng.integers(1, 4))):
        k = int(rng.integers(len(lines)))
        cut = next((d for d in (",", "\t", " ") if d in lines[k]), ",")
        cells = lines[k].split(cut)
        match int(rng.integers(5)):
            case 0:
                cells[int(rng.integers(len(cells)))] = str(rng.choice(WORDS))
            case 1:
                cells.append(str(rng.choice(WORDS)))
            case 2:
                cells.pop()
            case 3:
                lines.insert(k, lines[int(rng.integers(len(lines)))])
            case _:
                lines[k] = ""
        if cells != lines[k].split(cut):
            lines[k] = cut.join(cells)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def attempt(tally: Tally, name: str, read: Callable[[], object]) -> None:
    began = time.process_time()
    try:
        read()
        tally.read += 1
    except LomitError as error:
        tally.refused += 1
        if "\n" in str(error):
            tally.failures.append(f"{name}: more than one line: {error!r}")
    except Exception as error:  # this is what is looked for
        tally.failures.append(f"{name}: {type(error).__name__}: {error}")
    took = time.process_time() - began
    tally.slowest = max(tally.slowest, took)
    if took > SLOWEST:
        tally.failures.append(f"{name}: took {took:.2f} s")


def rounds(count: int, seed: int) -> Iterator[np.random.Generator]:
    return (np.random.default_rng([seed, k]) for k in range(count))


def fuzz_pictures(folder: Path, count: int, seed: int = 0) -> Tally:
    """Each damaged picture is read; one that can be read is written as a photograph, in each format in turn.

    Half of the pictures are damaged anywhere, half only in a block beside the pixels, whose checksums are then right.
    """
    tally, names = Tally(), [*KINDS]
    whole = {name: saved(name, METADATA, srgb_profile(), XMP) for name in names} | {"floats.tif": FLOATS}
    names.append("floats.tif")
    for k, rng in enumerate(rounds(count, seed)):
        name = names[k % len(names)]
        if rng.random() < 0.5 and name.split(".")[-1] in ("jpg", "png", "webp"):
            blocks = [METADATA, srgb_profile(), XMP]
            chosen = int(rng.integers(3))
            blocks[chosen] = damaged(blocks[chosen], rng)
            data = saved(name, *blocks)
        else:
            data = damaged(whole[name], rng)
        path, out = folder / f"a.{name}", folder / f"out.{('jpg', 'png', 'webp', 'tif')[k // len(names) % 4]}"
        path.write_bytes(data)

        def there_and_back(path: Path = path, out: Path = out) -> None:
            photo = read_photograph(path)
            write_photograph(out, photo.picture.with_colours(photo.picture.rgb), photo, overwrite=True)
            assert read_image(out).size == photo.picture.size

        attempt(tally, f"{seed}/{k} {name}", there_and_back)
    return tally


def write_sets(folder: Path) -> dict[Path, list[str]]:
    """A small set in each layout -> its tables and lists."""
    image = Image.new("RGB", (16, 16), "red")
    names = [f"{k:06d}.jpg" for k in range(12)]
    aligned = "img_align_celeba"
    for place in ("folder/images", f"celeba/{aligned}", f"kaggle/{aligned}/{aligned}", "emotionet/images"):
        (folder / place).mkdir(parents=True)
        for name in names:
            image.save(folder / place / name)
    (folder / "high/CelebA-HQ-img").mkdir(parents=True)
    for k in range(len(names)):
        image.save(folder / f"high/CelebA-HQ-img/{k}.jpg")

    def rows(form: str, *head: str) -> list[str]:
        return [
            *head,
            *(form.format(n=n, k=k, y=k % 2, s=k % 2 * 2 - 1, p=k // 2, part=k % 3) for k, n in enumerate(names)),
        ]

    info = {"groups": [["Smiling", "Hat"]], "regions": ["hat"], "region_of": {"Hat": ["hat"]}}
    units = "\t".join(["1", "0", "999"] * 20)
    tables = {
        "folder/attributes.csv": rows("{n},{y},1,{part},p{p}", "image,Smiling,Hat,split,identity"),
        "folder/dataset.json": [json.dumps(info)],
        "celeba/list_attr_celeba.txt": rows("{n} {s} -1", "12", "Smiling Male"),
        "celeba/identity_CelebA.txt": rows("{n} {p}"),
        "celeba/list_eval_partition.txt": rows("{n} {part}"),
        "kaggle/list_attr_celeba.csv": rows("{n},{s},-1", "image_id,Smiling,Male"),
        "kaggle/list_eval_partition.csv": rows("{n},{part}", "image_id,partition"),
        "high/CelebAMask-HQ-attribute-anno.txt": rows("{k}.jpg {s} -1", "12", "Smiling Male"),
        "high/CelebA-HQ-to-CelebA-mapping.txt": rows("{k} {k} {n}", "idx orig_idx orig_file"),
        "high/identity_CelebA.txt": rows("{n} {p}"),
        "emotionet/EmotioNet_FACS.csv": rows("'http://a/{n}','o',{y},999", "URL,URL orig,'AU 1','AU 12'"),
        "emotionet/dataFile_0001.txt": rows("http://a/{n}\to\t" + units),
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    sets: dict[Path, list[str]] = {}
    for name in tables:
        sets.setdefault(folder / name.split("/")[0], []).append(name.split("/")[1])
    return sets


def fuzz_tables(folder: Path, count: int, seed: int = 0) -> Tally:
    """In each round one list of one set is damaged, and the set is opened."""
    tally = Tally()
    chosen = [(root, table) for root, tables in write_sets(folder).items() for table in tables]
    for k, rng in enumerate(rounds(count, seed)):
        root, table = chosen[k % len(chosen)]
        whole = (root / table).read_bytes()
        (root / table).write_bytes(damaged_text(whole, rng))
        attempt(tally, f"{seed}/{k} {root.name}/{table}", lambda root=root: open_source(DataConfig(root=str(root))))
        (root / table).write_bytes(whole)
    return tally


def fuzz_packs(folder: Path, count: int, seed: int = 0) -> Tally:
    """A damaged pack, or a whole one with a damaged file in it: opened, and every image and mask of it loaded."""
    tally = Tally()
    (root,) = (root for root in write_sets(folder) if root.name == "folder")
    config = DataConfig(root=str(root), image_size=16, workers=0)
    write_pack(open_source(config), config, folder / "whole", progress=False)
    whole = (folder / "whole").read_bytes()
    with zipfile.ZipFile(folder / "whole") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def load(path: Path) -> None:
        source = open_root(path, "pack")
        for index in range(len(source)):
            with contextlib.suppress(OSError, LomitError):  # what the cache takes for a damaged image
                source.load(index)
                source.regions(index)

    for k, rng in enumerate(rounds(count, seed)):
        path = folder / "pack"
        if rng.random() < 0.4:
            path.write_bytes(damaged(whole, rng))
        else:
            name = str(rng.choice([*members]))
            name = str(rng.choice(["pack.json", "labels.npy"])) if rng.random() < 0.7 else name
            with zipfile.ZipFile(path, "w") as archive:
                for member, data in members.items():
                    archive.writestr(member, damaged(data, rng) if member == name else data)
        attempt(tally, f"{seed}/{k} pack", lambda path=path: load(path))
    return tally


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """A file damaged anywhere, or with odd values in its JSON: all of it, each line, or the header of tensors."""
    odd = Random(int(rng.integers(2**32)))

    def rewritten(values: bytes) -> bytes:
        return fuzz.as_text(odd, fuzz.mutated(odd, json.loads(values), odd.choice((1, 1, 2, 4))))

    if rng.random() < 0.3:
        return damaged(data, rng)
    if data[8:9] == b"{":  # tensors: the length of their header, and the header
        size = int.from_bytes(data[:8], "little")
        header = rewritten(data[8 : 8 + size])
        return len(header).to_bytes(8, "little") + header + data[8 + size :]
    if b"\n{" in data:
        lines = data.splitlines()
        at = odd.randrange(len(lines))
        return b"\n".join([*lines[:at], rewritten(lines[at]), *lines[at + 1 :]])
    return rewritten(data) if data.startswith(b"{") else damaged_text(data, rng)


def fuzz_files(readers: dict[Path, Callable[[], object]], count: int, seed: int) -> Tally:
    """In each round one file is damaged, and read by its reader."""
    tally, paths = Tally(), [*readers]
    for k, rng in enumerate(rounds(count, seed)):
        path = paths[k % len(paths)]
        whole = path.read_bytes()
        path.write_bytes(changed(whole, rng))
        attempt(tally, f"{seed}/{k} {path.parent.name}/{path.name}", readers[path])
        path.write_bytes(whole)
    return tally


def fuzz_models(folder: Path, count: int, seed: int = 0) -> Tally:
    """A translator of each method, and a classifier."""
    readers: dict[Path, Callable[[], object]] = {}
    for method in real_methods():
        model = save_pretrained(tiny_translator(method), folder / method)
        readers |= {model / name: partial(load_pretrained, model) for name in ("config.json", "model.safetensors")}
    classifier, place = AttributeClassifier(ClassifierConfig(("Hat",), 32, 8, 8)), folder / "classifier"
    save_classifier(classifier, ClassifierCard({}, {}), "", place)
    readers |= {place / name: partial(load_classifier, place) for name in ("config.json", "model.safetensors")}
    return fuzz_files(readers, count, seed)


def fuzz_runs(folder: Path, count: int, seed: int = 0) -> Tally:
    """What a run leaves: to resume from, to start another run from, to report on; and the records of experiments."""
    config, run = tiny_run(write_folder(folder / "set"), steps=2, save_every=2), folder / "run"
    train(config, run, quiet=True)
    cache = build_cache(open_source(config.data), config.data, progress=False)
    loop = Loop(make_fabric(config.train), method_of(config.model), config, cache, folder / "other")
    step = run / "checkpoints" / "step_0000002"
    stage = Stage("faces", ("data", "avatars"), folder / "faces")
    ledger = Ledger(folder, [stage])
    ledger.run(lambda words: 0, lambda line: None)
    plan = Plan("rivals", "cpu", {"train": Cost(1.0, 1.0, {"D": 1.0})})
    (folder / "plan.json").write_text(json.dumps(to_dict(plan)))
    row = Row("iou", "Masks", "overlap", {"model": Estimate(0.5, 0.4, 0.6, 20, 10)})
    (folder / "results.json").write_text(Results({"protocol": "masks", "seed": 0}, ["A note."], [row]).to_json())
    start = partial(start_from, str(step), loop.translator, loop.ema)
    readers = {
        run / "config.json": partial(read_run_config, run / "config.json"),
        run / "data.json": partial(data_record.update, run, cache, True),
        run / "log.jsonl": lambda: (read_log(run / "log.jsonl"), RunLog(run, 2).close()),
        run / "checkpoints" / "latest": lambda: find_model(run),
        step / "state.json": lambda: (start(), loop.resume(step)),
        step / "training.safetensors": lambda: (start(), loop.resume(step)),
        step / "config.json": start,
        step / "model.safetensors": lambda: loop.resume(step),
        folder / "plan.json": partial(read_plan, folder, "rivals"),
        folder / "stages" / "faces.json": lambda: ledger.check(False),
        folder / "results.json": lambda: read_results(folder / "results.json").to_markdown(),
    }
    return fuzz_files(readers, count, seed)


def fuzz_recipes(folder: Path, count: int, seed: int = 0) -> Tally:
    """A recipe with masks and faces, made again where it can be read."""
    predictor = Predictor(tiny_translator(), "cpu")
    face = Face.from_crop((4, 2, 34, 32))
    sources = [Portrait(name, partial(read_image, folder / name), face) for name in ("me.png", "you.png")]
    for name in ("me.png", "you.png"):
        SMALL.save(folder / name)
    mask = Image.new("L", (16, 16), 200)
    origins = [Origin.of(source) for source in sources]
    recipe = Recipe("m", "0", origins[0], (origins[1],), Edit(mask, (mask,)), True, None, 1, "0")
    path = folder / "recipe.json"
    path.write_text(recipe.to_json())

    def make() -> None:
        again = read_recipe(path)
        portraits = gather(again, [], folder, read_image)
        scene = Scene(predictor, portraits[0], portraits[1:], again.label)
        scene.place(scene.render(again.edit), again.edit, again.composite)

    return fuzz_files({path: make}, count, seed)


FUZZERS: dict[str, tuple[Callable[[Path, int, int], Tally], int, int]] = {
    # what is damaged: (how, rounds of every run of the tests, rounds of the long run)
    "pictures": (fuzz_pictures, 340, 14_000),
    "tables": (fuzz_tables, 270, 5_000),
    "packs": (fuzz_packs, 120, 3_000),
    "models": (fuzz_models, 140, 3_000),
    "runs": (fuzz_runs, 140, 3_000),
    "recipes": (fuzz_recipes, 100, 2_000),
}


@pytest.mark.parametrize("kind", FUZZERS)
def test_damaged_files_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    task, count, _ = FUZZERS[kind]
    tally = task(tmp_path, count, 0)
    assert not tally.failures, "\n".join(tally.failures[:20])
    assert tally.read > count // 20, "else nothing but refusing was tried"
    assert tally.refused > count // 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", FUZZERS)
def test_many_damaged_files(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    task, _, count = FUZZERS[kind]
    tally = task(tmp_path, int(os.environ.get("LOMIT_FUZZ", count)), 1)
    with capsys.disabled():
        print(f"\n{kind}: {tally}")
    assert not tally.failures, "\n".join(tally.failures[:20])
