"""`python hash.py FOLDER`: the MD5 of every file in the folders of FOLDER, as `rclone hashsum MD5` prints it."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from callsheet.hashing import hash_files
from callsheet.model import HashedFile

_BATCH = 256


def main(top: str) -> None:
    paths = [entry.path for folder in os.scandir(top) for entry in os.scandir(folder)]
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for hashed in pool.map(hash_files, batches):
            rows = [f"{file.md5}  {file.path[len(top) + 1 :]}\n" for file in hashed if isinstance(file, HashedFile)]
            sys.stdout.write("".join(rows))


if __name__ == "__main__":
    main(sys.argv[1])
