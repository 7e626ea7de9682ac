"""The hardware as a scenario describes it: tables, durations, outages, transports, volumes of collectives."""
