"""What is in a store held against what it says of itself: every digest, size, platform and file of a release."""
