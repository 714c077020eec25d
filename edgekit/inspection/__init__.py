"""Where an int8 file parts from its float twin, and why."""
