"""Sources of examples and databases; the embedded sample data set. Imports nothing else of ours."""
