"""What runs in an environment: the handler, unchanged on AWS. Its folder is no place to import from."""
