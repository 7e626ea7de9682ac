"""What goes over the wire: process groups, messages, collectives."""
