"""Ways to a device, one file each; the file name is the name in the inventory."""
