"""StarGAN v2: one generator for several domains, styles from exemplars and from latent codes."""
