"""LOMIT: local mask-based image-to-image translation."""
