"""Cine MRI and ultrasound of the heart, real and simulated: ED and ES, so that ejection fractions exist."""
