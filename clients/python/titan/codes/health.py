"""What the health list of `titanctl status` shows, besides what a failed start puts there under its own reason."""

from titan.codes.code import Code

_GOES_BACK = (
    "Goes back to the best snapshot, or failing that to the last checkpoint, with a learning rate lowered by"
    " guard.rollback_rate_factor; only tells if guard.rollback_limit is 0."
)

CODES = (
    Code(
        "NOT_DURABLE",
        "error",
        "The newest checkpoint could not be written, so a crash of the whole service would go back to the one before."
        " The message says since when, why, and how much room is missing. With ingest.durable the same code says that"
        " the log of samples fails: they are taken, and survive the death of any process, but not of the machine.",
        "Serves and trains on. It tries again after 1, 3, 10, 30, 100 and 300 seconds, then as often as checkpoints"
        " are written anyway, each time in a new file. The item goes when one succeeds.",
        "Do what the message says: free space, look for disk errors, or move service.state_directory. An orderly stop"
        " meanwhile cannot save either, and ends with status 1.",
    ),
    Code(
        "SNAPSHOT_FAILED",
        "warning",
        "The last snapshot that storage.snapshot_rounds asked for could not be written.",
        "Trains on, leaves no half file, and takes the next snapshot in its turn.",
        "Do what the message says; `titanctl snapshots create` tries at once.",
    ),
    Code(
        "UPDATE_NOT_FINITE",
        "warning",
        "A step would have made parameters NaN or infinite.",
        "Left the step out: the parameters are those of the round before. The count is since the trainer's start.",
        "Lower training.learning_rate; check that inputs are normalised (model.input.scale, mean, std).",
    ),
    Code(
        "SCORES_NOT_FINITE",
        "warning",
        "The model's answers to some samples were NaN or infinite.",
        "Rejected these samples and counted them; selection goes on with the others.",
        "If it goes on, the parameters have diverged: lower training.learning_rate and begin anew from a snapshot"
        " (model.initial).",
    ),
    Code(
        "PROCESS_RESTARTED",
        "warning",
        "A process of the daemon ended within the last ten minutes, and was started again.",
        "Started it again at once, from shared memory: no sample was lost.",
        "Nothing, if it was once. The message says how it ended; the log says more. Killed by SIGKILL without anyone"
        " having done so is mostly the kernel, out of memory.",
    ),
    Code(
        "PROCESS_CRASH_LOOP",
        "error",
        "A process of the daemon keeps ending soon after its start.",
        "Tries again for ever, after growing delays; samples are taken as long as there is room.",
        "Read the log for what it says before it ends. After an update of torch: does `python -c 'import torch'` work"
        " for the daemon's user?",
    ),
    Code(
        "FRONT_FAILED",
        "error",
        "The process that listens on the sockets cannot start.",
        "Ends the daemon with status 78, for nobody could ask it anything.",
        "The log names the socket and what is wrong with it.",
    ),
    Code(
        "CONFIG_INVALID",
        "warning",
        "The configuration file was to be read again, and is wrong.",
        "Goes on with the configuration that it had.",
        "Mend what the message names and reload: `systemctl reload titand`. `titand check-config` tells beforehand.",
    ),
    Code(
        "RESTART_NEEDED",
        "warning",
        "Keys were changed in the file that cannot change while the daemon runs.",
        "Took over what could be taken over, and goes on with the old values of the keys that are named.",
        "Restart when it suits: `systemctl restart titand`. docs/reference/configuration.md says which keys reload.",
    ),
    Code(
        "CHECKPOINT_SET_ASIDE",
        "warning",
        "A checkpoint did not match its own checksums at the start.",
        "Renamed it to `....broken-N` and took the next older one that is whole; what came after that is lost.",
        "Look for disk errors in the kernel log. The file may be deleted, or kept for a report.",
    ),
    Code(
        "LOSS_DIVERGED",
        "error",
        "For 50 rounds in a row the loss was twice what a model costs that knows nothing.",
        _GOES_BACK,
        "Lower training.learning_rate. Right after labels changed their meaning, give it time.",
    ),
    Code(
        "UPDATES_NOT_FINITE",
        "error",
        "Three updates in a row were NaN or infinite: the parameters themselves are to blame.",
        _GOES_BACK,
        "Lower training.learning_rate; check that inputs are normalised (model.input.scale, mean, std).",
    ),
    Code(
        "GATE_FAILED",
        "warning",
        "Held-out samples say that the model is worse than the best snapshot, by more than guard.margin.",
        "Goes back to the best snapshot; only tells if guard.rollback_limit is 0.",
        "Look at what is pushed: wrong labels, a sensor that changed, or one class only. `titanctl samples suspect`.",
    ),
    Code(
        "MODEL_ROLLED_BACK",
        "warning",
        "The parameters were set back to earlier ones; the message says which, and why.",
        "Trains on from there. After guard.rollback_limit times in a row it pauses, and the item becomes an error.",
        "Look at what is pushed, and at training.learning_rate; `titanctl resume` ends the pause.",
    ),
    Code(
        "ROLLED_BACK_REPEATEDLY",
        "error",
        "The model was rolled back guard.rollback_limit times in a row, and that has not helped.",
        "Pauses the training; samples are taken as long as there is room.",
        "Look at what is pushed, and at training.learning_rate; then `titanctl resume`.",
    ),
    Code(
        "REQUESTED",
        "info",
        "Somebody had the parameters set back to a snapshot.",
        "Trains on from there.",
        "Nothing.",
    ),
    Code(
        "SAMPLES_LOST",
        "warning",
        "All processes ended at once; samples that came after the last checkpoint are gone. The ledger counts them.",
        "Goes on from the last checkpoint.",
        "ingest.durable = true keeps every acknowledged sample.",
    ),
    Code(
        "REPLAYING",
        "warning",
        "The daemon has just started, and samples come back out of the log as room comes.",
        "Lets streams wait until they are back; labels are refused, and a client sends them again.",
        "Wait; a paused training leaves no room for them.",
    ),
    Code(
        "STATE_UNREADABLE",
        "error",
        "The daemon has just started, and the disk refuses the folder of its state, to be read or to be written.",
        "Takes nothing, refuses every call but that for the status, and tries again, in the end every five minutes:"
        " nothing is renamed, and nothing is lost.",
        "The message says why: look for disk errors in the kernel log, make room, or mount the disk. It then goes on by"
        " itself.",
    ),
    Code(
        "LOG_UNREADABLE",
        "error",
        "The daemon has just started, and the disk cannot read the log: what was acknowledged last is in there.",
        "Lets streams wait, and reads again, in the end every five minutes: nothing is renamed, and nothing is lost.",
        "Look for disk errors in the kernel log. To go on without these samples, move the log away.",
    ),
    Code(
        "LOG_SET_ASIDE",
        "error",
        "The log that makes samples durable did not match its own checksums at the start.",
        "Renamed it to `....broken-N`; what was in it and in no checkpoint is lost.",
        "Look for disk errors in the kernel log. The file may be deleted, or kept for a report.",
    ),
    Code(
        "DRIFT_DETECTED",
        "warning",
        "Arrivals have been answered worse for a while than before: the stream has changed, or its labels have.",
        "Trains on, which follows the change. The item goes when the error is down again.",
        "Look at what is pushed: a sensor that was moved or is dirty, a new class, other labels.",
    ),
)
