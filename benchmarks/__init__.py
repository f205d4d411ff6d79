"""Speed and memory against the official package, side by side in one run."""
