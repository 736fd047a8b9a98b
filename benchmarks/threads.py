"""Threads beside another program: images a second with one thread, with PyTorch's choice, and by the load.

python -m benchmarks.threads [--beside]         `--beside` keeps one core busy meanwhile
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from PIL import Image

from lomit.inference.predictor import Predictor
from lomit.inference.threads import SpareCores

BUSY = "import os; os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\nwhile True: pass"


def images_a_second(threads: int | SpareCores, seconds: float) -> dict[str, float]:
    """One image after the other, for so long."""
    predictor = Predictor.from_pretrained("avatars", "cpu", threads=threads)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    predictor.translate(image, image)
    used, took = [], []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        predictor.translate(image, image)
        took.append(time.perf_counter() - began)
        used.append(torch.get_num_threads())
    return {
        "images a second": round(1 / statistics.mean(took), 1),
        "median ms": round(1000 * statistics.median(took), 1),
        "threads, mean": round(statistics.mean(used), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", action="store_true")
    parser.add_argument("--seconds", type=float, default=2)
    args = parser.parse_args()
    os.environ.pop("OMP_NUM_THREADS", None)
    loop = subprocess.Popen([sys.executable, "-c", BUSY]) if args.beside else None
    try:
        most = torch.get_num_threads()
        found = {"1": images_a_second(1, args.seconds), "PyTorch's": images_a_second(most, args.seconds)}
        torch.set_num_threads(most)
        found["by load"] = images_a_second(SpareCores(), args.seconds)
    finally:
        if loop is not None:
            loop.kill()
            loop.wait()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
