"""`lomit photo`, `lomit video`: faces found in photographs and films, translated and put back at their own size."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lomit.commands.groups import FaceChoice, Images, Network, Output, parse_label
from lomit.commands.options import named, positional
from lomit.errors import LomitError
from lomit.inference.batch import count, run_batch
from lomit.inference.pairs import check_results


@dataclass
class Photo:
    """Find the face in each photograph, translate it and put it back at the photograph's own size and sharpness.

    The exemplar's face is found too.  Results are called INPUT__EXEMPLAR and have the format of their inputs.
    docs/photo.md says more.
    """

    images: Images = field(default_factory=Images)
    faces: FaceChoice = field(default_factory=FaceChoice)
    face_box: tuple[int, int, int, int] | None = field(default=None, metadata=named("LEFT TOP RIGHT BOTTOM"))
    """Square in pixels to take for the crop of the input's face where the detector finds none."""
    format: Literal["same", "jpeg", "png", "webp", "tiff"] = "same"
    """Format of the results; by default each input's own."""
    quality: int | None = None
    """Quality of JPEG and WebP, 1 to 100; by default as the input was compressed."""
    save_masks: bool = False
    """Write NAME_mask.png, the weight of the change on the photograph, and for each face its crop, the network's output
    and both masks on the crop."""
    compile: bool = False
    """Compile the network first, which takes a minute and needs a C++ compiler: for folders of many photographs."""
    network: Network = field(default_factory=Network)
    output: Output = field(default_factory=lambda: Output(Path("translated")))

    def main(self) -> int:
        images, output = self.images, self.output
        regions = images.regions
        if regions is not None and self.network.only:
            raise LomitError("NAME=IMAGE says what is moved; leave out --only")
        if len(images.exemplar) > 1 and regions is None:
            raise LomitError(f"one exemplar at most; {len(images.exemplar)} given (or give a folder)")
        jobs = images.jobs()
        output.check_json([self.network.model, images.pairs, *jobs.files])
        face, exemplar_face = self.faces.positions()
        from lomit.photo import Face
        from lomit.photo.batch import PhotoWorker, endings, look
        from lomit.photo.faces import check_detector

        boxes = (self.face_box, self.faces.exemplar_box)
        own, theirs = (None if box is None else [Face.from_crop(box)] for box in boxes)
        if own is None or (theirs is None and any(g.exemplars for g in jobs.guidances)):
            check_detector()
        check_results(jobs, output.out, endings(jobs, self.format, self.save_masks), output.overwrite)
        model = self.network.settle(
            (each.path for each in jobs.inputs),
            output.say,
            lambda path: look(path, own),
            regions is not None,
        )
        worker = PhotoWorker(
            self.network.predictor(self.compile),
            out=output.out,
            format=self.format,
            quality=self.quality,
            save_masks=self.save_masks,
            overwrite=output.overwrite,
            face=face,
            exemplar_face=exemplar_face,
            faces=own,
            exemplar_faces=theirs,
            label=dict(parse_label(images.label)) or None,
            strength=self.faces.strength,
        )
        by_row = images.pairs is not None
        tally = run_batch(worker.translate_all(jobs), len(jobs), "photograph", by_row, images.named)
        output.say(
            f"translated {count(tally.faces, 'face')} in {count(tally.done, 'photograph')} into {output.out} "
            f"({count(tally.written, 'file')})"
        )
        output.write_json({
            "model": model, "photographs": tally.done, "faces": tally.faces, "files": tally.written,
            "failed": list(tally.failed.values()),
        })  # fmt: skip
        return tally.close("row" if by_row else "photograph")


@dataclass
class Video:
    """Find the face in each frame of a video, translate it and put it back.

    Frames keep their times, and sound is copied.  docs/video.md says more.
    """

    input: Path = field(metadata=positional("INPUT"))
    """Video to translate."""
    exemplar: str | None = field(default=None, metadata=positional("[EXEMPLAR]"))
    """Image whose style is taken."""
    label: tuple[str, ...] = field(default=(), metadata=named("NAME=0|1 ..."))
    """Target attributes, in place of an exemplar for a method that is guided by labels; those left out are 0."""
    faces: FaceChoice = field(default_factory=FaceChoice)
    compile: bool = False
    """Compile the network first, which takes a minute and needs a C++ compiler."""
    network: Network = field(default_factory=Network)
    output: Output = field(default_factory=lambda: Output(Path("translated")))

    def main(self) -> int:
        if self.exemplar is None and not self.label:
            raise LomitError("give EXEMPLAR, or --label for a model that is guided by labels")
        label = dict(parse_label(self.label)) or None
        face, exemplar_face = self.faces.positions()
        self.output.check_json([self.network.model, self.input, self.exemplar])
        from lomit.images import short_stem
        from lomit.photo import Face, align_exemplar
        from lomit.photo.faces import check_detector
        from lomit.photo.video import CONTAINERS, container_of, first_face, load_av, translate_video

        load_av()
        check_detector()
        if not self.input.is_file():
            raise LomitError(f"no such file: {self.input}")
        out = self.output.out
        if out.is_dir() or not out.suffix:
            guided = "_".join(self.label) if self.exemplar is None else Path(self.exemplar).stem
            suffix = self.input.suffix if self.input.suffix.lower() in CONTAINERS else ".mp4"
            out = out / f"{short_stem(f'{self.input.stem}__{guided}')}{suffix}"
        container_of(out)
        if out.exists() and (not self.output.overwrite or out.samefile(self.input)):
            raise LomitError(
                f"{out} exists already; choose another --out" + " or add --overwrite" * (not self.output.overwrite)
            )
        model = self.network.settle([self.input], self.output.say, first_face)
        predictor = self.network.predictor(self.compile)
        guide = None
        if self.exemplar is not None:
            box = self.faces.exemplar_box
            theirs = None if box is None else [Face.from_crop(box)]
            guide = align_exemplar(self.exemplar, predictor.image_size, exemplar_face, theirs)
        from tqdm import tqdm  # here, so that no `--help` loads it

        with tqdm(unit="frame", disable=None) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total or None
                bar.update(done - bar.n)

            result = translate_video(
                predictor,
                self.input,
                out,
                guide,
                face=face,
                label=label,
                strength=self.faces.strength,
                overwrite=self.output.overwrite,
                progress=progress,
            )
        for stream in result.left_out:
            print(f"lomit: left out: {stream} (not sound, or not allowed in {out.suffix}; try .mkv)", file=sys.stderr)
        self.output.say(f"translated {result.translated} of {result.frames} frames into {out}")
        self.output.write_json(
            {"model": model, "file": str(out), "frames": result.frames, "translated": result.translated}
        )
        if not result.translated:
            print("lomit: no face was found in any frame, so nothing was changed", file=sys.stderr)
        return 0
