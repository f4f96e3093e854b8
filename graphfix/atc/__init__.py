"""ATC: its options, codes and logs explained, and how it is run."""
