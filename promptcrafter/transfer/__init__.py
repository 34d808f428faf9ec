"""Export everything in a workspace as one file, and import such a file or the files of other tools.

- Export: `store.each_row` reads the workspace's rows, `export_format.write_lines` writes them as NDJSON.
- Import: `export_format.read_records`, or the `read` of a module in `importers`, yields records; `importer.check`
  validates them all, then `importer.store_checked` stores them.
- `id_policy` keeps the ids of the file, or replaces them by new ones.
- `form_1` is about files of the first form, which release 0.1.0 reads.
- `records` defines the types of records, `schemas` their fields, `references` which keys they define and refer to.
- `seen_keys` and `batch_file` keep the state of a check in temporary files: memory does not grow with the file.
"""
