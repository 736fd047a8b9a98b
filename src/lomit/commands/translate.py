"""`lomit translate`: images with exemplars, folders with folders, tables of pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lomit.commands.groups import Images, Network, Output, parse_label
from lomit.config import MAX_THREADS
from lomit.errors import LomitError, at_least, within
from lomit.inference.batch import Settings, count, run_batch
from lomit.inference.pairs import check_results


@dataclass
class Translate:
    """Give each input image the style of its exemplar, the attributes of a label, or random styles.

    What a model can be guided by depends on its method: LOMIT by exemplars, StarGAN by a label, MUNIT, DRIT and
    StarGAN v2 by exemplars and random styles.  Results are PNG files as large as the inputs, called
    INPUT__EXEMPLAR.png, or 0001.png, 0002.png, ... for the rows of a table.  The largest centre square of an image is
    translated; outside it nothing changes.  `lomit photo` finds faces in larger photographs.
    """

    images: Images = field(default_factory=Images)
    random: int | None = None
    """Draw this many random styles for each input, in place of an exemplar: NAME__random-01.png, ..."""
    seed: int = 0
    """Draws the random styles; the same for every input."""
    steps: int | None = None
    """Write this many images on the way from the input's own style (or, with two exemplar images, from the first one's)
    to the exemplar's: NAME_step-01.png, ..."""
    gif: bool = False
    """Write the steps as an animation too: NAME.gif."""
    composite: bool = False
    """Blend the input back through its mask, instead of keeping the whole output of the network."""
    save_masks: bool = False
    """Write the masks too: NAME_input-mask.png and NAME_exemplar-mask.png, as large as the centre squares."""
    batch_size: int = 8
    """Images in the network at a time."""
    processes: int = 1
    """Processes that translate, each with its own copy of the model."""
    compile: bool = False
    """Compile the network first, which takes a minute and needs a C++ compiler: for folders of many images."""
    network: Network = field(default_factory=Network)
    output: Output = field(default_factory=lambda: Output(Path("translated")))

    def main(self) -> int:
        self._check()
        images, output = self.images, self.output
        jobs = images.jobs(self.random)
        output.check_json([self.network.model, images.pairs, *jobs.files])
        settings = Settings(
            model=self.network.settle(
                (each.path for each in jobs.inputs), output.say, by_name=images.regions is not None
            ),
            out=output.out,
            device=self.network.device,
            save_masks=self.save_masks,
            steps=self.steps,
            gif=self.gif,
            composite=self.composite,
            overwrite=output.overwrite,
            label=parse_label(images.label),
            only=self.network.only,
            random=self.random,
            seed=self.seed,
            threads=self.network.threads,
            compile=self.compile,
            precision=self.network.precision,
        )
        check_results(jobs, output.out, settings.endings, output.overwrite)
        from lomit.inference.worker import translate_all

        by_row = images.pairs is not None
        tally = run_batch(
            translate_all(settings, jobs, self.batch_size, self.processes), len(jobs), "pair", by_row, images.named
        )
        output.say(f"translated {count(tally.done, 'pair')} into {output.out} ({count(tally.written, 'file')})")
        output.write_json(
            {
                "model": settings.model,
                "pairs": tally.done,
                "files": tally.written,
                "failed": list(tally.failed.values()),
            }
        )
        return tally.close("row" if by_row else "image")

    def _check(self) -> None:
        at_least(2, steps=self.steps)
        at_least(1, batch_size=self.batch_size, processes=self.processes, random=self.random)
        within(1, MAX_THREADS, threads=self.network.threads)
        at_least(0, seed=self.seed)
        images = self.images
        if self.gif and self.steps is None:
            raise LomitError("--gif needs --steps, the number of its images")
        if self.steps is not None:
            if images.input_mask or images.exemplar_mask:
                raise LomitError("--steps predicts its masks; leave out --input-mask and --exemplar-mask")
            if self.compile:
                raise LomitError("--compile does not go with --steps; leave out one of them")
            if not images.exemplar and images.pairs is None:
                raise LomitError("--steps needs EXEMPLAR")
        if images.regions is not None:
            if self.steps is not None:
                raise LomitError("NAME=IMAGE does not go with --steps; leave out one of them")
            if self.network.only:
                raise LomitError("NAME=IMAGE says what is moved; leave out --only")
        elif len(images.exemplar) > 2:
            raise LomitError(
                f"two exemplars at most, the ends of --steps; {len(images.exemplar)} given (or give a folder)"
            )
        elif len(images.exemplar) == 2 and self.steps is None:
            raise LomitError("two exemplars need --steps, the number of images between them")
