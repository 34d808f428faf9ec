"""The process that serves: its worker, its log, its metrics and its status."""
