"""HTTP: what all routes share. It knows no feature."""
