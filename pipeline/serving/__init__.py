"""The HTTP side of `loraql serve`: routes, limits, and who may ask."""
