"""The attribute classifier: its network, training and calibration."""
