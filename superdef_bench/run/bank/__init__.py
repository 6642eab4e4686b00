"""Adversarial examples on disk."""
