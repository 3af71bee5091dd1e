"""From Dockerfiles, contexts and base digests to a plan: cores, bases, images, and why each is built."""
