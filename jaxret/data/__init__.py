"""Media in: items and their frames, decoding, sampling, splits, training batches, feature caches.

Nothing here imports JAX, except that `pipeline.TrainingInput` loads grain when it is made, and grain does.
"""
