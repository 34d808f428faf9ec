"""What groups of logs may be made by."""

UNITS = ("day", "week", "month")
KEYS = ("prompt", "model", "version", "label", "author", *UNITS)
METADATA = "metadata."  # begins a further key, which ends with the name of a member of the metadata
DOCUMENTED = ("model", "version")  # the keys that groups of any number of logs may be made by
FIXED = ("prompt", "model", "version", "author")  # whose values a log has from the beginning and for ever
