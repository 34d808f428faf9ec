"""HTTP: what all routes share. It must not import a feature."""
