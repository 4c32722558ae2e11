"""Schema description, templates, choice of examples."""
