"""What the experiments run on threads: small compiled loops and bodies of parallel regions."""
