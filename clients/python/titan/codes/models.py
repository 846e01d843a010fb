"""What is wrong with the configuration, or with the model that it describes."""

from titan.codes.code import Code

_NO_START = "Does not start; ends with status 78."
_NOT_STARTED = _NO_START + " On a reload it goes on as it was, with CONFIG_INVALID."
_STATE_FAILED = (
    "Does not train, and does not try again, for it would fail the same way. It stays up, takes samples as long as"
    " there is room, and shows the reason."
)
_NOT_LOADED = "Leaves the model as it was: all tensors are taken, or none."

CODES = (
    Code("CONFIG_MISSING", "error", "A key without a default is not set.", _NOT_STARTED, "Say what is trained."),
    Code(
        "CONFIG_RANGE",
        "error",
        "A value is outside its range, or does not go with another one.",
        _NOT_STARTED,
        "Mend the line that is named; docs/reference/configuration.md has the ranges.",
    ),
    Code("CONFIG_TYPE", "error", "A value is of the wrong type.", _NOT_STARTED, "Mend the line that is named."),
    Code("CONFIG_SYNTAX", "error", "The file is not TOML.", _NOT_STARTED, "Mend the line that is named."),
    Code(
        "CONFIG_UNREADABLE",
        "error",
        "The configuration file cannot be read.",
        _NOT_STARTED,
        "Name the file with --config or $TITAND_CONFIG; the daemon's user must be able to read it.",
    ),
    Code(
        "UNKNOWN_KEY",
        "error",
        "The configuration has a key that nobody knows.",
        _NOT_STARTED,
        "The message names the nearest known one.",
    ),
    Code(
        "ALREADY_RUNNING",
        "error",
        "Another titand uses the same runtime or state folder.",
        "Does not start; ends with status 1. The other one is not disturbed.",
        "Stop it, or give this one its own service.runtime_directory and service.state_directory.",
    ),
    Code(
        "SOCKET_PATH_TOO_LONG",
        "error",
        "The path of a socket has more bytes than the kernel takes.",
        _NO_START,
        "Choose a shorter service.runtime_directory.",
    ),
    Code(
        "SOCKET_PATH_TAKEN",
        "error",
        "Where a socket is to be, there is something else, or another program listens.",
        _NO_START + " What is there is left alone.",
        "Move it away, or choose another service.runtime_directory.",
    ),
    Code(
        "SOCKET_NOT_WRITABLE",
        "error",
        "The daemon cannot listen at the path of a socket.",
        _NO_START,
        "Make service.runtime_directory a folder that the daemon's user may write to.",
    ),
    Code(
        "CHECKPOINT_OTHER_MODEL",
        "error",
        "The checkpoint in the state folder was written for another model, input, labels or optimizer.",
        _STATE_FAILED + " The checkpoint is neither used nor replaced.",
        "Put the configuration back, give this model its own service.state_directory, or move the old checkpoints"
        " away.",
    ),
    Code(
        "DEVICE_MISSING",
        "error",
        "selection.device names a device that torch cannot use.",
        _STATE_FAILED,
        "Set it to auto or cpu, or install a torch that sees this accelerator.",
    ),
    Code(
        "MODEL_ARCHITECTURE_UNKNOWN",
        "error",
        "There is no model of that name.",
        _STATE_FAILED,
        "The message names the nearest known one.",
    ),
    Code(
        "MODEL_LABELS_TOO_FEW",
        "error",
        "There are fewer than two classes to tell apart.",
        _STATE_FAILED,
        "Set model.labels.",
    ),
    Code(
        "MODEL_INPUT_UNSUITABLE",
        "error",
        "The model cannot take an input of that shape.",
        _STATE_FAILED,
        "Choose another model, or another model.input.shape; the message says what is missing.",
    ),
    Code(
        "MODEL_OPTION_UNKNOWN",
        "error",
        "The model has no such option.",
        _STATE_FAILED,
        "The message names those that it has.",
    ),
    Code(
        "MODEL_OPTION_INVALID",
        "error",
        "An option of the model has a value that it cannot have.",
        _STATE_FAILED,
        "Mend model.options.",
    ),
    Code(
        "MODEL_NORMALISATION_INVALID",
        "error",
        "scale, mean or std cannot normalise the input: not finite, a zero in std, or of another number of channels.",
        _STATE_FAILED,
        "Mend model.input.",
    ),
    Code(
        "MODEL_FILE_INVALID",
        "error",
        "The model file cannot be read, or is none.",
        _STATE_FAILED,
        "Name a file that the daemon's user may read; model.initial is relative to where the daemon was started.",
    ),
    Code(
        "MODEL_STATE_MISMATCH",
        "error",
        "The tensors of a file are not those of the model: some are missing, left over, or of another shape or type.",
        _NOT_LOADED,
        "Use the architecture, labels and options that the file was written with.",
    ),
    Code(
        "OPTIMIZER_UNKNOWN",
        "error",
        "There is no optimizer of that name.",
        _STATE_FAILED,
        "Known are sgd, adam, adamw and rmsprop.",
    ),
    Code(
        "OPTIMIZER_INVALID",
        "error",
        "The optimizer has no such option, or not that value.",
        _STATE_FAILED,
        "Mend the key of [training] that is named.",
    ),
    Code(
        "SCHEDULE_INVALID",
        "error",
        "The learning rate cannot follow this schedule.",
        _STATE_FAILED,
        "Mend training.decay or training.decay_rounds.",
    ),
    Code(
        "GOLDEN_SET_INVALID",
        "error",
        "The file of guard.golden_set cannot be read, or does not fit the model.",
        _STATE_FAILED,
        "Write it with numpy.savez: x as samples are pushed, label as class ids.",
    ),
)
