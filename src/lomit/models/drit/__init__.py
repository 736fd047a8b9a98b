"""DRIT and DRIT++: disentangled representations for image-to-image translation."""
