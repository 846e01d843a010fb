"""A private mount namespace in which a folder of plain files is /sys: a Jetson for the genuine jtop and for us.

    python -m tests.telemetry.jetson_emulation build DIR --board orin-nano
    python -m tests.telemetry.jetson_emulation run DIR -- COMMAND...        in a new namespace that looks like the board
    python -m tests.telemetry.jetson_emulation enter DIR -- COMMAND...      in the namespace of a `run` that goes on
    python -m tests.telemetry.jetson_emulation set DIR power.VDD_IN=9000 temp.gpu=91.5 gpu.load=0.97

Inside, an unmodified jetson-stats runs as on a board, and so does whatever reads sysfs or /proc/meminfo itself.
The files are plain, so a test changes a reading, from outside, while everything is running. Nothing outside the
folder is written. It needs Linux, and root or leave to make user namespaces.

Not emulated: /proc/device-tree (procfs cannot be extended), the EEPROM, jetson_clocks, nvfancontrol, tegrastats,
and read errors: an empty file stands for the EAGAIN of a sensor without power. The processors are this machine's;
cores the board has beyond them are offline. Values at rest are plausible, not measured on boards.
"""
