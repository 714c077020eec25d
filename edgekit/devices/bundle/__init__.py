"""What is sent to a device: the model, its inputs, the protocol, and what to expect of it."""
