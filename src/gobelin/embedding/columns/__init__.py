"""What the columns of a data set are: kinds, roles, fields, and what a user should know of them."""
