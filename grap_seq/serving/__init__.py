"""A run as a service over HTTP: `grap-seq serve` (docs/serving.md)."""
