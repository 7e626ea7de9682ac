"""Asynchronous pairwise averaging: the gossip baseline and A²CiD², in two pairing modes."""
