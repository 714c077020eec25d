"""An Arm CPU on a machine that is none: an arm64 tree whose programs run under qemu-user."""
