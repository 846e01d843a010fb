"""Write titand/demo/digits-*.gz, the handwritten digits that the package ships, from scikit-learn's copy.

    pip install scikit-learn && python benchmarks/data/embed_digits.py titand/demo

The order is kept: digits of one writer follow each other, so the last fifth is mostly by unseen hands.
Two runs write the same bytes.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write an array of bytes as a gzipped IDX file: two zeros, type 8 (uint8), rank, sizes, values."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    digits = load_digits()
    write_idx(folder / "digits-images-idx3-ubyte.gz", digits.images)
    write_idx(folder / "digits-labels-idx1-ubyte.gz", digits.target)
