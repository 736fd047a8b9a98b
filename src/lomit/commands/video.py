"""`lomit translate --video`: a video frame by frame."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from lomit.commands.photo import FaceOptions
from lomit.errors import LomitError

if TYPE_CHECKING:
    from lomit.commands.translate import TranslateOptions


def translate_video_file(options: TranslateOptions) -> int:
    """Translates one video by one exemplar (or a label) and prints what was done; returns the exit code.

    Raises:
        LomitError: for options that don't fit, for what can't be read, and for files that are in the way.
    """
    assert options.video is not None
    video = Path(options.video)
    _check(options)
    # Before the model is loaded: these say what is missing.
    from lomit.photo.video import CONTAINERS, container_of, load_av, translate_video

    load_av()
    shared = FaceOptions(options)
    if not video.is_file():
        raise LomitError(f"no such file: {video}")
    out = Path(options.out)
    if out.is_dir() or not out.suffix:
        guided = Path(options.exemplar[0]).stem if options.exemplar else options.label
        out = out / f"{video.stem}__{guided}{video.suffix if video.suffix.lower() in CONTAINERS else '.mp4'}"
    container_of(out)
    if out.exists() and (not options.overwrite or out.samefile(video)):
        raise LomitError(
            f"{out} exists already; choose another --out" + " or add --overwrite" * (not options.overwrite)
        )
    from lomit.photo import align_exemplar

    guide = None
    if options.exemplar:
        size = shared.predictor.image_size
        guide = align_exemplar(options.exemplar[0], size, shared.exemplar_face, shared.exemplar_faces)
    with tqdm(unit="frame", disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        result = translate_video(
            shared.predictor,
            video,
            out,
            guide,
            face=shared.face,
            label=shared.label,
            strength=options.strength,
            overwrite=options.overwrite,
            progress=progress,
        )
    for stream in result.left_out:
        print(f"lomit: left out: {stream} (not sound, or not allowed in {out.suffix}; try .mkv)", file=sys.stderr)
    print(f"translated {result.translated} of {result.frames} frames into {out}")
    if not result.translated:
        print("lomit: no face was found in any frame, so nothing was changed", file=sys.stderr)
    return 0


def _check(options: TranslateOptions) -> None:
    """The options that don't go with a video."""
    if options.input is not None or options.pairs is not None or options.photo:
        raise LomitError("--video takes the place of --input, --pairs and --photo; give one of them")
    if len(options.exemplar) != 1 and options.label is None:
        raise LomitError(f"--video needs one --exemplar; {len(options.exemplar)} given")
    given = ("steps", "random", "composite", "input_mask", "exemplar_mask", "face_box", "quality", "save_masks")
    for name in (*given, "format", "processes"):
        if getattr(options, name) != getattr(type(options), name):
            raise LomitError(f"--{name.replace('_', '-')} does not go with --video; leave out one of them")
