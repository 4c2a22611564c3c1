"""Quality of data, of labels and of generated images."""
