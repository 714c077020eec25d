"""The on-device runner: `agent.py` is copied to devices and imports nothing of edgekit."""
