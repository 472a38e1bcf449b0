"""`python naive.py ROOT`: the same endpoint as a first attempt has it, which hashes every image for each request.

Listens on a free loopback port, which it prints.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys

import uvicorn
from fastapi import FastAPI, Response

from callsheet.layout import Layout


def create_app(root: str) -> FastAPI:
    app, where = FastAPI(), Layout()

    @app.get("/api/actors/{actor}/training-data")
    def training_data(actor: str) -> Response:
        folder = os.path.join(root, where.training_dir(actor))
        with open(os.path.join(root, where.manifest(actor.partition("_")[0])), "rb") as file:
            recorded = {row["filename"]: row for row in json.load(file)["training_data"]}
        images = []
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), "rb") as file:
                md5 = hashlib.file_digest(file, "md5").hexdigest()
            row = recorded.get(name, {})
            images.append({**row, "filename": name, "same": row.get("md5_hash") == md5})
        return Response(json.dumps({"training_images": images}), media_type="application/json")

    return app


def main(root: str) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(create_app(root), log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1])
