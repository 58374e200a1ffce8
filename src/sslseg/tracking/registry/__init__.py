"""Encoders and segmenters in the model registry, moved as folders whose tensors are never opened."""
