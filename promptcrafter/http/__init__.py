"""What all routes share: requests, responses, errors and OpenAPI. Must not import a feature."""
