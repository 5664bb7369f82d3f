"""Models that answer expressions about photos: DGHIN, those of transformers, anybody's own."""
