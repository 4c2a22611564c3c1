"""Building blocks shared by generators and fusions: networks only, no training, no files, no
data."""
