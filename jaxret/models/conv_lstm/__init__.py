"""ConvLSTM autoencoders of clips."""
