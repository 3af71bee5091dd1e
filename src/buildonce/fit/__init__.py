"""Whether programs run in the image that they are put into: what they ask for against what is there. Pure."""
