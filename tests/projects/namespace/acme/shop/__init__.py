"""A package in the namespace `acme`, which other distributions share."""
