"""The stages, one verb a file, and the command line."""
