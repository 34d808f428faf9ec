"""Experiments: who gets which variant, and which of them does better."""
