"""`python -m benchmarks.similarity MODEL CELEBA LABELS`: what R1 binds, and what the attention knows of a partner.

The first two tables of docs/experiments.md, 18, from a model, photographs and their label pictures.  One is the mean
cosine similarity of the content codes of cells in two regions, by which Eq. 13 weighs pairs of pixels.  The other tells
attributes of validation people by a linear classifier fitted on training people: from the pooled content code, which is
all that the paper's attention sees of the partner, and from the foreground code of the whole image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lomit.config import DataConfig
from lomit.data.cache import Cache, build_cache
from lomit.data.open import open_source
from lomit.data.transforms import normalise
from lomit.errors import LomitError
from lomit.evaluation.photographs import LABELS, LabelPictures
from lomit.inference.weights import load_pretrained
from lomit.models.lomit.generator import LomitGenerator
from lomit.models.lomit.model import Lomit
from lomit.stats.estimate import markdown_table

WITHIN = 0.6
"""Share of a cell that must lie in a region for it to count as the region's."""
PHOTOGRAPHS, TRAINING = 96, 2_500
"""Of validation people for the similarities; of training people to fit on.  Both at equal distances in the cache."""
CUTS = (0.6, 0.7)
"""Similarities from which `r1_alike` takes pairs in."""


def similarities(generator: LomitGenerator, x: Tensor, shares: Tensor) -> list[list[str]]:
    """Rows of the first table, and the shares of pairs above `CUTS`.

    Args:
        x: images, B x 3 x S x S.
        shares: of each region in each pixel, B x 5 x S x S, in the order of `LABELS`.
    """
    c = generator.content(x)
    c_hat = F.normalize(c.flatten(2), dim=1)
    similarity = c_hat.transpose(1, 2) @ c_hat
    cells = (F.adaptive_avg_pool2d(shares, (c.shape[-2], c.shape[-1])).flatten(2) >= WITHIN).float()
    pairs = torch.einsum("bpn,bqm->pq", cells, cells)

    def mean(values: Tensor) -> Tensor:
        return torch.einsum("bpn,bnm,bqm->pq", cells, values, cells) / pairs

    rows = [["", *LABELS], ["share of the images", *(f"{v:.3f}" for v in shares.mean(dim=(0, 2, 3)).tolist())]]
    for title, values in (("cosine", similarity), *((f"above {cut}", (similarity > cut).float()) for cut in CUTS)):
        found = mean(values)
        rows += [[f"{title}, {name}", *(f"{v:.3f}" for v in found[k].tolist())] for k, name in enumerate(LABELS)]
    return rows


def told(generator: LomitGenerator, cache: Cache) -> list[list[str]]:
    """Rows of the second table: balanced accuracy on validation people."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def codes(rows: np.ndarray) -> dict[str, np.ndarray]:
        pooled, whole = [], []
        for part in np.array_split(rows, max(1, len(rows) // 64)):
            x = images(cache, part)
            pooled.append(generator.content(x).mean(dim=(2, 3)))
            whole.append(generator.told(x))
        return {"pooled content code": torch.cat(pooled).numpy(), "foreground code": torch.cat(whole).numpy()}

    train, val = spread(cache.subset("train"), TRAINING), cache.subset("val")
    fitted, seen = codes(train), codes(val)
    rows = [["", *cache.attributes]]
    for name, values in fitted.items():
        scores = []
        for k in range(len(cache.attributes)):
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, class_weight="balanced"))
            model.fit(values, cache.labels[train, k])
            scores.append(balanced_accuracy_score(cache.labels[val, k], model.predict(seen[name])))
        rows.append([name, *(f"{score:.2f}" for score in scores)])
    return rows


def images(cache: Cache, rows: np.ndarray) -> Tensor:
    """B x 3 x S x S in [-1, 1]."""
    return normalise(torch.from_numpy(np.asarray(cache.images[rows])))


def spread(rows: np.ndarray, count: int) -> np.ndarray:
    """So many of the rows, at equal distances."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]


@torch.no_grad()
def measure(name: str, root: str, labels: Path) -> None:
    """Prints both tables."""
    model = load_pretrained(name)
    if not isinstance(model, Lomit):
        raise LomitError(f"{name} is no LOMIT: it has no content code on a grid")
    config = DataConfig(
        kind="celeba", root=root, attributes=model.config.attributes, image_size=model.config.image_size
    )
    source = open_source(config)
    cache, pictures = build_cache(source, config), LabelPictures(labels)
    rows = spread(pictures.rows(cache.names, cache.subset("val")), PHOTOGRAPHS)
    shares = torch.stack([pictures.shares(source, config, int(cache.source_index[row])) for row in rows])
    print(f"{len(rows)} photographs\n\n{markdown_table(similarities(model.generator, images(cache, rows), shares))}\n")
    print(f"balanced accuracy\n\n{markdown_table(told(model.generator, cache))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name or folder of a LOMIT")
    parser.add_argument("celeba", help="CelebA's folder")
    parser.add_argument("labels", type=Path, help="folder of the label pictures")
    words = parser.parse_args()
    try:
        measure(words.model, words.celeba, words.labels)
    except LomitError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
