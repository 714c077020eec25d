"""What a runtime takes, gives and must be able to do; its plug-in subclasses `base.Runtime`."""
