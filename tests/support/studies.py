"""Small studies of noise, a server of their own process, and participants that speak HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from lomit.apps.study.build import build_study
from lomit.apps.study.definition import StudyDefinition, StudyFolder, Texts, read_folder
from lomit.apps.study.design import Block, Stimulus, paper_blocks
from lomit.apps.study.material import Material
from support import fuzz

MODELS = ("ours", "DRIT", "MUNIT")
SOURCE = Path(__file__).parents[2] / "src"


class Noise(Material):
    """Pictures of noise, each with its own."""

    def __init__(self, models: Sequence[str] = MODELS, pairs: int = 20, reals: int = 60, size: int = 16) -> None:
        self.models, self.pairs, self.reals, self.size = tuple(models), pairs, reals, size
        self.people, self.facts = False, {"faces": "noise"}

    def found(self, wanted: Sequence[Stimulus]) -> dict[Stimulus, Image.Image]:
        shape = (self.size, self.size, 3)
        return {
            p: Image.fromarray(np.random.default_rng(k).integers(0, 256, shape, np.uint8)) for k, p in enumerate(wanted)
        }


def small_blocks(
    models: Sequence[str] = MODELS, trials: int = 2, checks: int = 1, practice: int = 1
) -> tuple[Block, ...]:
    return paper_blocks(models, "first", trials, checks, practice)


def small_study(
    out: Path, models: Sequence[str] = MODELS, lists: int = 4, blocks: tuple[Block, ...] | None = None, **more: Any
) -> tuple[StudyFolder, str]:
    """A study of noise in a folder, and its owner's token."""
    material = Noise(models)
    chosen = small_blocks(models) if blocks is None else blocks
    study = StudyDefinition(tuple(models), chosen, lists, 3, material.size, Texts(), people=False, **more)
    owner = build_study(out, material, study)
    return read_folder(out), owner


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`lomit study serve` in a process of its own.

    Attributes:
        base: its address.
        join: the path by which anybody takes part.
    """

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        words = ["study", "serve", str(folder), "--port", str(port), "--rate", "10000", "--joins", "10000", *options]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lomit", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("take part:"), line + self.process.stdout.read()
        url = urlsplit(line.split()[-1])
        self.base, self.join = f"{url.scheme}://{url.netloc}", url.path

    def kill(self) -> str:
        """kill -9, and nothing else; what was printed since the address."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        with self.process.stdout as printed:
            return printed.read()


@contextlib.contextmanager
def served(folder: Path, *options: str) -> Iterator[Server]:
    server = Server(folder, free_port(), *options)
    try:
        yield server
    finally:
        server.kill()


class Client:
    """One participant's connection; what fails raises OSError or HTTPException."""

    def __init__(self, port: int, timeout: float = 60) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], bytes]:
        content = None if body is None else json.dumps(body)
        headers = {"content-type": "application/json"} if body is not None else {}
        try:
            self.http.request(method, path, content, headers)
            reply = self.http.getresponse()
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
        except BaseException:
            self.http.close()  # the next request connects again
            raise

    def take_part(self, join: str) -> str:
        """Consents; returns the path of the personal pages."""
        status, headers, _ = self.ask("POST", join)
        assert status == 303, status
        return headers["location"].removeprefix("..")


def answer(position: int, side: str = "left", rt: float = 812.5) -> dict[str, Any]:
    return {"position": position, "side": side, "rt": rt, "means": "key", "away": False}


def odd_requests(rng: Random, join: str, owner: str, links: Sequence[str], count: int) -> list[bytes]:
    """Requests to a study of `small_blocks`, most of them wrong.

    Args:
        rng: draws them.
        join: the word of the join link.
        owner: the owner's token.
        links: tokens of participants whose answers don't matter; the last may withdraw.
        count: how many.
    """
    pages = ["/", "/health", f"/join/{join}", f"/join/{join}/", "/join/x", "/owner", "/owner/", "/s/x/"]
    pages += ["/static/study.js", f"/s/{links[-1]}/withdraw"]
    pages += [f"/owner/{page}" for page in ("results", "answers.csv", "panel.csv", "preview")]
    pages += [f"/s/{link}/{page}" for link in links for page in ("", "trials", "0/left", *3 * ["answers"])]
    bodies = [{"answers": [answer(k) for k in range(3)]}, {"answers": [answer(0)]}]
    return [fuzz.request(rng, pages, bodies, [("authorization", f"Bearer {owner}")]) for _ in range(count)]


def wait_until(done: Any, seconds: float = 60) -> None:
    """Polls until `done()`; fails after that many seconds."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
