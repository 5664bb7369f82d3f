"""Files of weights: read whatever their form, and compared by name before a model takes them."""
