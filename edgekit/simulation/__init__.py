"""What a deployed model will do to a torch model, done in torch: nothing here runs a runtime."""
