"""Experiments: the assignment of users to variants, and the results of each variant."""
