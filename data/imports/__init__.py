"""Your own pairs and databases, and published data sets, read from what people keep them in."""
