"""Figure 8: t-SNE of c, s_f and s_b by domain, with numbers for how well the codes tell the domains apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lomit.data.gallery import Faces, SourceFaces
from lomit.data.transforms import normalise, resize, to_uint8_chw
from lomit.errors import LomitError, require
from lomit.metrics.separation import FOLDS, coordinates, separation
from lomit.report.figures import Subject, targets
from lomit.report.parts import Charts, Content, PagePart, PageTable, Paragraph, counted, number, scatter

SPACES = {"c": "content c", "s_f": "foreground style s_f", "s_b": "background style s_b"}
PERPLEXITY = 30
KEPT = 50
"""Coordinates of a code that t-SNE is given, those of the largest variance."""
BATCH = 16


@dataclass(frozen=True)
class DrawnDomains:
    """Faces by domain.

    Attributes:
        faces: numbers of the faces.
        domain: which of `names` each shows.
        partner: a face of another domain, beside which each is seen.
    """

    faces: Sequence[int]
    domain: Sequence[int]
    partner: Sequence[int]
    names: Sequence[str]


def draw_domains(faces: Faces, attributes: Sequence[str], count: int, seed: int) -> DrawnDomains:
    """At most `count` faces, as many of each domain; the domains are the largest group of exclusive attributes that the
    faces know, or the first attribute and its absence.  Raises LomitError where the faces don't show two domains.
    """
    kinds = targets(faces, attributes)
    if not kinds:
        raise LomitError(f"the faces ({faces.what}) are labelled with none of {', '.join(attributes) or 'nothing'}")
    kind = max(kinds, key=len)
    y = faces.columns(kind)
    if len(kind) > 1:
        names = [name.replace("_", " ") for name in kind]
        rows = [np.flatnonzero((y[:, k] == 1) & ((y == 1).sum(1) == 1)) for k in range(len(kind))]
    else:
        names = [kind[0].replace("_", " "), f"not {kind[0].replace('_', ' ')}"]
        rows = [np.flatnonzero(y[:, 0] == value) for value in (1, 0)]
    names, rows = [n for n, r in zip(names, rows, strict=True) if len(r)], [r for r in rows if len(r)]
    if len(rows) < 2:
        raise LomitError(f"the faces ({faces.what}) show only one domain of {', '.join(kind)}")
    rng = np.random.default_rng(seed)
    each = min([count // len(rows), *map(len, rows)])
    chosen = [rng.permutation(part)[:each] for part in rows]
    partners = [rng.choice(np.concatenate([p for p in chosen if p is not part]), each) for part in chosen]
    domain = np.repeat(np.arange(len(rows)), each)
    return DrawnDomains(np.concatenate(chosen).tolist(), domain.tolist(), np.concatenate(partners).tolist(), names)


def codes_of(subject: Subject, faces: Faces, drawn: DrawnDomains) -> dict[str, Tensor]:
    """Code's name -> N x D on the CPU; empty for a method that has no codes."""
    predictor = subject.predictor
    needed = sorted({*drawn.faces, *drawn.partner})
    pixels = {face: to_uint8_chw(resize(faces.image(face), predictor.image_size)) for face in needed}
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(drawn.faces), BATCH):
        both = []
        for numbers in (drawn.faces, drawn.partner):
            batch = np.stack([pixels[face] for face in numbers[start : start + BATCH]])
            both.append(normalise(torch.from_numpy(batch).to(predictor.device)))
        with torch.inference_mode():
            for name, code in predictor.translator.codes(*both).items():
                parts.setdefault(name, []).append(code.float().cpu())
    return {name: torch.cat(code) for name, code in parts.items()}


def embed(codes: Tensor, seed: int) -> list[tuple[float, float]]:
    """t-SNE (van der Maaten and Hinton, 2008) of N x D codes in the plane; codes that are all the same are one point.
    Raises LomitError where scikit-learn is missing.
    """
    require("t-SNE", "metrics", "sklearn")
    from sklearn.manifold import TSNE

    x = coordinates(codes)
    if not x.any():
        return [(0.0, 0.0)] * len(x)  # scikit-learn would divide by their spread, and crash
    _, _, axes = torch.linalg.svd(x, full_matrices=False)
    x = x @ axes[:KEPT].T
    method = TSNE(perplexity=min(PERPLEXITY, (len(x) - 1) / 3), init="pca", random_state=seed)
    return [(float(a), float(b)) for a, b in method.fit_transform(x.numpy())]


def figure_8(subject: Subject, faces: Faces, count: int, seed: int) -> list[PagePart]:
    """The three pictures and the table of one model; nothing for a method that has no codes.  Raises LomitError where
    the faces don't show two domains of the model's, or too few people.
    """
    drawn = draw_domains(faces, subject.predictor.attributes, count, seed)
    found = codes_of(subject, faces, drawn)
    if not found:
        return []
    domains, people = torch.tensor(drawn.domain), torch.tensor([faces.identity(face) for face in drawn.faces])
    numbers = {name: separation(code, domains, people, seed) for name, code in found.items()}
    over = "images" if isinstance(faces, SourceFaces) and not faces.source.knows_people else "people"
    charts = []
    for name, code in found.items():
        heading, far, points = SPACES.get(name, name), numbers[name], embed(code, seed)
        if len(set(points)) == 1:
            heading += ", the same for every face"
        alt = f"t-SNE of {heading}, {len(drawn.faces)} faces: silhouette {far.silhouette.value:.2f}, "
        charts.append(scatter(heading, f"{alt}linear probe {far.probe.value:.0f} %", points, drawn.domain))
    rows: list[list[Content]] = [
        [
            SPACES.get(name, name),
            f"{found[name].shape[1]:,}",
            number(far.silhouette, 3),
            number(far.probe, 1),
            f"{far.chance:.1f}",
            counted(far.probe, over),
        ]
        for name, far in numbers.items()
    ]
    header = ["code", "entries", "silhouette", "linear probe, %", "chance, %", "of"]
    table = PageTable(f"{subject.label}: how well the codes tell the domains apart", [header], rows)
    return [Charts(charts, drawn.names, title=subject.label), table]


def notes(faces: Faces) -> Paragraph:
    """How Figure 8 is made."""
    text = (
        f"Faces: {faces.what}; as many of each domain, each face's masks predicted beside a face of another domain. "
        "Silhouette (-1 to 1, 0 where domains mix) and linear probe are computed on the codes themselves, not on the "
        f"picture. Probe: logistic regression, {FOLDS}-fold, nobody on both sides. The paper expects domains apart in "
        f"s_f, mixed in c and s_b. t-SNE: perplexity {PERPLEXITY}, from the {KEPT} directions of largest variance; "
        "distances between its clusters mean nothing."
    )
    return Paragraph((text,), "notes")
