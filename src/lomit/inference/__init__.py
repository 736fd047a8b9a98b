"""Using a trained model: which images, in which batches, on which device."""
