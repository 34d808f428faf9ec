"""The version of this release: the newest one in CHANGELOG.md."""

VERSION = "0.1.0"
