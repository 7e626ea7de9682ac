"""Several runs on one physical network: the tables [[job]] of a scenario's file."""
