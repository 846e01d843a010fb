"""What the disk refuses, and what is wrong with a file or the question for one."""

from titan.codes.code import Code

_GOES_ON = (
    "Leaves the old file as it is and no half one behind. For a checkpoint NOT_DURABLE stays in the health list until"
    " one succeeds; for a snapshot or an export the call is refused."
)

CODES = (
    Code(
        "DISK_FULL",
        "error",
        "There is too little room: less than twice the file is free, or the disk said so itself, or its quota or its"
        " inodes are used up. The message says which, and how many bytes are missing.",
        _GOES_ON,
        "Free space (`df -h`, `df -i`), keep fewer snapshots (storage.keep_snapshots), or move"
        " service.state_directory to a larger disk.",
    ),
    Code(
        "READ_ONLY",
        "error",
        "The file system of the state folder is read-only; most often the kernel made it so after disk errors.",
        _GOES_ON,
        "Look for disk errors in the kernel log (`dmesg`), then mount it writable again.",
    ),
    Code(
        "IO_ERROR",
        "error",
        "The disk failed to read or write.",
        _GOES_ON + " A file whose flush failed is thrown away, never flushed again.",
        "Look in the kernel log; replace the medium.",
    ),
    Code(
        "READ_BACK_DIFFERS",
        "error",
        "The disk does not give back what was written to it, and had said that it was written.",
        _GOES_ON,
        "Replace the medium; it loses data.",
    ),
    Code(
        "FILE_TOO_LARGE",
        "error",
        "The file exceeds a size limit of the service or of the file system.",
        _GOES_ON,
        "Raise LimitFSIZE= of the service.",
    ),
    Code(
        "NOT_PERMITTED",
        "error",
        "The daemon's user may not write there.",
        _GOES_ON,
        "Give the folder to the user that the daemon runs as.",
    ),
    Code(
        "NO_SUCH_FOLDER",
        "error",
        "A folder of the state is gone.",
        _GOES_ON,
        "Create it again, or restart the service, which does.",
    ),
    Code(
        "TOO_MANY_FILES",
        "error",
        "The process, or the machine, has as many files open as it may.",
        _GOES_ON,
        "Raise LimitNOFILE= of the service, or find who leaks files.",
    ),
    Code(
        "FOLDER_UNUSABLE",
        "error",
        "The state folder or the runtime folder cannot be made.",
        "Does not start; ends with status 1.",
        "Set service.state_directory and service.runtime_directory to folders of the daemon's user.",
    ),
    Code(
        "BUNDLE_CORRUPT",
        "warning",
        "A checkpoint is not what was written.",
        "Sets it aside and uses the next older one.",
        "Nothing; check the medium if it happens again.",
    ),
    Code(
        "LOG_CORRUPT",
        "warning",
        "The log of samples is not what was written.",
        "Does not use it.",
        "Check the medium.",
    ),
    Code(
        "FORMAT_TOO_NEW",
        "error",
        "A later titand wrote this file, in a format that this one does not know.",
        "Does not touch it.",
        "Install the newer titand again, or move the file away to begin from an older state.",
    ),
    Code(
        "ARENA_NOT_STILL",
        "warning",
        "The waiting samples could not be copied: the front was in the middle of a change, or had died there.",
        "Writes no checkpoint this time, and tries again.",
        "Nothing.",
    ),
    Code(
        "SNAPSHOT_NOT_FOUND",
        "error",
        "There is no such snapshot.",
        "Refuses the call.",
        "`titanctl snapshots` shows those that are there; the oldest are deleted as new ones come"
        " (storage.keep_snapshots).",
    ),
    Code(
        "SNAPSHOT_CORRUPT",
        "error",
        "A snapshot's file is not what was written.",
        "Hands nothing of it out, and never overwrites it.",
        "Use another snapshot, and check the medium.",
    ),
    Code(
        "EXPORT_NOT_FOUND",
        "error",
        "The snapshot has no file of that name.",
        "Refuses the call.",
        "Export it first: `titanctl export-model`.",
    ),
    Code(
        "NOT_EXPORTED",
        "error",
        "The snapshot has no file of that format yet.",
        "Refuses the call.",
        "Call ExportModel first; `titanctl export-model` does both.",
    ),
    Code(
        "EXPORT_FAILED",
        "error",
        "The process that makes exports ended without an answer.",
        "Leaves no half file; training is not touched.",
        "Read the log. Killed by SIGKILL means out of memory: an export takes as much as torch and the model.",
    ),
    Code(
        "MODEL_EXPORT_FAILED",
        "error",
        "torch.export cannot make a program of this model.",
        "Leaves no half file.",
        "Export safetensors instead.",
    ),
    Code(
        "MODEL_EXPORT_DIFFERS",
        "error",
        "The exported program answers differently from the model.",
        "Hands out nothing.",
        "Export safetensors instead, and report it with the model's options.",
    ),
    Code(
        "FORMAT_UNKNOWN",
        "error",
        "The request names a format that this titand does not know.",
        "Refuses the call.",
        "Known are safetensors and pt2.",
    ),
    Code(
        "UNKNOWN_FORMAT",
        "error",
        "The exporter does not know the format.",
        "Refuses the call.",
        "Known is pt2; safetensors needs no export.",
    ),
    Code(
        "OFFSET_OUT_OF_RANGE",
        "error",
        "A download was to go on behind the end of the file.",
        "Refuses the call.",
        "Delete the partial file and begin at 0.",
    ),
    Code(
        "PAGE_TOKEN_INVALID",
        "error",
        "There is no such page of the list.",
        "Refuses the call.",
        "Begin again without a page token.",
    ),
    Code(
        "PAGE_SIZE_INVALID",
        "error",
        "A page cannot hold so many.",
        "Refuses the call.",
        "Ask for 1 to 1000, or 0 for the usual number.",
    ),
    Code(
        "LOG_OF_OTHER_SAMPLES",
        "error",
        "The log of samples in the state folder holds samples of another kind than the configured ones.",
        "Neither uses nor replaces it.",
        "Give this model its own service.state_directory, or move the file away.",
    ),
    Code(
        "NO_CHECKPOINT",
        "info",
        "There is no checkpoint yet to go back to.",
        "Tries what else there is.",
        "Nothing.",
    ),
    Code(
        "CHECKPOINT_NOT_FINITE",
        "warning",
        "The last checkpoint holds values that are not finite, so that going back to it would not help.",
        "Tries what else there is.",
        "Lower training.learning_rate.",
    ),
    Code(
        "NOTHING_TO_RESTORE",
        "error",
        "There are no parameters to go back to: no snapshot, no checkpoint, and the initial ones do not fit.",
        "Keeps the parameters that it has.",
        "Start with a new state folder.",
    ),
    Code(
        "SNAPSHOT_OTHER_MODEL",
        "error",
        "The snapshot is of another model than the one that is trained.",
        "Refuses the call; the parameters are what they were.",
        "Name another snapshot.",
    ),
)
