"""`lomit translate --photo`: faces found in photographs, translated and put back at the photographs' own size."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image
from tqdm import tqdm

from lomit.commands.pairs import Job, parse_label
from lomit.errors import LomitError
from lomit.images import Picture, read_image, read_mask, write_png

if TYPE_CHECKING:
    from lomit.commands.translate import TranslateOptions
    from lomit.photo import Face, PhotoResult
    from lomit.predictor import Predictor

SUFFIX_OF = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif"}
"""--format -> suffix."""


def translate_photos(options: TranslateOptions, jobs: Sequence[Job]) -> int:
    """Translates photographs one after the other and prints what was done; returns the exit code.

    Of several photographs, one that can't be read or has no such face is named and skipped.

    Raises:
        LomitError: for options that don't fit, for a single photograph that can't be used, for files that are in the
            way, and where nothing could be translated.
    """
    worker = _Worker(options)
    paths = [worker.path(job) for job in jobs]
    masks = [path.with_name(f"{job.name}_mask.png") for job, path in zip(jobs, paths, strict=True)]
    _check_outputs(options, jobs, paths + masks * options.save_masks)
    faces = done = 0
    skipped: set[str] = set()
    for job in tqdm(jobs, unit="photo", disable=None if len(jobs) > 1 else True):
        try:
            faces += worker.run(job)
            done += 1
        except _Unusable as error:
            if len(jobs) == 1:
                raise LomitError(str(error)) from error
            if str(error) not in skipped:
                tqdm.write(f"lomit: skipped: {error}", file=sys.stderr)
            skipped.add(str(error))
    if not done:
        raise LomitError("nothing to translate: every photograph was skipped")
    left = f"; skipped {len(jobs) - done}" if done < len(jobs) else ""
    print(
        f"translated {faces} face{'s' * (faces != 1)} in {done} photograph{'s' * (done != 1)} into {options.out}{left}"
    )
    return 2 if skipped and options.pairs is not None else 0


def parse_face(text: str, option: str) -> int | Literal["all"]:
    """`--face`: 1 (the largest), 2, ... or `all`, as a position from 0 or "all".

    Raises:
        LomitError: for anything else.
    """
    if text == "all":
        return "all"
    if not text.isdecimal() or int(text) < 1:
        raise LomitError(
            f"{option} must be 1 (the largest face), 2, ...{' or all' * (option == '--face')}; it is '{text}'"
        )
    return int(text) - 1


def parse_box(text: str | None, option: str) -> list[Face] | None:
    """`--face-box LEFT,TOP,RIGHT,BOTTOM` as the one face whose training crop it is; None for None.

    Raises:
        LomitError: for anything else, and for a box that is not square.
    """
    if text is None:
        return None
    from lomit.photo import Face

    try:
        left, top, right, bottom = (int(word) for word in text.split(","))
    except ValueError:
        raise LomitError(f"{option} needs four whole numbers LEFT,TOP,RIGHT,BOTTOM in pixels; it is '{text}'") from None
    return [Face.from_crop((left, top, right, bottom))]


class FaceOptions:
    """The options that `--photo` and `--video` share, parsed; the model and the exemplar, loaded when needed."""

    def __init__(self, options: TranslateOptions) -> None:
        self.options = options
        self.face = parse_face(options.face, "--face")
        exemplar_face = parse_face(options.exemplar_face, "--exemplar-face")
        if exemplar_face == "all":
            raise LomitError("--exemplar-face must be a number: a style is taken from one face")
        self.exemplar_face = exemplar_face
        self.faces = parse_box(options.face_box, "--face-box")
        self.exemplar_faces = parse_box(options.exemplar_box, "--exemplar-box")
        self.label = None if options.label is None else dict(parse_label(options.label))
        if self.faces is None or (self.exemplar_faces is None and options.exemplar):
            from lomit.photo.faces import check_detector

            check_detector()

    @cached_property
    def predictor(self) -> Predictor:
        """The model."""
        from lomit.predictor import Predictor

        return Predictor.from_pretrained(self.options.model, self.options.device, compile=self.options.compile)


class _Unusable(Exception):
    """A photograph that can't be read or has no such face: of several, the others go on."""


class _Worker(FaceOptions):
    """Translates jobs; recent exemplars are kept with their faces."""

    def __init__(self, options: TranslateOptions) -> None:
        super().__init__(options)
        self._exemplar = lru_cache(maxsize=16)(self._read_exemplar)

    def path(self, job: Job) -> Path:
        """Where a job's photograph goes: by default under the suffix of its input, or as PNG."""
        from lomit.photo.files import FORMATS

        own = job.input.suffix if job.input.suffix.lower() in FORMATS else ".png"
        return Path(self.options.out) / f"{job.name}{SUFFIX_OF.get(self.options.format, own)}"

    def run(self, job: Job) -> int:
        """Translates a photograph and writes it; returns how many of its faces were translated."""
        from lomit.photo import choose_faces, find_faces, translate_photo
        from lomit.photo.align import check_place
        from lomit.photo.faces import sizes_for
        from lomit.photo.files import read_photograph, write_photograph

        options = self.options
        try:
            photo = read_photograph(job.input)
            faces = self.faces or find_faces(photo.picture, sizes_for(self.face))
            for chosen in choose_faces(faces, self.face, photo.picture.name):
                check_place(faces[chosen], photo.picture)
            exemplar, theirs = self._exemplar(job.exemplars[0]) if job.exemplars else (None, None)
            own, guide = (None if path is None else read_mask(path) for path in (job.input_mask, job.exemplar_mask))
        except LomitError as error:
            raise _Unusable(str(error)) from error
        result = translate_photo(
            self.predictor,
            photo.picture,
            exemplar,
            face=self.face,
            exemplar_face=self.exemplar_face,
            faces=faces,
            exemplar_faces=theirs,
            input_mask=own,
            exemplar_mask=guide,
            label=self.label,
            strength=options.strength,
        )
        path = self.path(job)
        write_photograph(path, result.image, photo, options.quality, options.overwrite)
        if options.save_masks:
            for suffix, image in _masks(result).items():
                write_png(path.with_name(f"{job.name}{suffix}.png"), image, options.overwrite)
        return len(result.results)

    def _read_exemplar(self, path: Path) -> tuple[Picture, list[Face]]:
        from lomit.photo import choose_faces, find_faces
        from lomit.photo.align import check_place
        from lomit.photo.faces import sizes_for

        picture = read_image(path)
        faces = self.exemplar_faces or find_faces(picture, sizes_for(self.exemplar_face))
        (chosen,) = choose_faces(faces, self.exemplar_face, picture.name, "--exemplar-box")
        check_place(faces[chosen], picture)
        return picture, faces


def _masks(result: PhotoResult) -> dict[str, Image.Image]:
    """Suffix of the name -> the weight on the photograph, and each face's crop, output and masks."""
    images = {"_mask": result.mask}
    for number, each in enumerate(result.results, start=1):
        crops = {
            "crop": each.crop,
            "output": each.after,
            "input-mask": each.input_mask,
            "exemplar-mask": each.exemplar_mask,
        }
        images |= {f"_face-{number}_{kind}": crop for kind, crop in crops.items() if crop is not None}
    return images


def _check_outputs(options: TranslateOptions, jobs: Sequence[Job], paths: Sequence[Path]) -> None:
    """Refuses before the first photograph is translated what would overwrite something."""
    sources = {path.resolve() for job in jobs for path in (job.input, *job.exemplars)}
    names: set[Path] = set()
    for path in paths:
        if path in names:
            raise LomitError(f"two results would be called {path.name}; rename an image or use --pairs")
        names.add(path)
        if path.resolve() in sources:
            raise LomitError(f"{path} is an input or exemplar and would be overwritten; choose another --out")
        if path.exists() and not options.overwrite:
            raise LomitError(f"{path} exists already; choose another --out or add --overwrite")
