"""Scores of outputs by several raters: people, judges and code."""
