#!/usr/bin/env python3
"""Writes an OCI archive of images made from local files, without a container engine or a registry.

usage: image.py OUT.tar NAME:TAG... --entrypoint ARG... --file SOURCE:PATH... [--env NAME=VALUE]...
`ctr images import OUT.tar` loads it; the kubelet finds the images by name with imagePullPolicy Never or IfNotPresent.
From Python, `write(path, images)` puts several images with one set of files into one archive.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEDIA = "application/vnd.oci.image."
# An image runs as nobody unless its pod says otherwise.
USER = "65532"


@dataclass(frozen=True)
class Image:
    """One image: files (path in the image to local file), what it runs, and its environment."""

    name: str
    entrypoint: list[str]
    files: dict[str, Path]
    env: dict[str, str] = field(default_factory=dict)


class Archive:
    """The blobs of an OCI layout, each known by its digest."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.layers: dict[tuple[tuple[str, Path], ...], tuple[dict[str, Any], str]] = {}

    def put(self, data: bytes, media: str) -> dict[str, Any]:
        """Stores a blob and returns its descriptor."""
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return {"mediaType": MEDIA + media, "digest": f"sha256:{digest}", "size": len(data)}

    def layer(self, files: dict[str, Path]) -> tuple[dict[str, Any], str]:
        """The layer that holds these files, and its digest before compression; images with the same files share it."""
        key = tuple(sorted(files.items()))
        if key not in self.layers:
            plain = io.BytesIO()
            with tarfile.open(fileobj=plain, mode="w") as tar:
                for path, source in key:
                    info = tarfile.TarInfo(path.lstrip("/"))
                    info.size, info.mode = source.stat().st_size, 0o755
                    with source.open("rb") as handle:
                        tar.addfile(info, handle)
            data = plain.getvalue()
            packed = self.put(gzip.compress(data, 1, mtime=0), "layer.v1.tar+gzip")
            self.layers[key] = packed, f"sha256:{hashlib.sha256(data).hexdigest()}"
        return self.layers[key]

    def image(self, image: Image) -> dict[str, Any]:
        """Stores an image and returns its entry of the index."""
        layer, diff_id = self.layer(image.files)
        env = [f"{name}={value}" for name, value in image.env.items()]
        config = self.put(
            json.dumps(
                {
                    "architecture": "amd64",
                    "os": "linux",
                    "config": {"Entrypoint": image.entrypoint, "Env": env, "User": USER},
                    "rootfs": {"type": "layers", "diff_ids": [diff_id]},
                }
            ).encode(),
            "config.v1+json",
        )
        manifest = {"schemaVersion": 2, "mediaType": MEDIA + "manifest.v1+json", "config": config, "layers": [layer]}
        entry = self.put(json.dumps(manifest).encode(), "manifest.v1+json")
        entry["annotations"] = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name}
        return entry


def write(out: Path, images: list[Image]) -> None:
    """Writes the archive of these images."""
    archive = Archive()
    entries = [archive.image(image) for image in images]
    index = {"schemaVersion": 2, "mediaType": MEDIA + "index.v1+json", "manifests": entries}
    members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
    members |= {f"blobs/sha256/{digest}": data for digest, data in archive.blobs.items()}
    with tarfile.open(out, "w") as tar:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def main() -> None:
    """The command line: one image under any number of names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("name", nargs="+")
    parser.add_argument("--entrypoint", nargs="+", required=True)
    parser.add_argument("--file", action="append", required=True, metavar="SOURCE:PATH")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    files = {path: Path(source) for source, path in (spec.rsplit(":", 1) for spec in args.file)}
    env = dict(pair.split("=", 1) for pair in args.env)
    write(args.out, [Image(name, args.entrypoint, files, env) for name in args.name])


if __name__ == "__main__":
    main()
