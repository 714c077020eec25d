"""Devices: the inventory, what runs on one, and what its report says."""
