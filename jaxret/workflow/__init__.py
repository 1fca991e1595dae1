"""What recipes share: splits, batches of clips, cached frame vectors, and what a finished run leaves behind."""
