"""Why a sample, a label, a batch or a stream was not taken."""

from titan.codes.code import Code

_REJECTED = "Rejects and counts it; the others of its batch are taken."
_BATCH_REJECTED = "Rejects and counts every sample of the batch."
_NOT_SENT = "Never gets to see it."
_ENDS_STREAM = "Ends the stream; what was acknowledged stays."

CODES = (
    Code(
        "ARENA_FULL",
        "warning",
        "The memory for waiting samples was full for longer than ingest.patience_seconds.",
        "Sheds the sample unread, counts it, says so in the acknowledgement, and asks the producer to slow down.",
        "Push more slowly, or raise ingest.arena_bytes. A paused or failed training fills it: see the status.",
    ),
    Code(
        "WRONG_TYPE",
        "error",
        "The samples are not of the model's element type.",
        _BATCH_REJECTED,
        "Convert them in the app, or set model.input.data_type.",
    ),
    Code(
        "WRONG_SHAPE",
        "error",
        "The samples are not of the model's shape.",
        _BATCH_REJECTED,
        "Crop, resize or transpose them in the app, or set model.input.shape.",
    ),
    Code(
        "WRONG_SIZE",
        "error",
        "A batch does not have as many bytes as its samples need.",
        _BATCH_REJECTED,
        "Send one label per sample and all its bytes, row-major and little-endian.",
    ),
    Code(
        "WRONG_TIMES",
        "error",
        "A batch has another number of observe times than of samples.",
        _BATCH_REJECTED,
        "Send one per sample, or none.",
    ),
    Code(
        "LABEL_OUT_OF_RANGE",
        "error",
        "The label is not the number of a class.",
        _REJECTED,
        "Labels count from 0 in the order of model.labels; -1 stands for a label that comes later.",
    ),
    Code(
        "NOT_FINITE",
        "error",
        "The sample holds a NaN or an infinity.",
        _REJECTED,
        "Mend it before it is pushed: a sensor's gap is no number.",
    ),
    Code(
        "BATCH_EMPTY",
        "error",
        "A batch came without labels, so without samples.",
        _ENDS_STREAM,
        "Send one label per sample.",
    ),
    Code(
        "BATCH_EXPECTED",
        "error",
        "Something else than a batch came on an open stream.",
        _ENDS_STREAM,
        "Open a stream once; send batches only after that.",
    ),
    Code(
        "NOT_OPENED",
        "error",
        "The first message of a stream did not open it.",
        _ENDS_STREAM,
        "Send `open` first.",
    ),
    Code(
        "SEQUENCE_INVALID",
        "error",
        "A batch begins at a place that no sequence has.",
        _ENDS_STREAM,
        "Number samples from 1 on.",
    ),
    Code(
        "SEQUENCE_GAP",
        "error",
        "A batch left out some of the sequence.",
        _ENDS_STREAM,
        "Send every sample in order; after a reconnect go on behind acknowledged_sequence.",
    ),
    Code(
        "STREAM_TAKEN_OVER",
        "warning",
        "Another connection opened the stream of the same id.",
        "Goes on with the newer connection and ends the older one; nothing is taken twice.",
        "Give each producer its own stream id. After a reconnect this is as it should be.",
    ),
    Code(
        "STREAM_ENDED",
        "info",
        "The stream has ended.",
        "Takes nothing more on it.",
        "Open it again and go on behind acknowledged_sequence.",
    ),
    Code(
        "TOO_MANY_STREAMS",
        "warning",
        "As many push streams, or watches, downloads and exports, are open as are served.",
        "Refuses the new one; those that are open go on.",
        "Close one, push for several producers over one stream, or raise ingest.max_streams.",
    ),
    Code(
        "NAME_INVALID",
        "error",
        "A name is not of the form that such names have.",
        "Refuses the call.",
        "Samples are named samples/4711, snapshots snapshots/r00000421; ids of streams are short and printable.",
    ),
    Code(
        "NUMBER_INVALID",
        "error",
        "A number is none that a sample can have.",
        _NOT_SENT,
        "Numbers count from 1; `Client.number_of` tells that of an accepted sample.",
    ),
    Code(
        "SAMPLE_UNKNOWN",
        "error",
        "No sample was given this number yet.",
        "Refuses the call.",
        "Acknowledgements say which numbers the accepted samples were given.",
    ),
    Code(
        "SAMPLE_FORGOTTEN",
        "info",
        "What became of this sample is too long ago.",
        "Keeps the fates of the last samples only; the totals remain.",
        "Ask sooner.",
    ),
    Code(
        "LABELS_MISMATCHED",
        "error",
        "A request has another number of labels than of samples.",
        "Takes none of them.",
        "Send one label per number.",
    ),
    Code(
        "TOO_MANY_LABELS",
        "error",
        "More labels came at once than are taken.",
        "Takes none of them.",
        "Send them in several requests.",
    ),
    Code(
        "LOG_FULL",
        "warning",
        "The log that makes samples durable has no room for more labels until the next checkpoint.",
        "Takes none of the labels of the request.",
        "Send them again after the next checkpoint, or raise ingest.log_bytes.",
    ),
    Code(
        "ADMIN_ONLY",
        "error",
        "The call changes something, and came on the socket that is for producers and viewers.",
        "Refuses the call.",
        "Use admin.sock, whose group is smaller: join it, or name it with --admin-address.",
    ),
)
