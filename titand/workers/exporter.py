"""Makes an export of a snapshot, in its own process: torch.export takes 70 MB that nobody else should carry."""

from __future__ import annotations

import argparse
import json
import sys
from io import BytesIO
from pathlib import Path

from titand.errors import InvalidRequest, TitanError
from titand.learning.export import load_safetensors_into, to_pt2
from titand.learning.models.zoo import build
from titand.runtime.channels import plain_error
from titand.storage.snapshots import SnapshotStore


def export(store: SnapshotStore, name: str, format: str) -> None:
    """Add the file of a format to a snapshot, unless it is there.

    Raises:
        InvalidRequest: there is no such format.
        NotFound, CorruptFile: of the snapshot.
        ModelError: the model cannot be exported.
        StorageError: the disk refuses; nothing is left behind.
    """
    if format != "pt2":
        raise InvalidRequest("UNKNOWN_FORMAT", f"There is no export format '{format}'.", "Known: pt2.")
    snapshot = store.get(name)
    if any(export.format == format for export in snapshot.exports):
        return
    store.verify(name)
    model = build(snapshot.model, seed=0)
    load_safetensors_into(model, store.folder / name / "model.safetensors")
    file = BytesIO()
    to_pt2(model, snapshot.model, file)
    program = file.getbuffer()
    store.add_export(name, format, "model.pt2", [program], expected_bytes=len(program))


def main(arguments: list[str] | None = None) -> int:
    """Print {"answer": {}} or {"error": ...}; the supervisor's business, not a person's."""
    parser = argparse.ArgumentParser(prog="titand-exporter")
    parser.add_argument("--snapshots", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--format", required=True)
    options = parser.parse_args(arguments)
    try:
        export(SnapshotStore(options.snapshots), options.name, options.format)
    except TitanError as error:
        print(json.dumps({"error": plain_error(error)}))
        return 1
    print(json.dumps({"answer": {}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
