"""StarGAN: one generator, told the target labels."""
