"""Copies of code of the product that migrations need, as it was when they were written. Never change them."""
