"""titanctl export-model: fetch the model, verify it, load it back, and put its manifest beside it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from titan.cli.connect import client
from titan.cli.output import Misused, Output
from titan.cli.words import UNKNOWN, size

if TYPE_CHECKING:
    from titan.client import Client
    from titan.records import Export


def add(verbs: Any, everywhere: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "export-model",
        parents=[everywhere],
        conflict_handler="resolve",  # here --format is the file's; --json says how to print
        help="fetch a model file, verify it and load it back",
        epilog="PATH.json gets the manifest: labels, input, normalisation, metrics. An interrupted download goes on.",
    )
    parser.add_argument("path", metavar="PATH", help="where to put the file")
    parser.add_argument(
        "--snapshot", default="now", help="'now' (default) takes one first; 'latest', a round number or a full name"
    )
    parser.add_argument(
        "--format",
        dest="file_format",
        choices=("safetensors", "pt2"),
        help="of the file (default: pt2 if PATH ends so, else safetensors)",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, output: Output) -> int:
    from titan.cli.verify import load_back

    file_format = args.file_format or ("pt2" if args.path.endswith(".pt2") else "safetensors")
    if os.path.isdir(args.path):
        raise Misused(f"{args.path}: is a folder; name the file")
    with client(args) as titan:
        name = _fresh_snapshot(titan) if args.snapshot == "now" else args.snapshot
        export = titan.export_model(args.path, name, file_format)
    loaded = load_back(export.path, export.file.format)
    manifest_path = _write_manifest(export)
    data = {"path": export.path, "manifest_path": manifest_path, "loaded_back": loaded, "snapshot": export.snapshot}
    return output.result(data, lambda: "\n".join(_description(export, manifest_path, loaded)))


def _fresh_snapshot(titan: Client) -> str:
    """Take a snapshot of the newest round; who may only read gets the newest one that is there."""
    from titan.errors import Unreachable

    try:
        return titan.create_snapshot("export-model").name
    except Unreachable as error:
        print(f"titanctl: taking the latest snapshot, not a new one: {error}", file=sys.stderr)
        return "latest"


def _write_manifest(export: Export) -> str:
    """Write the manifest beside the model, and return its path."""
    path = f"{export.path}.json"
    partial = f"{path}.partial"
    with open(partial, "w", encoding="utf-8") as file:
        file.write(export.snapshot.manifest_json.rstrip() + "\n")
    os.replace(partial, path)
    return path


def _description(export: Export, manifest_path: str, loaded: str) -> list[str]:
    snapshot, file = export.snapshot, export.file
    return [
        f"{export.path}  {size(file.size_bytes)}  {file.format}",
        f"SNAPSHOT   {snapshot.name}, {snapshot.architecture}, {snapshot.input_spec or UNKNOWN}",
        f"SHA-256    {file.sha256}, verified",
        f"LOADED     {loaded}",
        f"LABELS     {', '.join(snapshot.labels) or UNKNOWN}",
        "METRICS    " + (", ".join(f"{name} {value:.4g}" for name, value in snapshot.metrics.items()) or UNKNOWN),
        f"MANIFEST   {manifest_path}",
    ]
