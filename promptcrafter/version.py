"""The version of the product, the newest of CHANGELOG.md."""

VERSION = "0.1.0"
